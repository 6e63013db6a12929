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
    if y.ahead == 0 {
        upsampleNearest(x, y, factor, fetches: false)
    } else {
        upsampleNearest(x, y, factor, fetches: true)
    }
}

@inline(__always)
func upsampleNearest(_ x: TensorView, _ y: TensorView, _ factor: Int, fetches: Bool) {
    let ahead = y.ahead
    forEachPlace(x) { image, row, column, channel, count in
        let value = load(at(x, image, row, column) + channel)
        var dy = 0
        while dy < factor {
            var dx = 0
            while dx < factor {
                let place = at(y, image, row * factor + dy, column * factor + dx) + channel
                if fetches { pleura_prefetch_to_write(place + ahead) }
                storeLanes(value, place, count)
                dx += 1
            }
            dy += 1
        }
    }
}

@Sendable func upsampleNearestBackward(dy: TensorView, dx: TensorView, factor: Int, accumulate: Bool) {
    if dy.ahead == 0 {
        upsampleNearestBackward(dy, dx, factor, accumulate, fetches: false)
    } else {
        upsampleNearestBackward(dy, dx, factor, accumulate, fetches: true)
    }
}

@inline(__always)
func upsampleNearestBackward(_ dy: TensorView, _ dx: TensorView, _ factor: Int, _ accumulate: Bool, fetches: Bool) {
    let ahead = dy.ahead
    forEachPlace(dx) { image, row, column, channel, count in
        let first = at(dy, image, row * factor, column * factor) + channel
        if fetches { pleura_prefetch(first + ahead) }
        var sum = load(first)
        var k = 1
        while k < factor * factor {
            let place = at(dy, image, row * factor + k / factor, column * factor + k % factor) + channel
            if fetches { pleura_prefetch(place + ahead) }
            sum += load(place)
            k += 1
        }
        put(sum, at(dx, image, row, column) + channel, count, accumulate)
    }
}
