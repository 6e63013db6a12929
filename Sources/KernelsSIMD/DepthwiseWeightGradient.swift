import Kernels

// The gradient of depthwise weights: for each tap the chain over a run's outputs stays in registers, two blocks of
// channels at once, so that enough chains run side by side.

/// dw ← the gradient by the rule of the contract; lanes past the channels are left as they come out.
func depthwiseBackwardWeights(
    _ x: TensorView,
    _ dy: TensorView,
    _ dw: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry
) {
    let rows = dy.images * dy.height
    let runLength = g.rowsPerRun(outputWidth: dy.width)
    let columns = TapAxis.forward(g.kernelWidth, g, source: x.width)
    var run = DepthwiseRun(x: x, dy: dy, stride: g.stride, dilation: g.dilation, padding: g.padding, weights: dw)
    run.blockStride = g.taps * 16
    while run.firstInside < dy.width && !columns.contains(run.firstInside, length: 1) { run.firstInside += 1 }
    run.lastInside = run.firstInside
    while run.lastInside < dy.width && columns.contains(run.lastInside, length: 1) { run.lastInside += 1 }
    while run.firstRow < rows {
        run.lastRow = min(run.firstRow + runLength, rows)
        run.channel = 0
        while run.channel < x.channels {
            let pair = run.channel + 16 < x.channels
            run.ky = 0
            while run.ky < g.kernelHeight {
                let row = dw + (run.channel / 16 * g.taps + run.ky * g.kernelWidth) * 16
                run.kx = 0
                while run.kx < g.kernelWidth {
                    run.weights = row + run.kx * 16
                    let left = g.kernelWidth - run.kx
                    if left == 5 {
                        if pair { depthwiseFiveTaps2(run) } else { depthwiseFiveTaps1(run) }
                        run.kx += 5
                    } else if left >= 3 {
                        if pair { depthwiseThreeTaps2(run) } else { depthwiseThreeTaps1(run) }
                        run.kx += 3
                    } else {
                        if pair { depthwiseOneTap2(run) } else { depthwiseOneTap1(run) }
                        run.kx += 1
                    }
                }
                run.ky += 1
            }
            run.channel += pair ? 32 : 16
        }
        run.firstRow = run.lastRow
    }
}

/// Taps (ky, kx), (ky, kx + 1), … of a run of output rows, for the channels from `channel` on.
struct DepthwiseRun {
    var x: TensorView
    var dy: TensorView
    var stride: Int
    var dilation: Int
    var padding: Int
    /// The gradient of the first tap for the first block of channels, and the step to the next block.
    var weights: UnsafeMutablePointer<Float>
    var blockStride = 0
    var firstRow = 0
    var lastRow = 0
    /// The output columns whose taps all lie inside.
    var firstInside = 0
    var lastInside = 0
    var channel = 0
    var ky = 0
    var kx = 0

    /// Calls `column(source, gradient, first, last)` for the columns of all rows in order; taps first ..< last of
    /// `count` are inside. `source` is that of the first tap, which may itself lie outside.
    @inline(__always)
    borrowing func forEachColumn(
        taps count: Int,
        _ column: (UnsafePointer<Element>, UnsafePointer<Element>, Int, Int) -> Void,
        _ inside: (UnsafePointer<Element>, UnsafePointer<Element>, Int) -> Void
    ) {
        let sourceStride = x.pixelStride
        var image = firstRow / dy.height
        var oy = firstRow - image * dy.height
        var row = firstRow
        while row < lastRow {
            let iy = oy * stride + ky * dilation - padding
            if iy >= 0, iy < x.height {
                let start = UnsafePointer(x.base) + (image * x.height + iy) * x.width * sourceStride + channel
                let gradient = UnsafePointer(dy.base) + row * dy.width * dy.pixelStride + channel
                var c = 0
                while c < dy.width {
                    let ix = c * stride + kx * dilation - padding
                    if c == firstInside, c < lastInside {
                        inside(start + ix * sourceStride, gradient + c * dy.pixelStride, lastInside - firstInside)
                        c = lastInside
                    } else {
                        let step = dilation
                        var first = 0
                        while first < count && ix + first * step < 0 { first += 1 }
                        var last = count
                        let width = x.width
                        while last > first && ix + (last - 1) * step >= width { last -= 1 }
                        if first < last {
                            column(start + ix * sourceStride, gradient + c * dy.pixelStride, first, last)
                        }
                        c += 1
                    }
                }
            }
            row += 1
            oy += 1
            if oy == dy.height {
                oy = 0
                image += 1
            }
        }
    }

    /// Adds the sums of tap `tap` to the gradient.
    @inline(__always)
    borrowing func add(_ sum: Lanes, tap: Int, block: Int) {
        let place = weights + block * blockStride + tap * 16
        storeLanes(load(place) + sum, place)
    }
}

@inline(__always)
func depthwiseOneTap(_ run: borrowing DepthwiseRun, pair: Bool) {
    var a = Lanes(repeating: 0)
    var b = a
    let step = run.stride * run.x.pixelStride
    let gradientStep = run.dy.pixelStride
    run.forEachColumn(taps: 1) { source, gradient, _, _ in
        a = fma(load(source), load(gradient), a)
        if pair { b = fma(load(source + 16), load(gradient + 16), b) }
    } _: { first, firstGradient, count in
        var source = first
        var gradient = firstGradient
        var column = 0
        while column < count {
            a = fma(load(source), load(gradient), a)
            if pair { b = fma(load(source + 16), load(gradient + 16), b) }
            source += step
            gradient += gradientStep
            column += 1
        }
    }
    run.add(a, tap: 0, block: 0)
    if pair { run.add(b, tap: 0, block: 1) }
}

