import CIntrinsics
import Kernels

@Sendable func batchNormBackward(
    x: TensorView,
    dy: TensorView,
    activation: ActivationGradient,
    a: UnsafePointer<Float>,
    b: UnsafePointer<Float>,
    c: UnsafePointer<Float>,
    dx: TensorView,
    accumulate: Bool,
    residualGradient: TensorView?,
    accumulateResidual: Bool
) {
    let pass = NormalizationBackward(
        x: x,
        dy: dy,
        a: a,
        b: b,
        c: c,
        dx: dx,
        accumulate: accumulate,
        residualGradient: residualGradient,
        accumulateResidual: accumulateResidual
    )
    switch activation.activation {
    case .none:
        normalizationBackward(pass)
    case .relu:
        guard let y = activation.y else { return normalizationBackward(pass) }
        reluNormalizationBackward(pass, y)
    case .silu:
        guard let scale = activation.scale, let shift = activation.shift else { return }
        siluNormalizationBackward(pass, scale, shift)
    case .leakyReLU(let factor):
        guard let y = activation.y else { return }
        leakyNormalizationBackward(pass, y, Lanes(repeating: factor))
    }
}

/// The arguments of `batchNormBackward` but the activation.
struct NormalizationBackward {
    var x: TensorView
    var dy: TensorView
    var a: UnsafePointer<Float>
    var b: UnsafePointer<Float>
    var c: UnsafePointer<Float>
    var dx: TensorView
    var accumulate: Bool
    var residualGradient: TensorView?
    var accumulateResidual: Bool

    /// `gradient` is that of the activation.
    @inline(__always)
    borrowing func run(_ gradient: (_ dy: Lanes, _ x: Lanes, _ pixel: Int, _ channel: Int) -> Lanes) {
        if (dy.ahead | dx.ahead) == 0 {
            run(fetches: false, gradient)
        } else {
            run(fetches: true, gradient)
        }
    }

    @inline(__always)
    borrowing func run(
        fetches: Bool,
        _ gradient: (_ dy: Lanes, _ x: Lanes, _ pixel: Int, _ channel: Int) -> Lanes
    ) {
        let channels = x.channels
        let pixels = x.pixels
        let upperAhead = dy.ahead
        let targetAhead = dx.ahead
        var pixel = 0
        while pixel < pixels {
            let source = x.base + pixel * x.pixelStride
            let upper = dy.base + pixel * dy.pixelStride
            let target = dx.base + pixel * dx.pixelStride
            var channel = 0
            while channel < channels {
                let count = channels - channel
                if fetches {
                    pleura_prefetch_to_write(target + targetAhead + channel)
                    pleura_prefetch(upper + upperAhead + channel)
                }
                let input = load(source + channel)
                let g = gradient(load(upper + channel), input, pixel, channel)
                if let other = residualGradient {
                    put(g, other.base + pixel * other.pixelStride + channel, count, accumulateResidual)
                }
                let inner = fma(load(b + channel), input, load(c + channel))
                put(fma(load(a + channel), g, inner), target + channel, count, accumulate)
                channel += 16
            }
            pixel += 1
        }
    }
}

func normalizationBackward(_ pass: NormalizationBackward) { pass.run { g, _, _, _ in g } }

func reluNormalizationBackward(_ pass: NormalizationBackward, _ y: TensorView) {
    pass.run { g, _, pixel, channel in
        masked(g, where: load(y.base + pixel * y.pixelStride + channel))
    }
}

func siluNormalizationBackward(
    _ pass: NormalizationBackward,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>
) {
    #if AVX512
        if pass.residualGradient == nil && !pass.accumulate {
            return siluNormalizationBackward4(pass, scale, shift)
        }
    #endif
    pass.run { g, input, _, channel in
        g * LaneMath.siluDerivative(fma(input, load(scale + channel), load(shift + channel)))
    }
}

func leakyNormalizationBackward(_ pass: NormalizationBackward, _ y: TensorView, _ slope: Lanes) {
    pass.run { g, _, pixel, channel in
        leakyMasked(g, where: load(y.base + pixel * y.pixelStride + channel), slope)
    }
}

#if AVX512
    // Four chains side by side, as `scaleShiftSiLU4` has them.
    func siluNormalizationBackward4(
        _ pass: NormalizationBackward,
        _ scale: UnsafePointer<Float>,
        _ shift: UnsafePointer<Float>
    ) {
        let channels = pass.x.channels
        let pixels = pass.x.pixels
        let a = pass.a
        let b = pass.b
        let c = pass.c
        var source = UnsafePointer(pass.x.base)
        var upper = UnsafePointer(pass.dy.base)
        var target = pass.dx.base
        @inline(__always)
        func gradient(_ channel: Int) -> Lanes {
            let input = load(source + channel)
            let z = fma(input, load(scale + channel), load(shift + channel))
            let g = load(upper + channel) * LaneMath.siluDerivative(z)
            return fma(load(a + channel), g, fma(load(b + channel), input, load(c + channel)))
        }
        var pixel = 0
        while pixel < pixels {
            var channel = 0
            while channel + 64 <= channels {
                let g0 = gradient(channel)
                let g1 = gradient(channel + 16)
                let g2 = gradient(channel + 32)
                let g3 = gradient(channel + 48)
                let output = target + channel
                storeLanes(g0, output)
                storeLanes(g1, output + 16)
                storeLanes(g2, output + 32)
                storeLanes(g3, output + 48)
                channel += 64
            }
            while channel < channels {
                storeLanes(gradient(channel), target + channel, channels - channel)
                channel += 16
            }
            source += pass.x.pixelStride
            upper += pass.dy.pixelStride
            target += pass.dx.pixelStride
            pixel += 1
        }
    }
#endif
