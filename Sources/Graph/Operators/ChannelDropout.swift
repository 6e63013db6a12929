import Kernels

/// Whole channels of an image set to zero with a probability, the rest scaled up: PyTorch's `Dropout2d`. Nothing in inference.
///
/// A factor is drawn for each channel of each image, 0 or 1 / (1 - probability), and scales it as a gate does.
struct ChannelDropout: Operator {
    static let kind = "channel dropout"
    static let drops = true

    var probability: Double

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if !(probability > 0 && probability < 1) {
            throw ShapeDefect("channel dropout needs a probability between 0 and 1, found \(probability).")
        }
        return inputs[0]
    }

    func forward(_ node: Node, in lowering: Lowering) {
        let x = node.inputs[0].index
        guard lowering.mode == .training else {
            lowering.emit(DropoutIdentity(x: x, y: node.output.index))
            return
        }
        let gate = lowering.gate(for: x)
        lowering.emit(
            ChannelDropoutGate(
                gate: gate,
                probability: probability,
                firstWord: lowering.reserveDropoutWords(
                    lowering.images * lowering.graph.shape(of: node.output).channels
                )
            )
        )
        lowering.save([gate], for: node)
        lowering.emit(ChannelScalingInstruction(x: x, gate: gate, y: node.output.index, accumulate: false))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(
            ChannelScalingInstruction(x: dy, gate: lowering.saved(for: node)[0], y: dx, accumulate: accumulate)
        )
    }
}

extension GraphBuilder {
    /// Each channel of each image of x set to zero with `probability`, the rest divided by 1 - `probability`.
    package mutating func dropoutChannels(
        _ x: Tensor,
        name: String,
        probability: Double
    ) throws(GraphError) -> Tensor {
        if probability == 0 { return x }
        return try apply(ChannelDropout(probability: probability), to: [x], name: name)
    }
}

/// The factors: ones, dropped and scaled as elements are.
struct ChannelDropoutGate: Instruction {
    var gate: Int
    var probability: Double
    var firstWord: Int

    var reads: [Int] { [] }
    var writes: [Int] { [gate] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        let keep = 1 - probability
        var key = context.dropout
        key.firstWord = firstWord
        let view = context.view(gate)
        context.kernels.fill(view, 1)
        context.kernels.dropout(view, view, Float(keep), UInt32(keep * 0x1p32), key, false)
    }
}
