import CIntrinsics
import Kernels

// Batch normalisation and sums over pixels. A pixel block's sums stay in registers and go to `Double` in memory at
// its end.

let pixelBlock = 64
/// Channels of a group.
let group = 64

/// `Double` sums of two quantities for a group of channels, zeroed: the thread's scratch memory.
@inline(__always)
func zeroedSums() -> (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) {
    let sums = pleura_group_sums()
    var index = 0
    while index < 2 * group {
        sums[index] = 0
        index += 1
    }
    return (sums, sums + group)
}

@inline(__always)
func widen(_ value: Lanes, into sums: UnsafeMutablePointer<Double>) {
    var lane = 0
    while lane < 16 {
        sums[lane] += Double(value[lane])
        lane += 1
    }
}

@inline(__always)
func widen(_ values: (Lanes, Lanes, Lanes, Lanes), into sums: UnsafeMutablePointer<Double>) {
    widen(values.0, into: sums)
    widen(values.1, into: sums + 16)
    widen(values.2, into: sums + 32)
    widen(values.3, into: sums + 48)
}

@inline(__always)
func addDeviation(_ d: Lanes, _ sum: inout Lanes, _ square: inout Lanes) {
    sum += d
    square = fma(d, d, square)
}

@Sendable func channelSums(x: TensorView, sums: UnsafeMutablePointer<Float>) {
    var first = 0
    while first < x.channels {
        let count = min(group, x.channels - first)
        let (total, _) = zeroedSums()
        blockSums(x.pixels, count, total) { pixel, channel in load(x.base + pixel * x.pixelStride + first + channel) }
        var channel = 0
        while channel < count {
            sums[first + channel] = Float(total[channel])
            channel += 1
        }
        first += group
    }
}

/// Block sums of `value(pixel, channel)` for `channels` of a group.
@inline(__always)
func blockSums(
    _ pixels: Int,
    _ channels: Int,
    _ sums: UnsafeMutablePointer<Double>,
    _ value: (_ pixel: Int, _ channel: Int) -> Lanes
) {
    var first = 0
    while first < pixels {
        let last = min(first + pixelBlock, pixels)
        var channel = 0
        while channel < channels {
            var s0 = Lanes(repeating: 0)
            var pixel = first
            while pixel < last {
                s0 += value(pixel, channel)
                pixel += 1
            }
            widen(s0, into: sums + channel)
            channel += 16
        }
        first = last
    }
}

