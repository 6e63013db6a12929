import Kernels
import Numerics

// Element by element, in whatever order.

@inline(__always)
func place(_ view: TensorView, _ pixel: Int, _ channel: Int) -> UnsafeMutablePointer<Float> {
    view.base + pixel * view.pixelStride + channel
}

@inline(__always)
func put(
    _ value: Lanes,
    _ view: TensorView,
    _ pixel: Int,
    _ channel: Int,
    _ count: Int,
    accumulate: Bool = false
) {
    let place = place(view, pixel, channel)
    storeLanes(accumulate ? load(place) + value : value, place, count)
}

@Sendable func relu(x: TensorView, y: TensorView) {
    forEachLanes(x) { pixel, c, n in put(clampBelow(load(place(x, pixel, c))), y, pixel, c, n) }
}

@Sendable func reluBackward(y: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
    forEachLanes(y) { pixel, c, n in
        let g = masked(load(place(dy, pixel, c)), where: load(place(y, pixel, c)))
        put(g, dx, pixel, c, n, accumulate: accumulate)
    }
}

@Sendable func sigmoid(x: TensorView, y: TensorView) {
    forEachLanes(x) { pixel, c, n in put(LaneMath.sigmoid(load(place(x, pixel, c))), y, pixel, c, n) }
}

@Sendable func sigmoidBackward(y: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
    forEachLanes(y) { pixel, c, n in
        let p = load(place(y, pixel, c))
        put(load(place(dy, pixel, c)) * (p * (1 - p)), dx, pixel, c, n, accumulate: accumulate)
    }
}

@Sendable func add(a: TensorView, b: TensorView, y: TensorView, relu: Bool) {
    forEachLanes(a) { pixel, c, n in
        let sum = load(place(a, pixel, c)) + load(place(b, pixel, c))
        put(relu ? clampBelow(sum) : sum, y, pixel, c, n)
    }
}

@Sendable func copy(x: TensorView, y: TensorView, accumulate: Bool) {
    forEachLanes(x) { pixel, c, n in put(load(place(x, pixel, c)), y, pixel, c, n, accumulate: accumulate) }
}

@Sendable func fill(y: TensorView, value: Float) {
    forEachLanes(y) { pixel, c, n in put(Lanes(repeating: value), y, pixel, c, n) }
}

@Sendable func dropout(
    x: TensorView,
    y: TensorView,
    keep: Float,
    threshold: UInt32,
    key: DropoutKey,
    accumulate: Bool
) {
    let philox = Philox(key: key.seed)
    let purpose = RandomPurpose.dropout.rawValue
    let pixels = x.pixels
    var block = SIMD4<UInt32>(repeating: 0)
    var blockIndex = -1
    var pixel = 0
    while pixel < pixels {
        var channel = 0
        while channel < x.channels {
            let index = key.firstWord + pixel * x.channels + channel
            if index >> 2 != blockIndex {
                blockIndex = index >> 2
                block = philox.block(
                    at: SIMD4(UInt32(truncatingIfNeeded: blockIndex), key.position, key.step, purpose)
                )
            }
            let value = block[index & 3] < threshold ? place(x, pixel, channel).pointee / keep : 0
            let target = place(y, pixel, channel)
            target.pointee = accumulate ? target.pointee + value : value
            channel += 1
        }
        pixel += 1
    }
}
