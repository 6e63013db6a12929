import Kernels

/// Whole images set to zero with a probability, the rest scaled up: the drop of a residual branch ("stochastic depth").
/// Nothing in inference.
struct DropConnect: Operator {
    static let kind = "drop connect"
    static let drops = true

    var probability: Double

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if !(probability > 0 && probability < 1) {
            throw ShapeDefect("drop connect needs a probability between 0 and 1, found \(probability).")
        }
        return inputs[0]
    }

    func forward(_ node: Node, in lowering: Lowering) {
        let x = node.inputs[0].index
        guard lowering.mode == .training else {
            lowering.emit(DropoutIdentity(x: x, y: node.output.index))
            return
        }
        let firstWord = lowering.reserveDropoutWords(lowering.images)
        lowering.save([firstWord], for: node)
        lowering.emit(
            DropConnectInstruction(
                x: x,
                y: node.output.index,
                probability: probability,
                firstWord: firstWord,
                accumulate: false
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(
            DropConnectInstruction(
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
    /// Each image of x set to zero with `probability`, the rest divided by 1 - `probability`.
    package mutating func dropConnect(
        _ x: Tensor,
        name: String,
        probability: Double
    ) throws(GraphError) -> Tensor {
        if probability == 0 { return x }
        return try apply(DropConnect(probability: probability), to: [x], name: name)
    }
}

/// Forward and backward are the same multiplication.
struct DropConnectInstruction: Instruction {
    var x: Int
    var y: Int
    var probability: Double
    var firstWord: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [x, y] : [x] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { accumulate ? nil : .inPlace(output: y, input: x) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        let keep = 1 - probability
        var key = context.dropout
        key.firstWord = firstWord
        context.kernels.dropConnect(
            context.view(x),
            context.view(y),
            Float(keep),
            UInt32(keep * 0x1p32),
            key,
            accumulate
        )
    }
}
