import Kernels

/// a + b of equal shapes.
struct Addition: Operator {
    static let kind = "add"

    var relu = false

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if inputs[0] != inputs[1] {
            throw ShapeDefect("an addition needs equal shapes, found \(inputs[0]) and \(inputs[1]).")
        }
        return inputs[0]
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(
            AdditionForward(
                a: node.inputs[0].index,
                b: node.inputs[1].index,
                y: node.output.index,
                relu: relu
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output) else { return }
        if relu { lowering.emit(ReLUBackward(y: node.output.index, dy: dy, dx: dy, accumulate: false)) }
        // The second operand first: the first one's gradient can then take dy's memory.
        for input in node.inputs.reversed() {
            guard let (dx, accumulate) = lowering.contribution(to: input) else { continue }
            lowering.emit(CopyInstruction(x: dy, y: dx, accumulate: accumulate))
        }
    }

    func fusing(_ activation: Activation) -> (any Operator)? {
        relu || activation != .relu ? nil : Addition(relu: true)
    }
}

extension GraphBuilder {
    /// a + b.
    package mutating func add(_ a: Tensor, _ b: Tensor, name: String) throws(GraphError) -> Tensor {
        try apply(Addition(), to: [a, b], name: name)
    }
}

struct AdditionForward: Instruction {
    var a: Int
    var b: Int
    var y: Int
    var relu: Bool

    var extras: [String] { relu ? ["ReLU"] : [] }
    var reads: [Int] { [a, b] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { .inPlace(output: y, input: a) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.add(context.view(a), context.view(b), context.view(y), relu)
    }
}
