import Graph
import Kernels
import Losses
import Testing

@Suite struct DescriptionTests {
    /// A residual block whose skip is read twice, so that one gradient is added to the other.
    private func block() throws -> [InstructionDescription] {
        var b = try GraphBuilder(input: FeatureShape(height: 8, width: 8, channels: 4))
        let x = try b.convolution(b.input, name: "a", outputChannels: 16, kernel: 3)
        let y = try b.batchNormalization(
            try b.convolution(x, name: "b", outputChannels: 16, kernel: 3, stride: 2),
            name: "c"
        )
        let skip = try b.convolution(x, name: "d", outputChannels: 16, kernel: 1, stride: 2)
        let z = try b.relu(try b.add(y, skip, name: "add"), name: "relu")
        let up = try b.upsampleNearest(z, name: "up", factor: 2)
        try b.segmentationLoss(
            try b.convolution(up, name: "head", outputChannels: 1, kernel: 1, bias: true),
            SegmentationLoss()
        )
        let graph = try b.finish()
        let program = try Program(graph, layout: ParameterLayout(graph), images: 2, mode: .training)
        return program.instructions.indices.map { program.description(of: $0) }
    }

    @Test func `descriptions name what is fused`() throws {
        let shapes = try block().map { "\($0.operation) \($0.layer) \($0.shape)" }
        #expect(shapes.contains("BatchNormalizationForward c 2×4×4×16 → 2×4×4×16, residual, ReLU"))
        #expect(shapes.contains("BatchNormalizationSums c 2×4×4×16 → 1×1×1×16, ReLU"))
        #expect(shapes.contains("ConvolutionForward head 2×8×8×16 → 2×8×8×1, 1×1, bias"))
    }

    @Test func `a gradient that is added to another names what it reads`() throws {
        let shapes = try block().filter { $0.operation == "ConvolutionInputGradient" && $0.layer != "head" }.map(
            \.shape
        )
        #expect(Set(shapes) == ["2×4×4×16 → 2×8×8×16, 1×1 s2", "2×4×4×16 → 2×8×8×16, 3×3 s2, added"])
    }
}
