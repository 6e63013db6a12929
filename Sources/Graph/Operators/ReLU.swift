import Kernels

/// max(0, x).
struct ReLU: Operator {
    static let kind = "relu"

    var activation: Activation? { .relu }

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape { inputs[0] }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(ReLUForward(x: node.inputs[0].index, y: node.output.index))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(ReLUBackward(y: node.output.index, dy: dy, dx: dx, accumulate: accumulate))
    }
}

extension GraphBuilder {
    /// max(0, x).
    package mutating func relu(_ x: Tensor, name: String) throws(GraphError) -> Tensor {
        try apply(ReLU(), to: [x], name: name)
    }
}

struct ReLUForward: Instruction {
    var x: Int
    var y: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { .inPlace(output: y, input: x) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) { context.kernels.relu(context.view(x), context.view(y)) }
}

struct ReLUBackward: Instruction {
    var y: Int
    var dy: Int
    var dx: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [y, dy, dx] : [y, dy] }
    var writes: [Int] { [dx] }
    var sharing: SharingRequest? { accumulate || dx == dy ? nil : .inPlace(output: dx, input: dy) }

    func run(_ context: ExecutionContext) {
        context.kernels.reluBackward(context.view(y), context.view(dy), context.view(dx), accumulate)
    }
}
