import Kernels

/// An activation that a normalisation has taken over, with the tensors that its gradient reads.
struct FusedActivation: Sendable {
    var activation: Activation
    private var y: Int
    private var scale: Int
    private var shift: Int

    /// `y` is the output; `scale` and `shift` are the vectors that the normalisation applied to its input.
    init(_ activation: Activation, y: Int, scale: Int, shift: Int) {
        self.activation = activation
        self.y = y
        self.scale = scale
        self.shift = shift
    }

    var reads: [Int] {
        switch activation {
        case .none: []
        case .relu, .leakyReLU: [y]
        case .silu: [scale, shift]
        }
    }

    /// `image` nil: over all images; else over that one, whose scale and shift begin `offset` elements further on.
    func gradient(_ context: ExecutionContext, image: Int? = nil, offset: Int = 0) -> ActivationGradient {
        switch activation {
        case .none:
            return ActivationGradient(.none)
        case .relu, .leakyReLU:
            let view = context.view(y)
            return ActivationGradient(activation, y: image.map { view.image($0, context.kernels.format) } ?? view)
        case .silu:
            return ActivationGradient(
                activation,
                scale: UnsafePointer(context.pointer(scale)) + offset,
                shift: UnsafePointer(context.pointer(shift)) + offset
            )
        }
    }
}

extension Activation {
    /// The name for traces and reports; nothing where there is none.
    var words: [String] {
        switch self {
        case .none: []
        case .relu: ["ReLU"]
        case .silu: ["Swish"]
        case .leakyReLU: ["LeakyReLU"]
        }
    }
}

/// Emits dx ← the gradient of an activation whose output is `y`; not for SiLU, which needs its input.
func emitActivationGradient(
    _ activation: Activation,
    y: Int,
    dy: Int,
    dx: Int,
    accumulate: Bool,
    in lowering: Lowering
) {
    switch activation {
    case .none, .silu:
        lowering.emit(CopyInstruction(x: dy, y: dx, accumulate: accumulate))
    case .relu:
        lowering.emit(ReLUBackward(y: y, dy: dy, dx: dx, accumulate: accumulate))
    case .leakyReLU(let slope):
        lowering.emit(LeakyReLUBackward(y: y, dy: dy, dx: dx, slope: slope, accumulate: accumulate))
    }
}

extension TensorView {
    /// The view of one image of elements in `format`.
    func image(_ index: Int, _ format: ElementFormat) -> TensorView {
        var view = self
        view.address += index * pixelsPerImage * pixelStride * format.byteCount
        view.images = 1
        return view
    }
}
