import CIntrinsics
import Kernels

// Pooling windows, vectorised over channels. Where a window lies in the image is decided once for all channels.

/// The taps low ..< high of window `index` lie inside the image of `extent`.
@inline(__always)
func windowTaps(_ window: PoolingWindow, _ index: Int, _ extent: Int) -> (low: Int, high: Int) {
    let start = index * window.stride - window.padding
    return (start < 0 ? -start : 0, min(window.size, extent - start))
}

/// The windows low ..< high of `count` hold element `index`.
@inline(__always)
func windowsAround(_ window: PoolingWindow, _ index: Int, _ count: Int) -> (low: Int, high: Int) {
    let place = index + window.padding
    let low = place < window.size ? 0 : (place - window.size) / window.stride + 1
    return (low, min(count, place / window.stride + 1))
}

@Sendable func maxPool(
    x: TensorView,
    y: TensorView,
    taps: UnsafeMutablePointer<UInt8>,
    window: PoolingWindow
) {
    var target = taps
    var image = 0
    while image < y.images {
        var row = 0
        while row < y.height {
            let (lowRow, highRow) = windowTaps(window, row, x.height)
            var column = 0
            while column < y.width {
                let (low, high) = windowTaps(window, column, x.width)
                let source = UnsafePointer(
                    at(
                        x,
                        image,
                        row * window.stride - window.padding + lowRow,
                        column * window.stride - window.padding + low
                    )
                )
                let output = at(y, image, row, column)
                var channel = 0
                while channel < y.channels {
                    maxOfWindow(
                        source + channel,
                        x.width * x.pixelStride,
                        x.pixelStride,
                        firstTap: lowRow * window.size + low,
                        rows: highRow - lowRow,
                        columns: high - low,
                        size: window.size,
                        output + channel,
                        target + channel,
                        y.channels - channel
                    )
                    channel += 16
                }
                target += y.channels
                column += 1
            }
            row += 1
        }
        image += 1
    }
}

/// The maximum of `rows` × `columns` taps, at least one, and its number.
@inline(__always)
func maxOfWindow(
    _ source: UnsafePointer<Element>,
    _ rowStep: Int,
    _ columnStep: Int,
    firstTap: Int,
    rows: Int,
    columns: Int,
    size: Int,
    _ output: UnsafeMutablePointer<Element>,
    _ taps: UnsafeMutablePointer<UInt8>,
    _ count: Int
) {
    var best = load(source)
    var tap = SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: firstTap))
    var row = 0
    while row < rows {
        var column = 0
        while column < columns {
            // The first tap once more changes nothing but a NaN into itself.
            let value = load(source + row * rowStep + column * columnStep)
            let number = SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: firstTap + row * size + column))
            let wins = (value .> best) .| (value .!= value)
            best.replace(with: value, where: wins)
            tap.replace(with: number, where: wins)
            column += 1
        }
        row += 1
    }
    storeLanes(best, output, count)
    if count >= 16 {
        pleura_narrow(tap, taps)
    } else {
        var lane = 0
        while lane < count {
            taps[lane] = UInt8(truncatingIfNeeded: tap[lane])
            lane += 1
        }
    }
}

@Sendable func maxPoolBackward(
    dy: TensorView,
    taps: UnsafePointer<UInt8>,
    dx: TensorView,
    window: PoolingWindow,
    accumulate: Bool
) {
    let ahead = dx.ahead
    var image = 0
    while image < dx.images {
        var row = 0
        while row < dx.height {
            let (lowRow, highRow) = windowsAround(window, row, dy.height)
            var column = 0
            while column < dx.width {
                let (low, high) = windowsAround(window, column, dy.width)
                let place = at(dx, image, row, column)
                // The first window's tap that the element is; each further window's is smaller by the stride.
                let firstTap =
                    (row + window.padding - lowRow * window.stride) * window.size + column + window.padding - low
                    * window.stride
                let pixel = (image * dy.height + lowRow) * dy.width + low
                let gradient = UnsafePointer(dy.base) + pixel * dy.pixelStride
                let numbers = taps + pixel * dy.channels
                var channel = 0
                while channel < dx.channels {
                    if ahead != 0 { pleura_prefetch_to_write(place + ahead + channel) }
                    var sum = Lanes(repeating: 0)
                    var r = 0
                    while r < highRow - lowRow {
                        var c = 0
                        while c < high - low {
                            let value = load(gradient + (r * dy.width + c) * dy.pixelStride + channel)
                            let tap = firstTap - (r * window.size + c) * window.stride
                            let chosen =
                                pleura_widen(numbers + (r * dy.width + c) * dy.channels + channel)
                                .== SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: tap))
                            sum.replace(with: sum + value, where: chosen)
                            c += 1
                        }
                        r += 1
                    }
                    put(sum, place + channel, dx.channels - channel, accumulate)
                    channel += 16
                }
                column += 1
            }
            row += 1
        }
        image += 1
    }
}

@Sendable func averagePool(x: TensorView, y: TensorView, window: PoolingWindow) {
    var image = 0
    while image < y.images {
        var row = 0
        while row < y.height {
            let (lowRow, highRow) = windowTaps(window, row, x.height)
            let height = window.divisor(row, extent: x.height)
            var column = 0
            while column < y.width {
                let (low, high) = windowTaps(window, column, x.width)
                let divisor = Lanes(repeating: Float(height * window.divisor(column, extent: x.width)))
                let source = UnsafePointer(
                    at(
                        x,
                        image,
                        row * window.stride - window.padding + lowRow,
                        column * window.stride - window.padding + low
                    )
                )
                let output = at(y, image, row, column)
                var channel = 0
                while channel < y.channels {
                    var sum = Lanes(repeating: 0)
                    var r = 0
                    while r < highRow - lowRow {
                        var c = 0
                        while c < high - low {
                            sum += load(source + (r * x.width + c) * x.pixelStride + channel)
                            c += 1
                        }
                        r += 1
                    }
                    storeLanes(sum / divisor, output + channel, y.channels - channel)
                    channel += 16
                }
                column += 1
            }
            row += 1
        }
        image += 1
    }
}

@Sendable func averagePoolBackward(dy: TensorView, dx: TensorView, window: PoolingWindow, accumulate: Bool) {
    var image = 0
    while image < dx.images {
        var row = 0
        while row < dx.height {
            let (lowRow, highRow) = windowsAround(window, row, dy.height)
            var column = 0
            while column < dx.width {
                let (low, high) = windowsAround(window, column, dy.width)
                let place = at(dx, image, row, column)
                var channel = 0
                while channel < dx.channels {
                    var sum = Lanes(repeating: 0)
                    var r = lowRow
                    while r < highRow {
                        let height = window.divisor(r, extent: dx.height)
                        var c = low
                        while c < high {
                            let divisor = Float(height * window.divisor(c, extent: dx.width))
                            sum += load(at(dy, image, r, c) + channel) / Lanes(repeating: divisor)
                            c += 1
                        }
                        r += 1
                    }
                    put(sum, place + channel, dx.channels - channel, accumulate)
                    channel += 16
                }
                column += 1
            }
            row += 1
        }
        image += 1
    }
}
