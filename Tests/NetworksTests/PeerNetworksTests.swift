import Foundation
import Graph
import KernelSelection
import Kernels
import Networks
import Numerics
import Testing

/// The networks against those of segmentation_models_pytorch; `Tests/Fixtures/networks.py` wrote the files.
@Suite struct PeerNetworksTests {
    private struct Golden: Decodable {
        /// 64 of the logits of both images, in evaluation.
        var logits: [Double]
        /// Cross-entropy with batch statistics and nothing dropped.
        var loss: Double
        /// Norms of some parameters' gradients.
        var gradients: [String: Double]
        /// How far PyTorch's own fp32 is from these, which are fp64.
        var fp32: Distances
    }

    private struct Distances: Decodable {
        /// The largest of all.
        var logits: Double
        var loss: Double
        /// The largest in units of the gradient's norm.
        var gradients: Double
    }

    /// Roundings have no sign: theirs and ours may lie on opposite sides, and theirs may be near 0 by chance.
    private static let allowance = 4.0

    private static let seed: UInt64 = 7
    private static let size = 64
    private static let images = 2

    static let networks: [(name: String, architecture: Network.Architecture)] = [
        ("resnet18", .unet(UNet(encoder: .resnet18))), ("resnet34", .unet(UNet(encoder: .resnet34))),
        ("unet-resnet50", .unet(UNet(encoder: .resnet50))),
        ("unet-se_resnext50_32x4d", .unet(UNet(encoder: .seResNeXt50))),
        ("unet-efficientnet-b0", .unet(UNet(encoder: .efficientNetB0))),
        ("unet-efficientnet-b4", .unet(UNet(encoder: .efficientNetB4))),
        ("deeplabv3plus-resnet50", .deepLabV3Plus(DeepLabV3Plus(encoder: .resnet50))),
    ]

    private func network(_ index: Int) -> Network {
        Network(Self.networks[index].architecture, height: Self.size, width: Self.size, inputChannels: 3)
    }

    @Test(arguments: networks.indices)
    func `parameters have the names and shapes of PyTorch's`(_ index: Int) throws {
        let file = fixture("parameters_\(Self.networks[index].name).json")
        let expected = try JSONDecoder().decode([String: [Int]].self, from: Data(contentsOf: URL(filePath: file)))
        // The first two were written with one input channel.
        var network = network(index)
        if index < 2 { network.inputChannels = 1 }
        let layout = ParameterLayout(try network.graph(loss: SegmentationLoss()))
        #expect(Dictionary(uniqueKeysWithValues: layout.parameters.map { ($0.name, $0.shape) }) == expected)
        #expect(layout.parameters.allSatisfy { $0.isTrained })
        // Each normalisation has its buffers beside its weight.
        let buffers = Set(layout.buffers.map(\.name))
        for name in expected.keys where name.hasSuffix(".weight") && expected[name]?.count == 1 {
            let layer = name.dropLast("weight".count)
            #expect(buffers.contains("\(layer)running_mean") && buffers.contains("\(layer)running_var"))
        }
    }

    @Test(.enabled(if: KernelVariant.best != .reference), arguments: 2..<networks.count)
    func `networks compute what PyTorch computes`(_ index: Int) throws {
        let name = Self.networks[index].name
        let data = try Data(contentsOf: URL(filePath: fixture("networks.json")))
        let golden = try #require(try JSONDecoder().decode([String: Golden].self, from: data)[name])
        let loss = SegmentationLoss(crossEntropy: 1, dice: 0)
        let graph = try network(index).graph(loss: loss)
        let rig = try Rig(
            network(index),
            loss: loss,
            images: Self.images,
            seed: Self.seed,
            options: Program.Options(drops: false)
        )
        let random = RandomSequence(seed: Self.seed, purpose: .simulation)
        for element in 0..<rig.images.count { rig.images.base[element] = random.uniform(element) }
        for image in 0..<Self.images {
            for y in 16..<40 {
                for x in 8..<32 { rig.masks.base[(image * Self.size + y) * Self.size + x] = 1 }
            }
        }
        // Running statistics first: training does not change them here.
        let program = try Program(
            graph,
            layout: rig.layout,
            images: Self.images,
            mode: .inference(probabilities: false)
        )
        let arena = AlignedBuffer(count: program.arenaBytes / 4)
        let executor = Executor(program, kernels: rig.kernels, arena: arena.base)
        let output = executor.runInference(
            input: rig.images.base,
            model: ModelMemory(weights: rig.weights.base, buffers: rig.buffers.base)
        )
        let step = Self.images * Self.size * Self.size / 64
        for (position, expected) in golden.logits.enumerated() {
            let found = Double(output[position * step])
            let allowed = Self.allowance * golden.fp32.logits
            #expect(abs(found - expected) <= allowed, "logit \(position): \(found), \(expected)")
        }

        rig.computeSums()
        let found = rig.layout.lossValues(rig.sums.base)[0].value
        #expect(abs(found - golden.loss) <= Self.allowance * max(golden.fp32.loss, 1e-6))
        for (name, norm) in golden.gradients {
            let parameter = try #require(rig.layout.parameters.first { $0.name == name })
            let values = rig.layout.export(parameter, from: rig.sums.base)
            let found = values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let allowed = Self.allowance * golden.fp32.gradients * norm
            #expect(abs(found - norm) <= allowed, "gradient of \(name): \(found), \(norm)")
        }
    }
}