@inline(__always)
func depthwiseThreeTaps(_ run: borrowing DepthwiseRun, pair: Bool) {
    var a = (Lanes(repeating: 0), Lanes(repeating: 0), Lanes(repeating: 0))
    var b = a
    let step = run.stride * run.x.pixelStride
    let gradientStep = run.dy.pixelStride
    let tap = run.dilation * run.x.pixelStride
    run.forEachColumn(taps: 3) { source, gradient, first, last in
        var g = load(gradient)
        if first <= 0 { a.0 = fma(load(source), g, a.0) }
        if first <= 1 && last > 1 { a.1 = fma(load(source + tap), g, a.1) }
        if last > 2 { a.2 = fma(load(source + 2 * tap), g, a.2) }
        if pair {
            g = load(gradient + 16)
            if first <= 0 { b.0 = fma(load(source + 16), g, b.0) }
            if first <= 1 && last > 1 { b.1 = fma(load(source + tap + 16), g, b.1) }
            if last > 2 { b.2 = fma(load(source + 2 * tap + 16), g, b.2) }
        }
    } _: { first, firstGradient, count in
        var source = first
        var gradient = firstGradient
        var column = 0
        while column < count {
            var g = load(gradient)
            a.0 = fma(load(source), g, a.0)
            a.1 = fma(load(source + tap), g, a.1)
            a.2 = fma(load(source + 2 * tap), g, a.2)
            if pair {
                g = load(gradient + 16)
                b.0 = fma(load(source + 16), g, b.0)
                b.1 = fma(load(source + tap + 16), g, b.1)
                b.2 = fma(load(source + 2 * tap + 16), g, b.2)
            }
            source += step
            gradient += gradientStep
            column += 1
        }
    }
    run.add(a.0, tap: 0, block: 0)
    run.add(a.1, tap: 1, block: 0)
    run.add(a.2, tap: 2, block: 0)
    if pair {
        run.add(b.0, tap: 0, block: 1)
        run.add(b.1, tap: 1, block: 1)
        run.add(b.2, tap: 2, block: 1)
    }
}

@inline(__always)
func depthwiseFiveTaps(_ run: borrowing DepthwiseRun, pair: Bool) {
    let zero = Lanes(repeating: 0)
    var a = (zero, zero, zero, zero, zero)
    var b = a
    let step = run.stride * run.x.pixelStride
    let gradientStep = run.dy.pixelStride
    let tap = run.dilation * run.x.pixelStride
    run.forEachColumn(taps: 5) { source, gradient, first, last in
        var g = load(gradient)
        if first <= 0 { a.0 = fma(load(source), g, a.0) }
        if first <= 1 && last > 1 { a.1 = fma(load(source + tap), g, a.1) }
        if first <= 2 && last > 2 { a.2 = fma(load(source + 2 * tap), g, a.2) }
        if first <= 3 && last > 3 { a.3 = fma(load(source + 3 * tap), g, a.3) }
        if last > 4 { a.4 = fma(load(source + 4 * tap), g, a.4) }
        if pair {
            g = load(gradient + 16)
            if first <= 0 { b.0 = fma(load(source + 16), g, b.0) }
            if first <= 1 && last > 1 { b.1 = fma(load(source + tap + 16), g, b.1) }
            if first <= 2 && last > 2 { b.2 = fma(load(source + 2 * tap + 16), g, b.2) }
            if first <= 3 && last > 3 { b.3 = fma(load(source + 3 * tap + 16), g, b.3) }
            if last > 4 { b.4 = fma(load(source + 4 * tap + 16), g, b.4) }
        }
    } _: { first, firstGradient, count in
        var source = first
        var gradient = firstGradient
        var column = 0
        while column < count {
            var g = load(gradient)
            a.0 = fma(load(source), g, a.0)
            a.1 = fma(load(source + tap), g, a.1)
            a.2 = fma(load(source + 2 * tap), g, a.2)
            a.3 = fma(load(source + 3 * tap), g, a.3)
            a.4 = fma(load(source + 4 * tap), g, a.4)
            if pair {
                g = load(gradient + 16)
                let second = source + 16
                b.0 = fma(load(second), g, b.0)
                b.1 = fma(load(second + tap), g, b.1)
                b.2 = fma(load(second + 2 * tap), g, b.2)
                b.3 = fma(load(second + 3 * tap), g, b.3)
                b.4 = fma(load(second + 4 * tap), g, b.4)
            }
            source += step
            gradient += gradientStep
            column += 1
        }
    }
    run.add(a.0, tap: 0, block: 0)
    run.add(a.1, tap: 1, block: 0)
    run.add(a.2, tap: 2, block: 0)
    run.add(a.3, tap: 3, block: 0)
    run.add(a.4, tap: 4, block: 0)
    if pair {
        run.add(b.0, tap: 0, block: 1)
        run.add(b.1, tap: 1, block: 1)
        run.add(b.2, tap: 2, block: 1)
        run.add(b.3, tap: 3, block: 1)
        run.add(b.4, tap: 4, block: 1)
    }
}

func depthwiseOneTap1(_ run: DepthwiseRun) { depthwiseOneTap(run, pair: false) }
func depthwiseOneTap2(_ run: DepthwiseRun) { depthwiseOneTap(run, pair: true) }
func depthwiseThreeTaps1(_ run: DepthwiseRun) { depthwiseThreeTaps(run, pair: false) }
func depthwiseThreeTaps2(_ run: DepthwiseRun) { depthwiseThreeTaps(run, pair: true) }
func depthwiseFiveTaps1(_ run: DepthwiseRun) { depthwiseFiveTaps(run, pair: false) }
func depthwiseFiveTaps2(_ run: DepthwiseRun) { depthwiseFiveTaps(run, pair: true) }
