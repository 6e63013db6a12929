import Kernels

/// Mean over square windows.
struct AveragePooling: Operator {
    static let kind = "average pooling"

    var window: PoolingWindow

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        try window.outputShape(inputs[0], Self.kind)
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(AveragePoolingForward(x: node.inputs[0].index, y: node.output.index, window: window))
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(AveragePoolingBackward(dy: dy, dx: dx, window: window, accumulate: accumulate))
    }
}

extension GraphBuilder {
    /// PyTorch's `AvgPool2d`; `stride` nil means `size`.
    package mutating func averagePool(
        _ x: Tensor,
        name: String,
        size: Int = 2,
        stride: Int? = nil,
        padding: Int = 0,
        ceilMode: Bool = false,
        countsPadding: Bool = true
    ) throws(GraphError) -> Tensor {
        let window = PoolingWindow(
            size: size,
            stride: stride ?? size,
            padding: padding,
            ceilMode: ceilMode,
            countsPadding: countsPadding
        )
        return try apply(AveragePooling(window: window), to: [x], name: name)
    }
}

extension PoolingWindow {
    /// The shape of what pooling x gives.
    func outputShape(_ x: FeatureShape, _ kind: String) throws(ShapeDefect) -> FeatureShape {
        // PyTorch's bound on the padding; it also keeps every window on at least one pixel.
        if size < 1 || stride < 1 || padding < 0 || 2 * padding > size {
            throw ShapeDefect(
                "\(kind) needs a positive size and stride and a padding of at most half the size, found size "
                    + "\(size), stride \(stride), padding \(padding)."
            )
        }
        if min(x.height, x.width) + 2 * padding < size {
            throw ShapeDefect(
                "a pooling window of \(size) with padding \(padding) does not fit into \(x); use a larger image."
            )
        }
        return FeatureShape(
            height: outputExtent(x.height),
            width: outputExtent(x.width),
            channels: x.channels
        )
    }
}

struct AveragePoolingForward: Instruction {
    var x: Int
    var y: Int
    var window: PoolingWindow

    var reads: [Int] { [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.averagePool(context.view(x), context.view(y), window)
    }
}

struct AveragePoolingBackward: Instruction {
    var dy: Int
    var dx: Int
    var window: PoolingWindow
    var accumulate: Bool

    var reads: [Int] { accumulate ? [dy, dx] : [dy] }
    var writes: [Int] { [dx] }

    func run(_ context: ExecutionContext) {
        context.kernels.averagePoolBackward(context.view(dy), context.view(dx), window, accumulate)
    }
}
