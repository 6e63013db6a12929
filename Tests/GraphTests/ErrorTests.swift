import Graph
import Losses
import TestSupport
import Testing

/// Mistakes in networks are reported with the layer's name, what was found and what fits.
@Suite struct ErrorTests {
    private func builder(_ height: Int = 4, _ width: Int = 4, _ channels: Int = 2) throws -> GraphBuilder {
        try GraphBuilder(input: FeatureShape(height: height, width: width, channels: channels))
    }

    private func failure(_ body: (inout GraphBuilder) throws -> Void, height: Int = 4) throws -> String {
        var b = try builder(height)
        let error = #expect(throws: GraphError.self) { try body(&b) }
        return error?.description ?? ""
    }

    @Test func `shapes that do not fit name the layer`() throws {
        let joined = try failure {
            let small = try $0.maxPool($0.input, name: "pool", size: 2)
            _ = try $0.concatenate([small, $0.input], name: "decoder.join")
        }
        #expect(joined.hasPrefix("Layer decoder.join:") && joined.contains("2×2×2, 4×4×2"))
        let kernel = try failure {
            _ = try $0.convolution($0.input, name: "c", outputChannels: 4, kernel: 7, padding: 0)
        }
        #expect(kernel.contains("7×7") && kernel.contains("does not fit into 4×4×2"))
        let sum = try failure {
            let other = try $0.convolution($0.input, name: "c", outputChannels: 4, kernel: 1)
            _ = try $0.add(other, $0.input, name: "sum")
        }
        #expect(sum.contains("4×4×4 and 4×4×2"))
        let linear = try failure { _ = try $0.linear($0.input, name: "fc", outputChannels: 3) }
        #expect(linear.contains("pool globally"))
        let loss = try failure { try $0.segmentationLoss($0.input, SegmentationLoss()) }
        #expect(loss.contains("one channel"))
        let pool = try failure({ _ = try $0.maxPool($0.input, name: "p", size: 2) }, height: 1)
        #expect(pool.contains("use a larger image"))
    }

    @Test func `settings out of range are refused`() throws {
        let dropout = try failure { _ = try $0.dropout($0.input, name: "d", probability: 1) }
        #expect(dropout.contains("found 1.0"))
        let convolution = try failure { _ = try $0.convolution($0.input, name: "c", outputChannels: 0, kernel: 3) }
        #expect(convolution.contains("0 channels"))
        let normalization = try failure { _ = try $0.batchNormalization($0.input, name: "b", epsilon: 0) }
        #expect(normalization.contains("epsilon"))
        let upsampling = try failure { _ = try $0.upsampleNearest($0.input, name: "u", factor: 0) }
        #expect(upsampling.contains("factor"))
        let pooling = try failure { _ = try $0.maxPool($0.input, name: "p", size: 3, padding: 2) }
        #expect(pooling.contains("padding 2"))
        #expect(throws: GraphError.self) { try builder(0) }
        #expect(SegmentationLoss(dice: -.infinity).defect != nil)
        #expect(SegmentationLoss([]).defect != nil)
        let focal = SegmentationLoss([
            .init(FocalLoss(gamma: 2), weight: 1), .init(FocalLoss(gamma: 1), weight: 1),
        ])
        #expect(focal.defect?.contains("one gamma") == true)
        let many = [SegmentationLoss.Entry](repeating: .init(CrossEntropyLoss(), weight: 1), count: 17)
        #expect(SegmentationLoss(many).defect?.contains("16 terms at most") == true)
    }

    @Test func `two layers of one name are refused`() throws {
        let text = try failure {
            let x = try $0.relu($0.input, name: "a")
            _ = try $0.relu(x, name: "a")
        }
        #expect(text.contains("Layer a:") && text.contains("names must differ"))
    }

    @Test func `batch statistics over one value are refused`() throws {
        var b = try builder(1, 1)
        var x = try b.batchNormalization(b.input, name: "bn")
        x = try b.convolution(x, name: "head", outputChannels: 1, kernel: 1)
        try b.segmentationLoss(x, SegmentationLoss())
        let graph = try b.finish()
        let layout = ParameterLayout(graph)
        #expect(throws: GraphError.self) { try Program(graph, layout: layout, images: 1, mode: .training) }
        #expect(throws: Never.self) { try Program(graph, layout: layout, images: 2, mode: .training) }
        #expect(throws: Never.self) {
            try Program(graph, layout: layout, images: 1, mode: .inference(probabilities: false))
        }
        #expect(throws: GraphError.self) { try Program(graph, layout: layout, images: 0, mode: .training) }
    }

    @Test func `group statistics over one value are refused as PyTorch refuses them`() throws {
        var b = try builder(1, 1, 4)
        var x = try b.groupNormalization(b.input, name: "gn", groups: 4)
        x = try b.convolution(x, name: "head", outputChannels: 1, kernel: 1)
        try b.segmentationLoss(x, SegmentationLoss())
        let graph = try b.finish()
        let layout = ParameterLayout(graph)
        let error = #expect(throws: GraphError.self) {
            try Program(graph, layout: layout, images: 1, mode: .training)
        }
        #expect(error?.description.contains("one image of 1×1×4 in 4 groups") == true)
        // With two images each group still has one value: variance 0, and what remains is the bias.
        let rig = try Rig(graph, images: 2)
        rig.train(randomValues(8, seed: 1), randomMask(2, seed: 2))
        #expect(areFinite(rig.sums.values))
    }

    @Test func `groups divide the channels`() throws {
        let convolution = try failure {
            _ = try $0.convolution($0.input, name: "c", outputChannels: 3, kernel: 3, groups: 2)
        }
        #expect(convolution.contains("2 groups of 2 and 3 channels"))
        let normalization = try failure { _ = try $0.groupNormalization($0.input, name: "n", groups: 4) }
        #expect(normalization.contains("4 groups of 2 channels"))
        let gate = try failure { _ = try $0.scaleChannels($0.input, by: $0.input, name: "s") }
        #expect(gate.contains("1×1×2, found 4×4×2"))
    }

    @Test func `a graph without an output is refused`() throws {
        #expect(throws: GraphError.self) { try builder().finish() }
    }
}
