import Foundation
import Graph
import KernelSelection
import Kernels
import Losses
import Networks
import Numerics
import Settings
import TestSupport
import Testing

@Suite struct NetworksTests {
    private let loss = SegmentationLoss()

    @Test func `unet with resnet34 has as many multiply-adds as PyTorch counts`() throws {
        let network = Network(UNet(encoder: .resnet34), height: 256, width: 256, inputChannels: 3)
        let summary = try ModelSummary(network, loss: loss, images: 2)
        // Half of what torch.utils.flop_counter says of the network in Tests/Fixtures/twenty_steps.py.
        #expect(summary.multiplyAdds == 7_813_988_352)
        // segmentation_models_pytorch's Unet("resnet34") has 24,436,369 parameters.
        #expect(summary.parameters == 24_436_369)
        // Forward, weights and input, but for the input of the first layer.
        let first = summary.layers[0].multiplyAdds
        #expect(summary.trainingFlops == 2 * 2 * (3 * summary.multiplyAdds - first))
        #expect(summary.text.contains("encoder.layer3.5.conv2"))
        #expect(summary.text.contains("24436369"))
        for arena in summary.arenas { #expect(arena.bytes < arena.peakBytes * 11 / 10, "\(arena.policy)") }
        #expect(summary.arenas[1].bytes < summary.arenas[0].bytes * 3 / 4)
        #expect(summary.arenas[2].bytes < summary.arenas[1].bytes)
        let encoded = try JSONEncoder().encode(summary)
        let decoded = try JSONDecoder().decode(ModelSummary.self, from: encoded)
        #expect(decoded == summary)
    }

    @Test func `initial weights are the numpy implementation's`() throws {
        // Printed by Tests/Fixtures/philox.py.
        #expect(Philox(key: 0).block(at: .zero) == SIMD4(1_713_891_541, 3_781_805_453, 3_159_862_348, 2_600_524_760))
        let graph = try Network(SmallUNet(baseWidth: 8, depth: 1), height: 8, width: 8, inputChannels: 3)
            .graph(loss: loss)
        var parameter = try #require(
            ParameterLayout(graph).parameters.first { $0.name == "encoder.0.conv1.weight" }
        )
        #expect(parameter.shape == [8, 3, 3, 3])
        parameter.rank = 7
        let values = ParameterLayout.initialValues(of: parameter, seed: 42)
        let expected: [UInt32] = [
            1_049_635_057, 3_202_230_229, 3_181_393_217, 3_196_268_220, 3_194_876_222, 1_045_652_809, 1_041_167_304,
            3_188_154_608,
        ]
        #expect(values.prefix(8).map { $0.bitPattern } == expected)
        #expect(values.last?.bitPattern == 1_053_827_254)
    }

    @Test func `sizes that do not fit are refused`() {
        #expect(throws: GraphError.self) {
            try Network(UNet(), height: 100, width: 96).graph(loss: loss)
        }
        #expect(throws: GraphError.self) {
            try Network(SmallUNet(depth: 4), height: 24, width: 32).graph(loss: loss)
        }
        #expect(throws: GraphError.self) {
            try Network(UNet(), height: 64, width: 64, inputChannels: 2).graph(loss: loss)
        }
    }

    @Test func `dropout stands before the head of both networks, and nowhere without a probability`() throws {
        let families: [(any NetworkFamily, String)] = [
            (UNet(encoder: .resnet18, dropout: 0.2), "segmentation_head.dropout"),
            (SmallUNet(baseWidth: 8, depth: 2, dropout: 0.2), "head.dropout"),
        ]
        for (family, head) in families {
            let network = Network(family, height: 32, width: 32)
            #expect(try network.graph(loss: nil).nodes.contains { $0.name == head })
        }
        let plain: [any NetworkFamily] = [UNet(encoder: .resnet18), SmallUNet()]
        for family in plain {
            let graph = try Network(family, height: 32, width: 32).graph(loss: nil)
            #expect(!graph.nodes.contains { $0.name.contains("dropout") })
        }
    }

    /// What a user reads and sets of a family is what the family is.
    @Test func `families declare their settings`() throws {
        #expect(Set(networkFamilies.map { $0.word }).count == networkFamilies.count)
        for family in networkFamilies {
            let names = family.declarations.map(\.name)
            #expect(Set(names).count == names.count, "\(family.word)")
            #expect(names.contains("dropout"), "\(family.word)")
            for declaration in family.declarations {
                #expect(declaration.accepts(declaration.defaultValue), "\(family.word), \(declaration.name)")
            }
        }
        let given = try SmallUNet(["depth": .whole(3), "upsampling": .word("transposed"), "dropout": .whole(0)])
        #expect(given == SmallUNet(depth: 3, upsampling: .transposed))
        #expect(throws: SettingError(setting: "depth", problem: "must be a whole number, 1 to 7, found 8")) {
            try SmallUNet(["depth": .whole(8)])
        }
        #expect(throws: SettingError.self) { try UNet(["decoder_channels": .list([.whole(8)])]) }
        #expect(throws: SettingError.self) { try UNet(["depth": .whole(3)]) }
        #expect(throws: SettingError.self) { try FPN(["decoder_segmentation_channels": .whole(48)]) }
    }

    @Test(.timeLimit(.minutes(15)), arguments: SmallUNet.Upsampling.allCases)
    func `unet-small learns squares in sixty steps`(_ upsampling: SmallUNet.Upsampling) throws {
        let network = Network(
            SmallUNet(baseWidth: 8, depth: 3, upsampling: upsampling),
            height: 32,
            width: 32
        )
        let rig = try Rig(network, loss: loss, images: 8, seed: 3)
        var losses: [Double] = []
        for step in 0..<60 {
            let random = RandomSequence(seed: 4, purpose: .simulation, epoch: UInt32(step))
            for n in 0..<8 {
                let top = random.integer(2 * n, below: 20)
                let left = random.integer(2 * n + 1, below: 20)
                for pixel in 0..<1024 {
                    let inside = (top..<top + 10).contains(pixel / 32) && (left..<left + 10).contains(pixel % 32)
                    rig.masks.base[n * 1024 + pixel] = inside ? 1 : 0
                    rig.images.base[n * 1024 + pixel] =
                        random.uniform(100 + n * 1024 + pixel) * 0.6 + (inside ? 0.4 : 0)
                }
            }
            losses.append(rig.train(learningRate: 1e-2))
        }
        #expect(losses[0] > 1)
        #expect(losses.suffix(5).allSatisfy { $0 < 0.35 }, "\(losses.suffix(5))")
    }

    @Test func `freed memory is never read in unet with resnet18`() throws {
        let network = Network(UNet(encoder: .resnet18), height: 64, width: 64)
        let rig = try Rig(network, loss: loss, images: 2, seed: 5)
        for index in 0..<rig.images.count {
            rig.images.base[index] = RandomSequence(seed: 6, purpose: .simulation).uniform(index)
            rig.masks.base[index] = index % 7 == 0 ? 1 : 0
        }
        rig.computeSums()
        let expected = rig.sums.values
        let base = rig.arena.base
        let blocks = rig.program.blocks
        rig.executor.observer = { index in
            for block in blocks where block.uses.contains(where: { $0.upperBound == index }) {
                (base + block.offset).update(repeating: .nan, count: block.count)
            }
        }
        rig.computeSums()
        #expect(rig.sums.values == expected)
        #expect(expected.allSatisfy { $0.isFinite })
    }
}
