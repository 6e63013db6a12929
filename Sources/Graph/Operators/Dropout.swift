import Kernels

/// Elements set to zero with a probability, the rest scaled up; nothing in inference.
struct Dropout: Operator {
    static let kind = "dropout"
    static let drops = true

    var probability: Double

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if !(probability > 0 && probability < 1) {
            throw ShapeDefect("dropout needs a probability between 0 and 1, found \(probability).")
        }
        return inputs[0]
    }

    func forward(_ node: Node, in lowering: Lowering) {
        let x = node.inputs[0].index
        guard lowering.mode == .training else {
            lowering.emit(DropoutIdentity(x: x, y: node.output.index))
            return
        }
        let firstWord = lowering.reserveDropoutWords(lowering.images * lowering.graph.shape(of: node.output).elements)
        let instruction = DropoutInstruction(
            x: x,
            y: node.output.index,
            probability: probability,
            firstWord: firstWord,
            accumulate: false
        )
        lowering.save([firstWord], for: node)
        lowering.emit(instruction)
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(
            DropoutInstruction(
                x: dy,
                y: dx,
                probability: probability,
                firstWord: lowering.saved(for: node)[0],
                accumulate: accumulate
            )
        )
    }
}

extension GraphBuilder {
    /// Elements of x set to zero with `probability`, the rest divided by 1 - `probability`.
    package mutating func dropout(
        _ x: Tensor,
        name: String,
        probability: Double
    ) throws(GraphError) -> Tensor {
        if probability == 0 { return x }
        return try apply(Dropout(probability: probability), to: [x], name: name)
    }
}

/// Forward and backward are the same multiplication.
struct DropoutInstruction: Instruction {
    var x: Int
    var y: Int
    var probability: Double
    var firstWord: Int
    var accumulate: Bool

    var reads: [Int] { accumulate ? [x, y] : [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        let keep = 1 - probability
        var key = context.dropout
        key.firstWord = firstWord
        context.kernels.dropout(
            context.view(x),
            context.view(y),
            Float(keep),
            UInt32(keep * 0x1p32),
            key,
            accumulate
        )
    }
}

/// Dropout in inference.
struct DropoutIdentity: Instruction {
    var x: Int
    var y: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { .slice(part: y, whole: x, channel: 0) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) { context.kernels.copy(context.view(x), context.view(y), false) }
}
