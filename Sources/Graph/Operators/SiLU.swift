import Kernels

/// x · σ(x), also called Swish.
struct SiLU: Operator {
    static let kind = "silu"

    var activation: Activation? { .silu }

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape { inputs[0] }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(SiLUForward(x: node.inputs[0].index, y: node.output.index))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(SiLUBackward(x: node.inputs[0].index, dy: dy, dx: dx, accumulate: accumulate))
    }
}

extension GraphBuilder {
    /// x · σ(x), as PyTorch's `SiLU`.
    package mutating func silu(_ x: Tensor, name: String) throws(GraphError) -> Tensor {
        try apply(SiLU(), to: [x], name: name)
    }
}

struct SiLUForward: Instruction {
    var x: Int
    var y: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { .inPlace(output: y, input: x) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) { context.kernels.silu(context.view(x), context.view(y)) }
}

struct SiLUBackward: Instruction {
    var x: Int
    var dy: Int
    var dx: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [x, dy, dx] : [x, dy] }
    var writes: [Int] { [dx] }
    var sharing: SharingRequest? { accumulate ? nil : .inPlace(output: dx, input: dy) }

    func run(_ context: ExecutionContext) {
        context.kernels.siluBackward(context.view(x), context.view(dy), context.view(dx), accumulate)
    }
}
