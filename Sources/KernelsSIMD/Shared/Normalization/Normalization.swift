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
        blockSums(x.pixels, count, total) { pixel, channel in
            load(x.base + pixel * x.pixelStride + first + channel)
        }
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
