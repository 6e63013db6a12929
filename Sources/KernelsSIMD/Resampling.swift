import CIntrinsics
import Kernels

// Global pooling and upsampling, vectorised over channels.
// The address of pixel (image, row, column).

@inline(__always)
func at(_ view: TensorView, _ image: Int, _ row: Int, _ column: Int) -> UnsafeMutablePointer<Element> {
    view.base + ((image * view.height + row) * view.width + column) * view.pixelStride
}

@inline(__always)
func put(_ value: Lanes, _ place: UnsafeMutablePointer<Element>, _ count: Int, _ accumulate: Bool) {
    storeLanes(accumulate ? load(place) + value : value, place, count)
}

/// Calls `body` for each pixel, by image, row and column, and block of up to 16 channels.
@inline(__always)
func forEachPlace(
    _ view: TensorView,
    _ body: (_ image: Int, _ row: Int, _ column: Int, _ channel: Int, _ count: Int) -> Void
) {
    var image = 0
    while image < view.images {
        var row = 0
        while row < view.height {
            var column = 0
            while column < view.width {
                var channel = 0
                while channel < view.channels {
                    body(image, row, column, channel, view.channels - channel)
                    channel += 16
                }
                column += 1
            }
            row += 1
        }
        image += 1
    }
}

@Sendable func globalAveragePool(x: TensorView, y: TensorView) {
    let pixels = x.pixelsPerImage
    var image = 0
    while image < x.images {
        var channel = 0
        while channel < x.channels {
            withUnsafeTemporaryAllocation(of: Double.self, capacity: 16) { memory in
                guard let total = memory.baseAddress else { return }
                var lane = 0
                while lane < 16 {
                    total[lane] = 0
                    lane += 1
                }
                var first = 0
                while first < pixels {
                    var sum = Lanes(repeating: 0)
                    var pixel = first
                    while pixel < min(first + 64, pixels) {
                        sum += load(x.base + (image * pixels + pixel) * x.pixelStride + channel)
                        pixel += 1
                    }
                    lane = 0
                    while lane < 16 {
                        total[lane] += Double(sum[lane])
                        lane += 1
                    }
                    first += 64
                }
                var mean = Lanes(repeating: 0)
                lane = 0
                while lane < 16 {
                    mean[lane] = Float(total[lane] / Double(pixels))
                    lane += 1
                }
                storeLanes(mean, y.base + image * y.pixelStride + channel, x.channels - channel)
            }
            channel += 16
        }
        image += 1
    }
}

@Sendable func globalAveragePoolBackward(dy: TensorView, dx: TensorView, accumulate: Bool) {
    let share = Lanes(repeating: 1 / Float(dx.pixelsPerImage))
    forEachPlace(dx) { image, row, column, channel, count in
        let value = load(dy.base + image * dy.pixelStride + channel) * share
        put(value, at(dx, image, row, column) + channel, count, accumulate)
    }
}

@Sendable func upsampleNearest(x: TensorView, y: TensorView, factor: Int) {
    forEachPlace(x) { image, row, column, channel, count in
        let value = load(at(x, image, row, column) + channel)
        var dy = 0
        while dy < factor {
            var dx = 0
            while dx < factor {
                storeLanes(value, at(y, image, row * factor + dy, column * factor + dx) + channel, count)
                dx += 1
            }
            dy += 1
        }
    }
}

@Sendable func upsampleNearestBackward(dy: TensorView, dx: TensorView, factor: Int, accumulate: Bool) {
    forEachPlace(dx) { image, row, column, channel, count in
        var sum = load(at(dy, image, row * factor, column * factor) + channel)
        var k = 1
        while k < factor * factor {
            sum += load(at(dy, image, row * factor + k / factor, column * factor + k % factor) + channel)
            k += 1
        }
        put(sum, at(dx, image, row, column) + channel, count, accumulate)
    }
}

@Sendable func upsampleBilinear(x: TensorView, y: TensorView, alignCorners: Bool) {
    let rows = BilinearAxis(source: x.height, target: y.height, alignCorners: alignCorners)
    let columns = BilinearAxis(source: x.width, target: y.width, alignCorners: alignCorners)
    var image = 0
    while image < y.images {
        var row = 0
        while row < y.height {
            let vertical = rows.sample(row)
            let t = Lanes(repeating: vertical.weight)
            var column = 0
            while column < y.width {
                let horizontal = columns.sample(column)
                let s = Lanes(repeating: horizontal.weight)
                var channel = 0
                while channel < y.channels {
                    let topLeft = load(at(x, image, vertical.lower, horizontal.lower) + channel)
                    let bottomLeft = load(at(x, image, vertical.upper, horizontal.lower) + channel)
                    let topRight = load(at(x, image, vertical.lower, horizontal.upper) + channel)
                    let bottomRight = load(at(x, image, vertical.upper, horizontal.upper) + channel)
                    let left = fma(bottomLeft - topLeft, t, topLeft)
                    let right = fma(bottomRight - topRight, t, topRight)
                    let place = at(y, image, row, column) + channel
                    storeLanes(fma(right - left, s, left), place, y.channels - channel)
                    channel += 16
                }
                column += 1
            }
            row += 1
        }
        image += 1
    }
}

@Sendable func upsampleBilinearBackward(
    dy: TensorView,
    dx: TensorView,
    alignCorners: Bool,
    accumulate: Bool
) {
    let rows = BilinearAxis(source: dx.height, target: dy.height, alignCorners: alignCorners)
    let columns = BilinearAxis(source: dx.width, target: dy.width, alignCorners: alignCorners)
    if !accumulate { fill(y: dx, value: 0) }
    var image = 0
    while image < dy.images {
        var row = 0
        while row < dy.height {
            let vertical = rows.sample(row)
            let t = Lanes(repeating: vertical.weight)
            var column = 0
            while column < dy.width {
                let horizontal = columns.sample(column)
                let s = Lanes(repeating: horizontal.weight)
                var channel = 0
                while channel < dy.channels {
                    let count = dy.channels - channel
                    let g = load(at(dy, image, row, column) + channel)
                    let bottom = g * t
                    let top = g - bottom
                    let topRight = top * s
                    let bottomRight = bottom * s
                    put(top - topRight, at(dx, image, vertical.lower, horizontal.lower) + channel, count, true)
                    put(topRight, at(dx, image, vertical.lower, horizontal.upper) + channel, count, true)
                    put(
                        bottom - bottomRight,
                        at(dx, image, vertical.upper, horizontal.lower) + channel,
                        count,
                        true
                    )
                    put(bottomRight, at(dx, image, vertical.upper, horizontal.upper) + channel, count, true)
                    channel += 16
                }
                column += 1
            }
            row += 1
        }
        image += 1
    }
}
