import Kernels

// Batch normalisation and sums over pixels. A pixel block's sums stay in registers and go to `Double` in memory at
// its end.

let pixelBlock = 64
/// Channels of a group.
let group = 64

/// Calls `body` for each group of 64 channels with `Double` sums for two quantities, zeroed.
@inline(__always)
func forEachGroup(
    _ channels: Int,
    _ body: (_ first: Int, _ count: Int, _ a: UnsafeMutablePointer<Double>, _ b: UnsafeMutablePointer<Double>) -> Void
) {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * group) { memory in
        guard let sums = memory.baseAddress else { return }
        var first = 0
        while first < channels {
            var index = 0
            while index < 2 * group {
                sums[index] = 0
                index += 1
            }
            body(first, min(group, channels - first), sums, sums + group)
            first += group
        }
    }
}

@inline(__always)
func widen(_ value: Lanes, into sums: UnsafeMutablePointer<Double>) {
    var lane = 0
    while lane < 16 {
        sums[lane] += Double(value[lane])
        lane += 1
    }
}

@Sendable func channelSums(x: TensorView, sums: UnsafeMutablePointer<Float>) {
    forEachGroup(x.channels) { first, count, total, _ in
        blockSums(x.pixels, count, total) { pixel, channel in load(x.base + pixel * x.pixelStride + first + channel) }
        var channel = 0
        while channel < count {
            sums[first + channel] = Float(total[channel])
            channel += 1
        }
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
    forEachGroup(x.channels) { first, channels, sums, squares in
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
            var start = 0
            while start < pixels {
                let last = min(start + pixelBlock, pixels)
                var sum = Lanes(repeating: 0)
                var square = Lanes(repeating: 0)
                pixel = start
                while pixel < last {
                    let d = load(base + pixel * x.pixelStride) - shift
                    sum += d
                    square = fma(d, d, square)
                    pixel += 1
                }
                widen(sum, into: sums + channel)
                widen(square, into: squares + channel)
                start = last
            }
            channel += 16
        }
        channel = 0
        while channel < channels {
            let deviation = sums[channel] / count
            let spread = squares[channel] / count - deviation * deviation
            mean[first + channel] = Float(Double(mean[first + channel]) + deviation)
            variance[first + channel] = Float(spread < 0 ? 0 : spread)
            channel += 1
        }
    }
}

@Sendable func scaleShift(
    x: TensorView,
    scale: UnsafePointer<Float>,
    shift: UnsafePointer<Float>,
    residual: TensorView?,
    y: TensorView,
    relu: Bool
) {
    forEachLanes(x) { pixel, channel, count in
        var value = fma(load(x.base + pixel * x.pixelStride + channel), load(scale + channel), load(shift + channel))
        if let residual { value += load(residual.base + pixel * residual.pixelStride + channel) }
        if relu { value = clampBelow(value) }
        storeLanes(value, y.base + pixel * y.pixelStride + channel, count)
    }
}

@Sendable func batchNormBackwardSums(
    x: TensorView,
    dy: TensorView,
    y: TensorView?,
    mean: UnsafePointer<Float>,
    inverseDeviation: UnsafePointer<Float>,
    dGamma: UnsafeMutablePointer<Float>,
    dBeta: UnsafeMutablePointer<Float>
) {
    let pixels = x.pixels
    forEachGroup(x.channels) { first, channels, gammas, betas in
        var channel = 0
        while channel < channels {
            let place = first + channel
            let center = load(mean + place)
            let inverse = load(inverseDeviation + place)
            var start = 0
            while start < pixels {
                let last = min(start + pixelBlock, pixels)
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
                start = last
            }
            channel += 16
        }
        channel = 0
        while channel < channels {
            dGamma[first + channel] = Float(gammas[channel])
            dBeta[first + channel] = Float(betas[channel])
            channel += 1
        }
    }
}

@Sendable func batchNormBackward(
    x: TensorView,
    dy: TensorView,
    y: TensorView?,
    a: UnsafePointer<Float>,
    b: UnsafePointer<Float>,
    c: UnsafePointer<Float>,
    dx: TensorView,
    accumulate: Bool,
    residualGradient: TensorView?,
    accumulateResidual: Bool
) {
    forEachLanes(x) { pixel, channel, count in
        var g = load(dy.base + pixel * dy.pixelStride + channel)
        if let y { g = masked(g, where: load(y.base + pixel * y.pixelStride + channel)) }
        if let residualGradient {
            let place = residualGradient.base + pixel * residualGradient.pixelStride + channel
            storeLanes(accumulateResidual ? load(place) + g : g, place, count)
        }
        let inner = fma(load(b + channel), load(x.base + pixel * x.pixelStride + channel), load(c + channel))
        let place = dx.base + pixel * dx.pixelStride + channel
        let value = fma(load(a + channel), g, inner)
        storeLanes(accumulate ? load(place) + value : value, place, count)
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
