import Kernels

/// 1 / (1 + e⁻ˣ).
struct Sigmoid: Operator {
    static let kind = "sigmoid"

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape { inputs[0] }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(SigmoidForward(x: node.inputs[0].index, y: node.output.index))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(SigmoidBackward(y: node.output.index, dy: dy, dx: dx, accumulate: accumulate))
    }
}

extension GraphBuilder {
    /// 1 / (1 + e⁻ˣ).
    package mutating func sigmoid(_ x: Tensor, name: String) throws(GraphError) -> Tensor {
        try apply(Sigmoid(), to: [x], name: name)
    }
}

struct SigmoidForward: Instruction {
    var x: Int
    var y: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) { context.kernels.sigmoid(context.view(x), context.view(y)) }
}

struct SigmoidBackward: Instruction {
    var y: Int
    var dy: Int
    var dx: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [y, dy, dx] : [y, dy] }
    var writes: [Int] { [dx] }

    func run(_ context: ExecutionContext) {
        context.kernels.sigmoidBackward(context.view(y), context.view(dy), context.view(dx), accumulate)
    }
}
