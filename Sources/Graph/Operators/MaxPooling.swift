import Kernels

/// Maximum over square windows; padding takes no part.
struct MaxPooling: Operator {
    static let kind = "max pooling"

    var window: PoolingWindow

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        // The kernels record the tap of the maximum in one byte.
        if window.size > 15 { throw ShapeDefect("max pooling reaches up to 15 pixels, found \(window.size).") }
        return try window.outputShape(inputs[0], Self.kind)
    }

    func forward(_ node: Node, in lowering: Lowering) {
        let bytes = lowering.images * lowering.graph.shape(of: node.output).elements
        let taps = lowering.vector((bytes + 3) / 4)
        lowering.save([taps], for: node)
        lowering.emit(
            MaxPoolingForward(x: node.inputs[0].index, y: node.output.index, taps: taps, window: window)
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(
            MaxPoolingBackward(
                dy: dy,
                taps: lowering.saved(for: node)[0],
                dx: dx,
                window: window,
                accumulate: accumulate
            )
        )
    }
}

extension GraphBuilder {
    /// PyTorch's `MaxPool2d`; `stride` nil means `size`.
    package mutating func maxPool(
        _ x: Tensor,
        name: String,
        size: Int,
        stride: Int? = nil,
        padding: Int = 0,
        ceilMode: Bool = false
    ) throws(GraphError) -> Tensor {
        let window = PoolingWindow(size: size, stride: stride ?? size, padding: padding, ceilMode: ceilMode)
        return try apply(MaxPooling(window: window), to: [x], name: name)
    }
}

struct MaxPoolingForward: Instruction {
    var x: Int
    var y: Int
    /// A byte for each element of y.
    var taps: Int
    var window: PoolingWindow

    var reads: [Int] { [x] }
    var writes: [Int] { [y, taps] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.maxPool(context.view(x), context.view(y), context.bytes(taps), window)
    }
}

struct MaxPoolingBackward: Instruction {
    var dy: Int
    var taps: Int
    var dx: Int
    var window: PoolingWindow
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [dy, taps, dx] : [dy, taps] }
    var writes: [Int] { [dx] }

    func run(_ context: ExecutionContext) {
        context.kernels.maxPoolBackward(
            context.view(dy),
            context.bytes(taps),
            context.view(dx),
            window,
            accumulate
        )
    }
}
