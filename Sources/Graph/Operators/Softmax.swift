import Kernels

/// Softmax over the channels of each pixel.
struct Softmax: Operator {
    static let kind = "softmax"

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape { inputs[0] }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(SoftmaxForward(x: node.inputs[0].index, y: node.output.index))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(SoftmaxBackward(y: node.output.index, dy: dy, dx: dx, accumulate: accumulate))
    }
}

extension GraphBuilder {
    /// PyTorch's `softmax` over the channels.
    package mutating func softmax(_ x: Tensor, name: String) throws(GraphError) -> Tensor {
        try apply(Softmax(), to: [x], name: name)
    }
}

struct SoftmaxForward: Instruction {
    var x: Int
    var y: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) { context.kernels.softmax(context.view(x), context.view(y)) }
}

struct SoftmaxBackward: Instruction {
    var y: Int
    var dy: Int
    var dx: Int
    var accumulate: Bool

    var reads: [Int] { accumulate ? [y, dy, dx] : [y, dy] }
    var writes: [Int] { [dx] }

    func run(_ context: ExecutionContext) {
        context.kernels.softmaxBackward(context.view(y), context.view(dy), context.view(dx), accumulate)
    }
}
