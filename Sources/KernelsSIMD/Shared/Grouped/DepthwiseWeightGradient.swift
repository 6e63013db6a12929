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
            #if AVX512
                if g.kernelHeight == 3 && g.kernelWidth == 3 {
                    run.weights = dw + run.channel / 16 * g.taps * 16
                    if pair { depthwiseNineTaps2(run) } else { depthwiseNineTaps1(run) }
                    run.channel += pair ? 32 : 16
                    continue
                }
            #endif
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

#if AVX512
    /// The sums of a 3×3 kernel's taps for a block of channels.
    struct NineSums {
        var top = (Lanes(repeating: 0), Lanes(repeating: 0), Lanes(repeating: 0))
        var middle = (Lanes(repeating: 0), Lanes(repeating: 0), Lanes(repeating: 0))
        var bottom = (Lanes(repeating: 0), Lanes(repeating: 0), Lanes(repeating: 0))

        /// Adds an output whose taps all lie inside: `source` is the first, `row` and `tap` the steps between them.
        @inline(__always)
        mutating func add(_ source: UnsafePointer<Element>, _ row: Int, _ tap: Int, _ g: Lanes) {
            top.0 = fma(load(source), g, top.0)
            top.1 = fma(load(source + tap), g, top.1)
            top.2 = fma(load(source + 2 * tap), g, top.2)
            let second = source + row
            middle.0 = fma(load(second), g, middle.0)
            middle.1 = fma(load(second + tap), g, middle.1)
            middle.2 = fma(load(second + 2 * tap), g, middle.2)
            let third = second + row
            bottom.0 = fma(load(third), g, bottom.0)
            bottom.1 = fma(load(third + tap), g, bottom.1)
            bottom.2 = fma(load(third + 2 * tap), g, bottom.2)
        }

        /// Adds an output of which only taps `rows`, `columns` lie inside.
        mutating func add(
            _ source: UnsafePointer<Element>,
            _ row: Int,
            _ tap: Int,
            _ g: Lanes,
            rows: (low: Int, high: Int),
            columns: (low: Int, high: Int)
        ) {
            var ky = rows.low
            while ky < rows.high {
                var kx = columns.low
                while kx < columns.high {
                    let value = load(source + ky * row + kx * tap)
                    switch 3 * ky + kx {
                    case 0: top.0 = fma(value, g, top.0)
                    case 1: top.1 = fma(value, g, top.1)
                    case 2: top.2 = fma(value, g, top.2)
                    case 3: middle.0 = fma(value, g, middle.0)
                    case 4: middle.1 = fma(value, g, middle.1)
                    case 5: middle.2 = fma(value, g, middle.2)
                    case 6: bottom.0 = fma(value, g, bottom.0)
                    case 7: bottom.1 = fma(value, g, bottom.1)
                    default: bottom.2 = fma(value, g, bottom.2)
                    }
                    kx += 1
                }
                ky += 1
            }
        }

        /// Adds the sums to the gradient.
        func finish(_ run: DepthwiseRun, block: Int) {
            run.add(top.0, tap: 0, block: block)
            run.add(top.1, tap: 1, block: block)
            run.add(top.2, tap: 2, block: block)
            run.add(middle.0, tap: 3, block: block)
            run.add(middle.1, tap: 4, block: block)
            run.add(middle.2, tap: 5, block: block)
            run.add(bottom.0, tap: 6, block: block)
            run.add(bottom.1, tap: 7, block: block)
            run.add(bottom.2, tap: 8, block: block)
        }
    }

    /// All taps of a 3×3 kernel at once: each row of x and of dy is read once for them.
    @inline(__always)
    func depthwiseNineTaps(_ run: DepthwiseRun, pair: Bool) {
        var a = NineSums()
        var b = NineSums()
        let x = run.x
        let dy = run.dy
        let tap = run.dilation * x.pixelStride
        let rowStep = run.dilation * x.width * x.pixelStride
        let step = run.stride * x.pixelStride
        var row = run.firstRow
        while row < run.lastRow {
            let image = row / dy.height
            let iy = (row - image * dy.height) * run.stride - run.padding
            let rows = depthwiseTapsInside(iy, run.dilation, x.height)
            let start = UnsafePointer(x.base) + (image * x.height + iy) * x.width * x.pixelStride + run.channel
            var gradient = UnsafePointer(dy.base) + row * dy.width * dy.pixelStride + run.channel
            var c = 0
            while c < dy.width {
                let ix = c * run.stride - run.padding
                var source = start + ix * x.pixelStride
                if c == run.firstInside && rows.low == 0 && rows.high == 3 {
                    // Copies that only this loop sees stay in registers.
                    var first = a
                    var second = b
                    while c < run.lastInside {
                        first.add(source, rowStep, tap, load(gradient))
                        if pair { second.add(source + 16, rowStep, tap, load(gradient + 16)) }
                        source += step
                        gradient += dy.pixelStride
                        c += 1
                    }
                    a = first
                    if pair { b = second }
                    if c < dy.width && run.firstInside < run.lastInside { continue }
                    if c >= dy.width { break }
                }
                let columns = depthwiseTapsInside(ix, run.dilation, x.width)
                a.add(source, rowStep, tap, load(gradient), rows: rows, columns: columns)
                if pair {
                    b.add(source + 16, rowStep, tap, load(gradient + 16), rows: rows, columns: columns)
                }
                gradient += dy.pixelStride
                c += 1
            }
            row += 1
        }
        a.finish(run, block: 0)
        if pair { b.finish(run, block: 1) }
    }

    /// Which of three taps from `first` on lie inside `extent`.
    @inline(__always)
    func depthwiseTapsInside(_ first: Int, _ step: Int, _ extent: Int) -> (low: Int, high: Int) {
        var low = 0
        while low < 3 && first + low * step < 0 { low += 1 }
        var high = 3
        while high > low && first + (high - 1) * step >= extent { high -= 1 }
        return (low, high)
    }

    func depthwiseNineTaps1(_ run: DepthwiseRun) { depthwiseNineTaps(run, pair: false) }
    func depthwiseNineTaps2(_ run: DepthwiseRun) { depthwiseNineTaps(run, pair: true) }
#endif
