import Kernels

/// Feature maps of equal size joined along their channels.
struct Concatenation: Operator {
    static let kind = "concatenation"

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        guard let first = inputs.first else { throw ShapeDefect("a concatenation needs at least one input.") }
        if inputs.contains(where: { $0.height != first.height || $0.width != first.width }) {
            let found = inputs.map(\.description).joined(separator: ", ")
            throw ShapeDefect(
                "a concatenation needs inputs of one height and width, found \(found); with a U-Net, the image's "
                    + "height and width must be multiples of its total stride."
            )
        }
        return FeatureShape(
            height: first.height,
            width: first.width,
            channels: inputs.reduce(0) { $0 + $1.channels }
        )
    }

    func forward(_ node: Node, in lowering: Lowering) {
        eachOperand(node, in: lowering) { input, channel in
            lowering.emit(ConcatenationForward(x: input.index, y: node.output.index, channel: channel))
        }
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output) else { return }
        eachOperand(node, in: lowering) { input, channel in
            guard let (dx, accumulate) = lowering.contribution(to: input) else { return }
            lowering.emit(ConcatenationBackward(dy: dy, dx: dx, channel: channel, accumulate: accumulate))
        }
    }

    private func eachOperand(_ node: Node, in lowering: Lowering, _ body: (Tensor, Int) -> Void) {
        var channel = 0
        for input in node.inputs {
            body(input, channel)
            channel += lowering.graph.shape(of: input).channels
        }
    }
}

extension GraphBuilder {
    /// The inputs joined along their channels, in order.
    package mutating func concatenate(_ inputs: [Tensor], name: String) throws(GraphError) -> Tensor {
        try apply(Concatenation(), to: inputs, name: name)
    }
}

/// Copies an operand to its channels of the joined tensor, unless it was written there in the first place.
struct ConcatenationForward: Instruction {
    var x: Int
    var y: Int
    var channel: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { .join(operand: x, joined: y, channel: channel) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        let x = context.view(x)
        context.kernels.copy(
            x,
            context.view(y).channels(from: channel, count: x.channels, context.kernels.format),
            false
        )
    }
}

/// Copies or adds the channels of an operand out of the joined gradient.
struct ConcatenationBackward: Instruction {
    var dy: Int
    var dx: Int
    var channel: Int
    var accumulate: Bool

    var reads: [Int] { accumulate ? [dy, dx] : [dy] }
    var writes: [Int] { [dx] }
    var sharing: SharingRequest? { accumulate ? nil : .slice(part: dx, whole: dy, channel: channel) }

    func run(_ context: ExecutionContext) {
        let dx = context.view(dx)
        let part = context.view(dy).channels(from: channel, count: dx.channels, context.kernels.format)
        context.kernels.copy(part, dx, accumulate)
    }
}
