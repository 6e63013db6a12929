import Kernels
import Numerics

// Element by element, in whatever order.

@inline(__always)
func place(_ view: TensorView, _ pixel: Int, _ channel: Int) -> UnsafeMutablePointer<Element> {
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

/// One pixel of all elements where the pixels lie side by side: whole registers of images and masks.
@inline(__always)
func joined(_ x: TensorView, _ y: TensorView) -> (TensorView, TensorView) {
    guard x.pixelStride == x.channels, y.pixelStride == y.channels else { return (x, y) }
    let count = x.pixels * x.channels
    return (
        TensorView(x.address, images: 1, height: 1, width: 1, channels: count),
        TensorView(y.address, images: 1, height: 1, width: 1, channels: count)
    )
}

/// y of `Float`s ← x.
@Sendable func widen(x: TensorView, y: TensorView, accumulate: Bool) {
    let (x, y) = joined(x, y)
    forEachLanes(x) { pixel, channel, count in
        let value = load(x.base + pixel * x.pixelStride + channel)
        let place = y.floats + pixel * y.pixelStride + channel
        storeLanes(accumulate ? load(place) + value : value, place, count)
    }
}

/// y ← x of `Float`s, rounded to y's elements.
@Sendable func narrow(x: TensorView, y: TensorView, accumulate: Bool) {
    let (x, y) = joined(x, y)
    forEachLanes(x) { pixel, channel, count in
        put(
            load(x.floats + pixel * x.pixelStride + channel),
            y.base + pixel * y.pixelStride + channel,
            count,
            accumulate
        )
    }
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
    var block = SIMD4<UInt32>(repeating: 0)
    var blockIndex = -1
    forEachLanes(x) { pixel, channel, count in
        // 1 where the element is kept.
        var kept = Lanes(repeating: 0)
        var lane = 0
        while lane < min(16, count) {
            let index = key.firstWord + pixel * x.channels + channel + lane
            if index >> 2 != blockIndex {
                blockIndex = index >> 2
                block = philox.block(
                    at: SIMD4(UInt32(truncatingIfNeeded: blockIndex), key.position, key.step, purpose)
                )
            }
            if block[index & 3] < threshold { kept[lane] = 1 }
            lane += 1
        }
        let value = load(place(x, pixel, channel)) / Lanes(repeating: keep)
        let chosen = Lanes(repeating: 0).replacing(with: value, where: kept .> Lanes(repeating: 0))
        put(chosen, place(y, pixel, channel), count, accumulate)
    }
}
