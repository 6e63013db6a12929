import Kernels

/// Each channel of each image times a factor of its own: the gate of squeeze-and-excitation.
///
/// Inputs: x, and the gate, one pixel of as many channels.
struct ChannelScaling: Operator {
    static let kind = "channel scaling"

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        let (x, gate) = (inputs[0], inputs[1])
        if gate.pixels != 1 || gate.channels != x.channels {
            throw ShapeDefect("a gate for \(x) is 1×1×\(x.channels), found \(gate).")
        }
        return x
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(
            ChannelScalingInstruction(
                x: node.inputs[0].index,
                gate: node.inputs[1].index,
                y: node.output.index,
                accumulate: false
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output) else { return }
        let (x, gate) = (node.inputs[0], node.inputs[1])
        // The gate's gradient first: the input's can then take dy's memory.
        if let (dgate, accumulate) = lowering.contribution(to: gate) {
            lowering.emit(ChannelScalingGateGradient(x: x.index, dy: dy, dgate: dgate, accumulate: accumulate))
        }
        if let (dx, accumulate) = lowering.contribution(to: x) {
            lowering.emit(ChannelScalingInstruction(x: dy, gate: gate.index, y: dx, accumulate: accumulate))
        }
    }
}

extension GraphBuilder {
    /// x(n, y, x, c) · gate(n, c): `gate` has one pixel.
    package mutating func scaleChannels(
        _ x: Tensor,
        by gate: Tensor,
        name: String
    ) throws(GraphError) -> Tensor {
        try apply(ChannelScaling(), to: [x, gate], name: name)
    }
}

/// Forward and the gradient to x are the same multiplication.
struct ChannelScalingInstruction: Instruction {
    var x: Int
    var gate: Int
    var y: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [x, gate, y] : [x, gate] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { accumulate ? nil : .inPlace(output: y, input: x) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.scaleChannels(context.view(x), context.view(gate), context.view(y), accumulate)
    }
}

struct ChannelScalingGateGradient: Instruction {
    var x: Int
    var dy: Int
    var dgate: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [x, dy, dgate] : [x, dy] }
    var writes: [Int] { [dgate] }

    func run(_ context: ExecutionContext) {
        context.kernels.scaleChannelsBackward(context.view(x), context.view(dy), context.view(dgate), accumulate)
    }
}
