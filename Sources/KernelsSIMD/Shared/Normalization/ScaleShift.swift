import CIntrinsics
import Kernels

/// The arguments of `scaleShift` but the activation.
struct ScaleShift {
    var x: TensorView
    var scale: UnsafePointer<Float>
    var shift: UnsafePointer<Float>
    var residual: TensorView?
    var y: TensorView

    /// Where y is some channels of a wider tensor, its lines are asked for ahead.
    @inline(__always)
    func run(_ activated: (Lanes) -> Lanes) {
        if y.ahead == 0 { run(fetches: false, activated) } else { run(fetches: true, activated) }
    }

    /// `fetches` is a constant where it is inlined: the test for it costs as much as the work.
    @inline(__always)
    func run(fetches: Bool, _ activated: (Lanes) -> Lanes) {
        let ahead = y.ahead
        if let residual {
            forEachLanes(x) { pixel, channel, count in
                let value = fma(
                    load(x.base + pixel * x.pixelStride + channel),
                    load(scale + channel),
                    load(shift + channel)
                )
                let sum = value + load(residual.base + pixel * residual.pixelStride + channel)
                let place = y.base + pixel * y.pixelStride + channel
                if fetches { pleura_prefetch_to_write(place + ahead) }
                storeLanes(activated(sum), place, count)
            }
        } else {
            forEachLanes(x) { pixel, channel, count in
                let value = fma(
                    load(x.base + pixel * x.pixelStride + channel),
                    load(scale + channel),
                    load(shift + channel)
                )
                let place = y.base + pixel * y.pixelStride + channel
                if fetches { pleura_prefetch_to_write(place + ahead) }
                storeLanes(activated(value), place, count)
            }
        }
    }
}

@Sendable func scaleShift(
    x: TensorView,
    scale: UnsafePointer<Float>,
    shift: UnsafePointer<Float>,
    residual: TensorView?,
    y: TensorView,
    activation: Activation
) {
    let pass = ScaleShift(x: x, scale: scale, shift: shift, residual: residual, y: y)
    switch activation {
    case .none: scaleShiftPlain(pass)
    case .relu: scaleShiftReLU(pass)
    case .silu: scaleShiftSiLU(pass)
    case .leakyReLU(let factor): scaleShiftLeaky(pass, Lanes(repeating: factor))
    }
}

// Functions of their own: the compiler stops inlining in functions of many blocks.

func scaleShiftPlain(_ pass: ScaleShift) { pass.run { $0 } }

func scaleShiftReLU(_ pass: ScaleShift) { pass.run { clampBelow($0) } }

func scaleShiftLeaky(_ pass: ScaleShift, _ slope: Lanes) {
    pass.run(fetches: false) { leaky($0, slope) }
}

func scaleShiftSiLU(_ pass: ScaleShift) {
    #if AVX512
        if pass.residual == nil { return scaleShiftSiLU4(pass) }
    #endif
    pass.run(fetches: false) { LaneMath.silu($0) }
}

#if AVX512
    // One chain of e⁻ᶻ is longer than what the processor looks ahead: four of them side by side hide each other's latency.

    func scaleShiftSiLU4(_ pass: ScaleShift) {
        let x = pass.x
        let y = pass.y
        let scale = pass.scale
        let shift = pass.shift
        let channels = x.channels
        let pixels = x.pixels
        var source = UnsafePointer(x.base)
        var target = y.base
        var pixel = 0
        while pixel < pixels {
            var channel = 0
            while channel + 64 <= channels {
                let place = source + channel
                let factor = scale + channel
                let summand = shift + channel
                let z0 = fma(load(place), load(factor), load(summand))
                let z1 = fma(load(place + 16), load(factor + 16), load(summand + 16))
                let z2 = fma(load(place + 32), load(factor + 32), load(summand + 32))
                let z3 = fma(load(place + 48), load(factor + 48), load(summand + 48))
                let y0 = LaneMath.silu(z0)
                let y1 = LaneMath.silu(z1)
                let y2 = LaneMath.silu(z2)
                let y3 = LaneMath.silu(z3)
                let output = target + channel
                storeLanes(y0, output)
                storeLanes(y1, output + 16)
                storeLanes(y2, output + 32)
                storeLanes(y3, output + 48)
                channel += 64
            }
            while channel < channels {
                let z = fma(load(source + channel), load(scale + channel), load(shift + channel))
                storeLanes(LaneMath.silu(z), target + channel, channels - channel)
                channel += 16
            }
            source += x.pixelStride
            target += y.pixelStride
            pixel += 1
        }
    }

#endif
