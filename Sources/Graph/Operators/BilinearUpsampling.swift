import Kernels

/// Bilinear resampling to a given size.
struct BilinearUpsampling: Operator {
    static let kind = "bilinear upsampling"

    var height: Int
    var width: Int
    var alignCorners: Bool

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if height < 1 || width < 1 {
            throw ShapeDefect("bilinear upsampling needs a positive size, found \(height)×\(width).")
        }
        return FeatureShape(height: height, width: width, channels: inputs[0].channels)
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(
            BilinearUpsamplingForward(
                x: node.inputs[0].index,
                y: node.output.index,
                alignCorners: alignCorners
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(
            BilinearUpsamplingBackward(dy: dy, dx: dx, alignCorners: alignCorners, accumulate: accumulate)
        )
    }
}

extension GraphBuilder {
    /// PyTorch's `interpolate(size:mode: "bilinear")`, to any size.
    package mutating func upsampleBilinear(
        _ x: Tensor,
        name: String,
        height: Int,
        width: Int,
        alignCorners: Bool = false
    ) throws(GraphError) -> Tensor {
        try apply(
            BilinearUpsampling(height: height, width: width, alignCorners: alignCorners),
            to: [x],
            name: name
        )
    }
}

struct BilinearUpsamplingForward: Instruction {
    var x: Int
    var y: Int
    var alignCorners: Bool

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.upsampleBilinear(context.view(x), context.view(y), alignCorners)
    }
}

struct BilinearUpsamplingBackward: Instruction {
    var dy: Int
    var dx: Int
    var alignCorners: Bool
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [dy, dx] : [dy] }
    var writes: [Int] { [dx] }

    func run(_ context: ExecutionContext) {
        context.kernels.upsampleBilinearBackward(context.view(dy), context.view(dx), alignCorners, accumulate)
    }
}
