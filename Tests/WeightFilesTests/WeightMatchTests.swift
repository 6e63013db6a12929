import Testing
import WeightFiles

/// Which tensor of a file becomes which of a network.
@Suite struct WeightMatchTests {
    private func tensor(_ name: String, _ shape: [Int]) -> StoredTensor {
        StoredTensor(name: name, element: .float32, shape: shape, bytes: 0..<0)
    }

    private let network = [
        WeightMatch.Target(name: "encoder.conv1.weight", shape: [2, 1, 3, 3]),
        WeightMatch.Target(name: "encoder.layer1.0.bn1.running_mean", shape: [2]),
        WeightMatch.Target(name: "segmentation_head.0.weight", shape: [1, 2, 3, 3]),
    ]

    @Test func anEncoderOfTorchvisionFillsTheEncoder() throws {
        let match = WeightMatch(
            network,
            [
                tensor("conv1.weight", [2, 3, 3, 3]), tensor("layer1.0.bn1.running_mean", [2]),
                StoredTensor(name: "layer1.0.bn1.num_batches_tracked", element: .int64, shape: [], bytes: 0..<8),
                tensor("fc.weight", [1000, 512]),
            ]
        )
        try match.requireFit(path: "file", isPartial: false)
        #expect(match.pairs.map(\.adaptation) == [.channelsAdded(from: 3), .none])
        #expect(match.missing.map(\.name) == ["segmentation_head.0.weight"])
        #expect(match.unused == ["fc.weight"])
        #expect(match.sentences.contains { $0.contains("the weights of 3 channels were added up") })
    }

    @Test(arguments: ["module.", "model.", "module.model."]) func wrappersAreTakenOff(_ prefix: String) throws {
        let match = WeightMatch(network, network.map { tensor(prefix + $0.name, $0.shape) })
        try match.requireFit(path: "file", isPartial: false)
        #expect(match.pairs.count == 3 && match.missing.isEmpty && match.unused.isEmpty)
    }

    @Test func aMissingEncoderTensorIsRefusedByName() {
        let match = WeightMatch(network, [tensor("conv1.weight", [2, 1, 3, 3])])
        let error = #expect(throws: WeightFileError.self) { try match.requireFit(path: "file", isPartial: false) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("encoder.layer1.0.bn1.running_mean"))
        #expect(throws: Never.self) { try match.requireFit(path: "file", isPartial: true) }
    }

    @Test func anotherShapeIsRefused() {
        let match = WeightMatch(network, network.map { tensor($0.name, $0.shape.map { $0 + 1 }) })
        let error = #expect(throws: WeightFileError.self) { try match.requireFit(path: "file", isPartial: false) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("the network's is [2, 1, 3, 3]"))
    }

    @Test func anotherNetworkIsRefusedEvenInPart() {
        let match = WeightMatch(network, [tensor("backbone.stem", [4])])
        #expect(throws: WeightFileError.self) { try match.requireFit(path: "file", isPartial: true) }
    }

    /// timm counts blocks by stage, and the parts of the first stage otherwise.
    @Test func timmsEfficientNetsHaveTheirOwnNames() {
        let targets = [
            "_conv_stem.weight", "_bn0.bias", "_blocks.0._depthwise_conv.weight", "_blocks.0._project_conv.weight",
            "_blocks.0._bn2.weight", "_blocks.1._expand_conv.weight", "_blocks.2._bn1.running_var",
            "_blocks.2._se_reduce.bias", "_blocks.2._se_expand.bias", "_blocks.2._project_conv.weight",
            "_conv_head.weight",
            "_bn1.weight",
        ].map { WeightMatch.Target(name: "encoder." + $0, shape: [1]) }
        let names = [
            "conv_stem.weight", "bn1.bias", "blocks.0.0.conv_dw.weight", "blocks.0.0.conv_pw.weight",
            "blocks.0.0.bn2.weight",
            "blocks.1.0.conv_pw.weight", "blocks.1.1.bn2.running_var", "blocks.1.1.se.conv_reduce.bias",
            "blocks.1.1.se.conv_expand.bias", "blocks.1.1.conv_pwl.weight", "conv_head.weight", "bn2.weight",
        ]
        let match = WeightMatch(targets, names.map { tensor($0, [1]) })
        #expect(match.missing.isEmpty && match.unused.isEmpty)
        for (pair, name) in zip(match.pairs, names) { #expect(pair.source.name == name, "\(pair.target.name)") }
    }

    @Test func channelsAreAddedAndRepeatedWithTheSameSum() throws {
        let one = try #require(
            WeightMatch([.init(name: "encoder.c", shape: [2, 1, 1, 2])], [tensor("c", [2, 3, 1, 2])]).pairs.first
        )
        let sums = WeightMatch.adapted([1, 2, 10, 20, 100, 200, -1, -2, -10, -20, -100, -200], one)
        #expect(sums == [111, 222, -111, -222])
        let three = try #require(
            WeightMatch([.init(name: "encoder.c", shape: [1, 3, 1, 1])], [tensor("c", [1, 1, 1, 1])]).pairs.first
        )
        #expect(three.adaptation == .channelsRepeated(from: 1, to: 3))
        #expect(WeightMatch.adapted([6], three) == [2, 2, 2])
    }
}
