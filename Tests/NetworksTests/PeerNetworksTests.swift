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

/// The networks against those of segmentation_models_pytorch; `Tests/Fixtures/networks.py` wrote the files.
@Suite struct PeerNetworksTests {
    private struct Golden: Decodable {
        /// 64 of the logits of both images, in evaluation.
        var logits: [Double]
        /// Cross-entropy with batch statistics and nothing dropped.
        var loss: Double
        /// Norms of some parameters' gradients.
        var gradients: [String: Double]
        /// Norms of some running statistics after that.
        var statistics: [String: Double]
        /// How far PyTorch's own fp32 is from these, which are fp64.
        var fp32: Distances
    }

    private struct Distances: Decodable {
        /// The largest of all.
        var logits: Double
        var loss: Double
        /// The largest in units of the gradient's norm.
        var gradients: Double
        /// The largest in units of the statistic's norm.
        var statistics: Double
    }

    /// A network of the same families, of which little is stored.
    private struct Sibling: Decodable {
        var architecture: String
        var encoder: String
        /// How many.
        var parameters: Int
        /// FNV-1a over a line for each parameter in the order of names, "name shape": the shape's numbers with commas.
        var digest: String
        /// 16 of the logits of both images, in evaluation.
        var logits: [Double]
        /// How far PyTorch's own fp32 is from these, the largest over all logits.
        var fp32: Double
    }

    /// Roundings have no sign: theirs and ours may lie on opposite sides, and theirs may be near 0 by chance.
    private static let allowance = 4.0

    private static let seed: UInt64 = 7
    private static let size = 64
    private static let images = 2

    static let networks: [(name: String, family: any NetworkFamily)] = [
        ("resnet18", UNet(encoder: .resnet18)), ("resnet34", UNet(encoder: .resnet34)),
        ("unet-resnet50", UNet(encoder: .resnet50)),
        ("unet-se_resnext50_32x4d", UNet(encoder: .seResNeXt50)),
        ("unet-efficientnet-b0", UNet(encoder: .efficientNetB0)),
        ("unet-efficientnet-b4", UNet(encoder: .efficientNetB4)),
        ("deeplabv3plus-resnet50", DeepLabV3Plus(encoder: .resnet50)),
        ("fpn-resnet34", FPN(encoder: .resnet34)),
    ]

    private func network(_ index: Int) -> Network {
        Network(Self.networks[index].family, height: Self.size, width: Self.size, inputChannels: 3)
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
        // Each batch normalisation has its buffers beside its weight; those of an FPN's decoder are over groups.
        let buffers = Set(layout.buffers.map(\.name))
        for name in expected.keys
        where name.hasSuffix(".weight") && expected[name]?.count == 1 && !name.hasPrefix("decoder.seg_blocks") {
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
        Self.draw(rig.images)
        for image in 0..<Self.images {
            for y in 16..<40 {
                for x in 8..<32 { rig.masks.base[(image * Self.size + y) * Self.size + x] = 1 }
            }
        }
        // Running statistics first: training does not change them here.
        let model = ModelMemory(weights: rig.weights.base, buffers: rig.buffers.base)
        let output = try Self.infer(graph, rig.layout, model, rig.images)
        let step = Self.images * Self.size * Self.size / 64
        for (position, expected) in golden.logits.enumerated() {
            let found = output[position * step]
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

        rig.layout.applyStatistics(rig.sums.base, to: rig.buffers.base)
        for (name, norm) in golden.statistics {
            let buffer = try #require(rig.layout.buffers.first { $0.name == name })
            let values = UnsafeBufferPointer(start: rig.buffers.base + buffer.offset, count: buffer.count)
            let found = values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let allowed = Self.allowance * golden.fp32.statistics * norm
            #expect(abs(found - norm) <= allowed, "\(name): \(found), \(norm)")
        }
    }

    @Test(.enabled(if: KernelVariant.best != .reference))
    func `the other encoders have PyTorch's parameters and compute what it computes`() throws {
        let data = try Data(contentsOf: URL(filePath: fixture("networks_siblings.json")))
        let siblings = try JSONDecoder().decode([Sibling].self, from: data)
        // One after the other: the largest have 68 million parameters.
        for sibling in siblings {
            let label = "\(sibling.architecture)/\(sibling.encoder)"
            let encoder = try #require(Encoder(rawValue: sibling.encoder))
            let word = try #require(NetworkArchitecture(rawValue: sibling.architecture))
            let network = Network(
                try Self.family(word.family, ["encoder": encoder.settingValue]),
                height: Self.size,
                width: Self.size,
                inputChannels: 3
            )
            let graph = try network.graph(loss: SegmentationLoss())
            let layout = ParameterLayout(graph)
            #expect(layout.parameters.count == sibling.parameters, "\(label)")
            #expect(Self.digest(layout) == sibling.digest, "\(label)")
            let images = AlignedBuffer(count: Self.images * Self.size * Self.size * 3)
            let weights = AlignedBuffer(count: layout.weightCount)
            let buffers = AlignedBuffer(count: layout.bufferCount)
            layout.initialize(seed: Self.seed, weights: weights.base, buffers: buffers.base)
            Self.draw(images)
            let model = ModelMemory(weights: weights.base, buffers: buffers.base)
            let output = try Self.infer(graph, layout, model, images)
            let step = output.count / sibling.logits.count
            for (position, expected) in sibling.logits.enumerated() {
                let found = output[position * step]
                let isNear = abs(found - expected) <= Self.allowance * sibling.fp32
                #expect(isNear, "\(label), logit \(position): \(found), \(expected)")
            }
        }
    }

    @Test func `every encoder is compared with PyTorch's`() throws {
        let data = try Data(contentsOf: URL(filePath: fixture("networks_siblings.json")))
        let siblings = try JSONDecoder().decode([Sibling].self, from: data).map(\.encoder)
        // The part behind the family, where the name has one.
        let own = Self.networks.map { network in
            let prefix = "\(type(of: network.family).word)-"
            return network.name.hasPrefix(prefix) ? String(network.name.dropFirst(prefix.count)) : network.name
        }
        #expect(Set(siblings + own) == Set(Encoder.allCases.map(\.rawValue)))
    }

    // MARK: Helpers

    private static func family(
        _ family: (some NetworkFamily).Type,
        _ values: [String: SettingValue]
    ) throws -> any NetworkFamily {
        try family.init(values)
    }

    /// Uniform numbers, as networks.py draws them.
    private static func draw(_ images: AlignedBuffer) {
        let random = RandomSequence(seed: seed, purpose: .simulation)
        for element in 0..<images.count { images.base[element] = random.uniform(element) }
    }

    /// The logits of both images, with running statistics.
    private static func infer(
        _ graph: Graph,
        _ layout: ParameterLayout,
        _ model: ModelMemory,
        _ input: AlignedBuffer
    ) throws -> [Double] {
        let program = try Program(graph, layout: layout, images: images, mode: .inference(probabilities: false))
        let arena = AlignedBuffer(count: program.arenaBytes / 4)
        let executor = Executor(program, kernels: KernelVariant.best.table, arena: arena.base)
        let output = executor.runInference(input: input.base, model: model)
        return (0..<images * size * size).map { Double(output[$0]) }
    }

    private static func digest(_ layout: ParameterLayout) -> String {
        let lines = layout.parameters.sorted { $0.rank < $1.rank }.map { parameter in
            "\(parameter.name) \(parameter.shape.map(String.init).joined(separator: ","))\n"
        }
        let value = lines.joined().utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