@Sendable func batchStatistics(
    x: TensorView,
    mean: UnsafeMutablePointer<Float>,
    variance: UnsafeMutablePointer<Float>
) {
    let pixels = x.pixels
    let count = Double(pixels)
    let firstBlock = min(pixelBlock, pixels)
    var first = 0
    while first < x.channels {
        let channels = min(group, x.channels - first)
        let (sums, squares) = zeroedSums()
        var channel = 0
        while channel < channels {
            let base = x.base + first + channel
            var shift = Lanes(repeating: 0)
            var pixel = 0
            while pixel < firstBlock {
                shift += load(base + pixel * x.pixelStride)
                pixel += 1
            }
            shift /= Lanes(repeating: Float(firstBlock))
            storeLanes(shift, mean + first + channel, channels - channel)
            channel += 16
        }
        var start = 0
        while start < pixels {
            let last = min(start + pixelBlock, pixels)
            channel = 0
            // Four registers of channels at once read whole runs of memory.
            while channel + 64 <= channels {
                let base = x.base + first + channel
                let shift = (
                    load(mean + first + channel), load(mean + first + channel + 16),
                    load(mean + first + channel + 32), load(mean + first + channel + 48)
                )
                let zero = Lanes(repeating: 0)
                var sum = (zero, zero, zero, zero)
                var square = (zero, zero, zero, zero)
                var pixel = start
                while pixel < last {
                    let place = base + pixel * x.pixelStride
                    addDeviation(load(place) - shift.0, &sum.0, &square.0)
                    addDeviation(load(place + 16) - shift.1, &sum.1, &square.1)
                    addDeviation(load(place + 32) - shift.2, &sum.2, &square.2)
                    addDeviation(load(place + 48) - shift.3, &sum.3, &square.3)
                    pixel += 1
                }
                widen(sum, into: sums + channel)
                widen(square, into: squares + channel)
                channel += 64
            }
            while channel < channels {
                let base = x.base + first + channel
                let shift = load(mean + first + channel)
                var sum = Lanes(repeating: 0)
                var square = Lanes(repeating: 0)
                var pixel = start
                while pixel < last {
                    addDeviation(load(base + pixel * x.pixelStride) - shift, &sum, &square)
                    pixel += 1
                }
                widen(sum, into: sums + channel)
                widen(square, into: squares + channel)
                channel += 16
            }
            start = last
        }
        channel = 0
        while channel < channels {
            let deviation = sums[channel] / count
            let spread = squares[channel] / count - deviation * deviation
            mean[first + channel] = Float(Double(mean[first + channel]) + deviation)
            variance[first + channel] = Float(spread < 0 ? 0 : spread)
            channel += 1
        }
        first += group
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
    if y.ahead != 0 { return scaleShiftAhead(x, scale, shift, residual, y, activation) }
    switch activation {
    case .none:
        scaleShiftEach(x, scale, shift, residual, y, fetches: false) { $0 }
    case .relu:
        scaleShiftEach(x, scale, shift, residual, y, fetches: false) { clampBelow($0) }
    case .silu:
        scaleShiftSiLU(x, scale, shift, residual, y)
    case .leakyReLU(let factor):
        scaleShiftLeaky(x, scale, shift, residual, y, Lanes(repeating: factor))
    }
}

/// The same into some channels of a wider tensor, whose lines are asked for ahead.
func scaleShiftAhead(
    _ x: TensorView,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>,
    _ residual: TensorView?,
    _ y: TensorView,
    _ activation: Activation
) {
    switch activation {
    case .none:
        scaleShiftEach(x, scale, shift, residual, y, fetches: true) { $0 }
    case .relu:
        scaleShiftEach(x, scale, shift, residual, y, fetches: true) { clampBelow($0) }
    case .silu:
        scaleShiftSiLU(x, scale, shift, residual, y)
    case .leakyReLU(let factor):
        scaleShiftLeaky(x, scale, shift, residual, y, Lanes(repeating: factor))
    }
}

// Functions of their own: the compiler stops inlining in functions of many blocks.

func scaleShiftSiLU(
    _ x: TensorView,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>,
    _ residual: TensorView?,
    _ y: TensorView
) {
    #if AVX512
        if residual == nil { return scaleShiftSiLU4(x, scale, shift, y) }
    #endif
    scaleShiftEach(x, scale, shift, residual, y, fetches: false) { LaneMath.silu($0) }
}

#if AVX512
    // One chain of e⁻ᶻ is longer than what the processor looks ahead: four of them side by side hide each other's latency.

    func scaleShiftSiLU4(
        _ x: TensorView,
        _ scale: UnsafePointer<Float>,
        _ shift: UnsafePointer<Float>,
        _ y: TensorView
    ) {
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

func scaleShiftLeaky(
    _ x: TensorView,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>,
    _ residual: TensorView?,
    _ y: TensorView,
    _ slope: Lanes
) {
    scaleShiftEach(x, scale, shift, residual, y, fetches: false) { leaky($0, slope) }
}

/// `fetches` is a constant where it is inlined: the test for it costs as much as the work.
@inline(__always)
func scaleShiftEach(
    _ x: TensorView,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>,
    _ residual: TensorView?,
    _ y: TensorView,
    fetches: Bool,
    _ activated: (Lanes) -> Lanes
) {
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

@Sendable func batchNormBackwardSums(
    x: TensorView,
    dy: TensorView,
    activation: ActivationGradient,
    mean: UnsafePointer<Float>,
    inverseDeviation: UnsafePointer<Float>,
    dGamma: UnsafeMutablePointer<Float>,
    dBeta: UnsafeMutablePointer<Float>
) {
    switch activation.activation {
    case .none:
        maskedBackwardSums(x, dy, nil, mean, inverseDeviation, dGamma, dBeta)
    case .relu:
        maskedBackwardSums(x, dy, activation.y, mean, inverseDeviation, dGamma, dBeta)
    case .silu:
        guard let scale = activation.scale, let shift = activation.shift else { return }
        siluBackwardSums(x, dy, scale, shift, mean, inverseDeviation, dGamma, dBeta)
    case .leakyReLU(let factor):
        guard let y = activation.y else { return }
        leakyBackwardSums(x, dy, y, Lanes(repeating: factor), mean, inverseDeviation, dGamma, dBeta)
    }
}

func siluBackwardSums(
    _ x: TensorView,
    _ dy: TensorView,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>,
    _ mean: UnsafePointer<Float>,
    _ inverseDeviation: UnsafePointer<Float>,
    _ dGamma: UnsafeMutablePointer<Float>,
    _ dBeta: UnsafeMutablePointer<Float>
) {
    activatedBackwardSums(x, dy, mean, inverseDeviation, dGamma, dBeta) { input, pixel, channel in
        let z = fma(input, load(scale + channel), load(shift + channel))
        return load(dy.base + pixel * dy.pixelStride + channel) * LaneMath.siluDerivative(z)
    }
}

func leakyBackwardSums(
    _ x: TensorView,
    _ dy: TensorView,
    _ y: TensorView,
    _ slope: Lanes,
    _ mean: UnsafePointer<Float>,
    _ inverseDeviation: UnsafePointer<Float>,
    _ dGamma: UnsafeMutablePointer<Float>,
    _ dBeta: UnsafeMutablePointer<Float>
) {
    activatedBackwardSums(x, dy, mean, inverseDeviation, dGamma, dBeta) { _, pixel, channel in
        leakyMasked(
            load(dy.base + pixel * dy.pixelStride + channel),
            where: load(y.base + pixel * y.pixelStride + channel),
            slope
        )
    }
}

/// The sums where the gradient takes more than a mask; `gradient` is that at (value of x, pixel, channel).
///
/// Pixel by pixel, in the order in which they lie in memory: the block's sums stay in the first cache.
@inline(__always)
func activatedBackwardSums(
    _ x: TensorView,
    _ dy: TensorView,
    _ mean: UnsafePointer<Float>,
    _ inverseDeviation: UnsafePointer<Float>,
    _ dGamma: UnsafeMutablePointer<Float>,
    _ dBeta: UnsafeMutablePointer<Float>,
    _ gradient: (Lanes, Int, Int) -> Lanes
) {
    let pixels = x.pixels
    let most = Int(PLEURA_SUMMED_CHANNELS)
    let gammas = pleura_block_sums()
    let betas = gammas + most
    let totals = UnsafeMutableRawPointer(betas + most).assumingMemoryBound(to: Double.self)
    @inline(__always)
    func addSums(_ g: Lanes, _ channel: Int, _ place: Int, _ source: UnsafeMutablePointer<Element>) {
        let normalized = (load(source + place) - load(mean + place)) * load(inverseDeviation + place)
        storeLanes(load(betas + channel) + g, betas + channel)
        storeLanes(fma(g, normalized, load(gammas + channel)), gammas + channel)
    }
    var first = 0
    while first < x.channels {
        let channels = min(most, x.channels - first)
        var channel = 0
        while channel < channels {
            totals[channel] = 0
            totals[most + channel] = 0
            channel += 1
        }
        var start = 0
        while start < pixels {
            let last = min(start + pixelBlock, pixels)
            channel = 0
            while channel < channels {
                storeLanes(Lanes(repeating: 0), gammas + channel)
                storeLanes(Lanes(repeating: 0), betas + channel)
                channel += 16
            }
            var pixel = start
            while pixel < last {
                let source = x.base + pixel * x.pixelStride
                channel = 0
                #if AVX512
                    while channel + 64 <= channels {
                        let place = first + channel
                        let g0 = gradient(load(source + place), pixel, place)
                        let g1 = gradient(load(source + place + 16), pixel, place + 16)
                        let g2 = gradient(load(source + place + 32), pixel, place + 32)
                        let g3 = gradient(load(source + place + 48), pixel, place + 48)
                        addSums(g0, channel, place, source)
                        addSums(g1, channel + 16, place + 16, source)
                        addSums(g2, channel + 32, place + 32, source)
                        addSums(g3, channel + 48, place + 48, source)
                        channel += 64
                    }
                #endif
                while channel < channels {
                    let place = first + channel
                    addSums(gradient(load(source + place), pixel, place), channel, place, source)
                    channel += 16
                }
                pixel += 1
            }
            channel = 0
            while channel < channels {
                totals[channel] += Double(gammas[channel])
                totals[most + channel] += Double(betas[channel])
                channel += 1
            }
            start = last
        }
        channel = 0
        while channel < channels {
            dGamma[first + channel] = Float(totals[channel])
            dBeta[first + channel] = Float(totals[most + channel])
            channel += 1
        }
        first += most
    }
}

/// The sums where g is dy, or dy where y > 0.
func maskedBackwardSums(
    _ x: TensorView,
    _ dy: TensorView,
    _ y: TensorView?,
    _ mean: UnsafePointer<Float>,
    _ inverseDeviation: UnsafePointer<Float>,
    _ dGamma: UnsafeMutablePointer<Float>,
    _ dBeta: UnsafeMutablePointer<Float>
) {
    let pixels = x.pixels
    let ahead = dy.ahead
    var first = 0
    while first < x.channels {
        let channels = min(group, x.channels - first)
        let (gammas, betas) = zeroedSums()
        var channel = 0
        var start = 0
        while start < pixels {
            let last = min(start + pixelBlock, pixels)
            channel = 0
            while channel + 64 <= channels {
                let place = first + channel
                let zero = Lanes(repeating: 0)
                var gamma = (zero, zero, zero, zero)
                var beta = (zero, zero, zero, zero)
                let center = (
                    load(mean + place), load(mean + place + 16), load(mean + place + 32), load(mean + place + 48)
                )
                let inverse = (
                    load(inverseDeviation + place), load(inverseDeviation + place + 16),
                    load(inverseDeviation + place + 32), load(inverseDeviation + place + 48)
                )
                var pixel = start
                while pixel < last {
                    let input = UnsafePointer(x.base + pixel * x.pixelStride + place)
                    let gradient = UnsafePointer(dy.base + pixel * dy.pixelStride + place)
                    if ahead != 0 { pleura_prefetch(gradient + ahead) }
                    if ahead != 0 { pleura_prefetch(gradient + ahead + 32) }
                    let g0: Lanes
                    let g1: Lanes
                    let g2: Lanes
                    let g3: Lanes
                    if let y {
                        let output = UnsafePointer(y.base + pixel * y.pixelStride + place)
                        g0 = masked(load(gradient), where: load(output))
                        g1 = masked(load(gradient + 16), where: load(output + 16))
                        g2 = masked(load(gradient + 32), where: load(output + 32))
                        g3 = masked(load(gradient + 48), where: load(output + 48))
                    } else {
                        g0 = load(gradient)
                        g1 = load(gradient + 16)
                        g2 = load(gradient + 32)
                        g3 = load(gradient + 48)
                    }
                    beta.0 += g0
                    beta.1 += g1
                    beta.2 += g2
                    beta.3 += g3
                    gamma.0 = fma(g0, (load(input) - center.0) * inverse.0, gamma.0)
                    gamma.1 = fma(g1, (load(input + 16) - center.1) * inverse.1, gamma.1)
                    gamma.2 = fma(g2, (load(input + 32) - center.2) * inverse.2, gamma.2)
                    gamma.3 = fma(g3, (load(input + 48) - center.3) * inverse.3, gamma.3)
                    pixel += 1
                }
                widen(gamma, into: gammas + channel)
                widen(beta, into: betas + channel)
                channel += 64
            }
            while channel < channels {
                let place = first + channel
                let center = load(mean + place)
                let inverse = load(inverseDeviation + place)
                var gamma = Lanes(repeating: 0)
                var beta = Lanes(repeating: 0)
                var pixel = start
                while pixel < last {
                    var g = load(dy.base + pixel * dy.pixelStride + place)
                    if let y { g = masked(g, where: load(y.base + pixel * y.pixelStride + place)) }
                    beta += g
                    gamma = fma(g, (load(x.base + pixel * x.pixelStride + place) - center) * inverse, gamma)
                    pixel += 1
                }
                widen(gamma, into: gammas + channel)
                widen(beta, into: betas + channel)
                channel += 16
            }
            start = last
        }
        channel = 0
        while channel < channels {
            dGamma[first + channel] = Float(gammas[channel])
            dBeta[first + channel] = Float(betas[channel])
            channel += 1
        }
        first += group
    }
}

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
        if (dy.ahead | dx.ahead) == 0 { run(fetches: false, gradient) } else { run(fetches: true, gradient) }
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
    pass.run { g, _, pixel, channel in masked(g, where: load(y.base + pixel * y.pixelStride + channel)) }
}

func siluNormalizationBackward(
    _ pass: NormalizationBackward,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>
) {
    #if AVX512
        if pass.residualGradient == nil && !pass.accumulate { return siluNormalizationBackward4(pass, scale, shift) }
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

/// Calls `body` for each pixel and block of up to 16 channels.
@inline(__always)
func forEachLanes(_ view: TensorView, _ body: (_ pixel: Int, _ channel: Int, _ count: Int) -> Void) {
    let pixels = view.pixels
    var pixel = 0
    while pixel < pixels {
        var channel = 0
        while channel < view.channels {
            body(pixel, channel, view.channels - channel)
            channel += 16
        }
        pixel += 1
    }
}
