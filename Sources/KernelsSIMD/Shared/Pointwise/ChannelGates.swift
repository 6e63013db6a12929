import Kernels
import Numerics

// Factors for each channel of an image, or for a whole image.

@Sendable func scaleChannels(x: TensorView, gate: TensorView, y: TensorView, accumulate: Bool) {
    let pixels = x.pixelsPerImage
    var image = 0
    while image < x.images {
        let factors = gate.base + image * gate.pixelStride
        var pixel = image * pixels
        let last = pixel + pixels
        while pixel < last {
            var channel = 0
            while channel < x.channels {
                let value = load(place(x, pixel, channel)) * load(factors + channel)
                put(value, y, pixel, channel, x.channels - channel, accumulate: accumulate)
                channel += 16
            }
            pixel += 1
        }
        image += 1
    }
}

@Sendable func scaleChannelsBackward(x: TensorView, dy: TensorView, dgate: TensorView, accumulate: Bool) {
    let pixels = x.pixelsPerImage
    var image = 0
    while image < x.images {
        var first = 0
        while first < x.channels {
            let channels = min(group, x.channels - first)
            let (sums, _) = zeroedSums()
            var start = 0
            while start < pixels {
                let count = min(pixelBlock, pixels - start)
                let source = UnsafePointer(place(x, image * pixels + start, first))
                let gradient = UnsafePointer(place(dy, image * pixels + start, first))
                var channel = 0
                while channel + 64 <= channels {
                    productSums4(
                        source + channel,
                        x.pixelStride,
                        gradient + channel,
                        dy.pixelStride,
                        count,
                        sums + channel
                    )
                    channel += 64
                }
                while channel < channels {
                    productSums(
                        source + channel,
                        x.pixelStride,
                        gradient + channel,
                        dy.pixelStride,
                        count,
                        sums + channel
                    )
                    channel += 16
                }
                start += count
            }
            var channel = 0
            while channel < channels {
                let total = Lanes(
                    Float(sums[channel]),
                    Float(sums[channel + 1]),
                    Float(sums[channel + 2]),
                    Float(sums[channel + 3]),
                    Float(sums[channel + 4]),
                    Float(sums[channel + 5]),
                    Float(sums[channel + 6]),
                    Float(sums[channel + 7]),
                    Float(sums[channel + 8]),
                    Float(sums[channel + 9]),
                    Float(sums[channel + 10]),
                    Float(sums[channel + 11]),
                    Float(sums[channel + 12]),
                    Float(sums[channel + 13]),
                    Float(sums[channel + 14]),
                    Float(sums[channel + 15])
                )
                put(total, dgate, image, first + channel, channels - channel, accumulate: accumulate)
                channel += 16
            }
            first += group
        }
        image += 1
    }
}

/// Adds the sum of the products of `count` pixels to `sums`.
@inline(__always)
func productSums(
    _ x: UnsafePointer<Element>,
    _ xStride: Int,
    _ dy: UnsafePointer<Element>,
    _ dyStride: Int,
    _ count: Int,
    _ sums: UnsafeMutablePointer<Double>
) {
    var sum = Lanes(repeating: 0)
    var pixel = 0
    while pixel < count {
        sum = fma(load(x + pixel * xStride), load(dy + pixel * dyStride), sum)
        pixel += 1
    }
    widen(sum, into: sums)
}

/// The same for four blocks of channels.
@inline(__always)
func productSums4(
    _ x: UnsafePointer<Element>,
    _ xStride: Int,
    _ dy: UnsafePointer<Element>,
    _ dyStride: Int,
    _ count: Int,
    _ sums: UnsafeMutablePointer<Double>
) {
    let zero = Lanes(repeating: 0)
    var sum = (zero, zero, zero, zero)
    var pixel = 0
    while pixel < count {
        let source = x + pixel * xStride
        let gradient = dy + pixel * dyStride
        sum.0 = fma(load(source), load(gradient), sum.0)
        sum.1 = fma(load(source + 16), load(gradient + 16), sum.1)
        sum.2 = fma(load(source + 32), load(gradient + 32), sum.2)
        sum.3 = fma(load(source + 48), load(gradient + 48), sum.3)
        pixel += 1
    }
    widen(sum, into: sums)
}

@Sendable func dropConnect(
    x: TensorView,
    y: TensorView,
    keep: Float,
    threshold: UInt32,
    key: DropoutKey,
    accumulate: Bool
) {
    let philox = Philox(key: key.seed)
    let divisor = Lanes(repeating: keep)
    let pixels = x.pixelsPerImage
    var image = 0
    while image < x.images {
        let word = key.firstWord + image
        let block = philox.block(
            at: SIMD4(
                UInt32(truncatingIfNeeded: word >> 2),
                key.position,
                key.step,
                RandomPurpose.dropout.rawValue
            )
        )
        let isKept = block[word & 3] < threshold
        var pixel = image * pixels
        let last = pixel + pixels
        while pixel < last {
            var channel = 0
            while channel < x.channels {
                let value = isKept ? load(place(x, pixel, channel)) / divisor : Lanes(repeating: 0)
                put(value, y, pixel, channel, x.channels - channel, accumulate: accumulate)
                channel += 16
            }
            pixel += 1
        }
        image += 1
    }
}
