import Graph
import Kernels
import Losses
import TestSupport
import Testing

/// The first layer whose numbers are not finite is found.
@Suite struct FinitenessTests {
    private static func graph() throws -> Graph {
        var b = try GraphBuilder(input: FeatureShape(height: 8, width: 8, channels: 1))
        let first = try b.convolution(b.input, name: "first.conv", outputChannels: 4, kernel: 3)
        let x = try b.relu(try b.batchNormalization(first, name: "first.bn"), name: "first.relu")
        let second = try b.convolution(x, name: "second.conv", outputChannels: 4, kernel: 3)
        let y = try b.relu(try b.batchNormalization(second, name: "second.bn"), name: "second.relu")
        let logits = try b.convolution(y, name: "head", outputChannels: 1, kernel: 1, bias: true)
        try b.segmentationLoss(logits, SegmentationLoss())
        return try b.finish()
    }

    private func finding(_ change: (Rig, inout [Float], inout [Float]) -> Void) throws -> NonFiniteFinding? {
        let rig = try Rig(Self.graph(), images: 2)
        var input = randomValues(128, seed: 3)
        var targets = randomMask(128, seed: 4)
        change(rig, &input, &targets)
        return rig.executor.firstNonFinite(sums: rig.sums.base) { rig.train(input, targets) }
    }

    @Test func nothingIsFoundWhereAllIsFinite() throws {
        #expect(try finding { _, _, _ in } == nil)
    }

    @Test func theInputsFirstLayerIsFound() throws {
        let found = try #require(try finding { _, input, _ in input[70] = .nan })
        #expect(found.what == "activation" && found.layer.hasPrefix("first"), "\(found)")
    }

    @Test func aWeightsLayerIsFound() throws {
        let found = try #require(
            try finding { rig, _, _ in
                if let spec = rig.spec("second.conv.weight") { rig.weights.base[spec.offset] = .infinity }
            }
        )
        #expect(found.what == "activation" && found.layer.hasPrefix("second"), "\(found)")
    }

    @Test func aTargetShowsInTheLoss() throws {
        let found = try #require(try finding { _, _, targets in targets[5] = .nan })
        #expect(found.what == "loss", "\(found)")
    }
}
