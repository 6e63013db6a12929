import Kernels

/// x where it is positive, else x · slope.
struct LeakyReLU: Operator {
    static let kind = "leaky relu"

    var slope: Float

    var activation: Activation? { .leakyReLU(slope: slope) }

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        // The gradient takes the sign of the input from the output.
        if !(slope >= 0 && slope.isFinite) {
            throw ShapeDefect("a leaky relu needs a slope of at least 0, found \(slope).")
        }
        return inputs[0]
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(LeakyReLUForward(x: node.inputs[0].index, y: node.output.index, slope: slope))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(
            LeakyReLUBackward(y: node.output.index, dy: dy, dx: dx, slope: slope, accumulate: accumulate)
        )
    }
}

extension GraphBuilder {
    /// x where it is positive, else x · `slope`, as PyTorch's `LeakyReLU`.
    package mutating func leakyReLU(_ x: Tensor, name: String, slope: Float = 0.01) throws(GraphError) -> Tensor {
        try apply(LeakyReLU(slope: slope), to: [x], name: name)
    }
}

struct LeakyReLUForward: Instruction {
    var x: Int
    var y: Int
    var slope: Float

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { .inPlace(output: y, input: x) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.leakyReLU(context.view(x), context.view(y), slope)
    }
}

struct LeakyReLUBackward: Instruction {
    var y: Int
    var dy: Int
    var dx: Int
    var slope: Float
    var accumulate: Bool

    var reads: [Int] { accumulate ? [y, dy, dx] : [y, dy] }
    var writes: [Int] { [dx] }
    var sharing: SharingRequest? { accumulate || dx == dy ? nil : .inPlace(output: dx, input: dy) }

    func run(_ context: ExecutionContext) {
        context.kernels.leakyReLUBackward(context.view(y), context.view(dy), context.view(dx), slope, accumulate)
    }
}
