import Kernels

/// Every pixel repeated `factor` × `factor` times.
struct NearestUpsampling: Operator {
    static let kind = "nearest upsampling"

    var factor: Int

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if factor < 1 { throw ShapeDefect("nearest upsampling needs a positive factor, found \(factor).") }
        return FeatureShape(
            height: inputs[0].height * factor,
            width: inputs[0].width * factor,
            channels: inputs[0].channels
        )
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(
            NearestUpsamplingForward(x: node.inputs[0].index, y: node.output.index, factor: factor)
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(NearestUpsamplingBackward(dy: dy, dx: dx, factor: factor, accumulate: accumulate))
    }
}

extension GraphBuilder {
    /// Every pixel repeated `factor` × `factor` times.
    package mutating func upsampleNearest(
        _ x: Tensor,
        name: String,
        factor: Int = 2
    ) throws(GraphError) -> Tensor {
        try apply(NearestUpsampling(factor: factor), to: [x], name: name)
    }
}

struct NearestUpsamplingForward: Instruction {
    var x: Int
    var y: Int
    var factor: Int

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.upsampleNearest(context.view(x), context.view(y), factor)
    }
}

struct NearestUpsamplingBackward: Instruction {
    var dy: Int
    var dx: Int
    var factor: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [dy, dx] : [dy] }
    var writes: [Int] { [dx] }

    func run(_ context: ExecutionContext) {
        context.kernels.upsampleNearestBackward(context.view(dy), context.view(dx), factor, accumulate)
    }
}
