import Kernels

/// The mean of each channel over the image: one pixel.
struct GlobalAveragePooling: Operator {
    static let kind = "global average pooling"

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        FeatureShape(height: 1, width: 1, channels: inputs[0].channels)
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(GlobalAveragePoolingForward(x: node.inputs[0].index, y: node.output.index))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(GlobalAveragePoolingBackward(dy: dy, dx: dx, accumulate: accumulate))
    }
}

extension GraphBuilder {
    /// The mean of each channel over the image.
    package mutating func globalAveragePool(_ x: Tensor, name: String) throws(GraphError) -> Tensor {
        try apply(GlobalAveragePooling(), to: [x], name: name)
    }
}

struct GlobalAveragePoolingForward: Instruction {
    var x: Int
    var y: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.globalAveragePool(context.view(x), context.view(y))
    }
}

struct GlobalAveragePoolingBackward: Instruction {
    var dy: Int
    var dx: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [dy, dx] : [dy] }
    var writes: [Int] { [dx] }

    func run(_ context: ExecutionContext) {
        context.kernels.globalAveragePoolBackward(context.view(dy), context.view(dx), accumulate)
    }
}
