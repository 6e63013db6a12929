import CIntrinsics
import Kernels

@Sendable func groupedConvolutionBackwardWeights(
    x: TensorView,
    dy: TensorView,
    dw: UnsafeMutablePointer<Float>,
    geometry g: ConvolutionGeometry
) {
    var index = 0
    while index < g.storageCount {
        storeLanes(Lanes(repeating: 0), dw + index)
        index += 16
    }
    if g.isDepthwise {
        depthwiseBackwardWeights(x, dy, dw, g)
    } else {
        groupedBackwardWeights(x, dy, dw, g)
    }
    // Lanes past the last output channel have summed what lies beside the gradient's channels.
    let used = g.outputChannels & 15
    guard used != 0 else { return }
    let count = g.taps * g.inputsPerGroup
    let block = dw + g.outputChannels / 16 * count * 16
    var row = 0
    while row < count {
        var lane = used
        while lane < 16 {
            block[row * 16 + lane] = 0
            lane += 1
        }
        row += 1
    }
}

func groupedBackwardWeights(
    _ x: TensorView,
    _ dy: TensorView,
    _ dw: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry
) {
    let rows = dy.images * dy.height
    let runLength = g.rowsPerRun(outputWidth: dy.width)
    let access = GroupAccess.of(inputsPerGroup: g.inputsPerGroup, outputsPerGroup: g.outputsPerGroup)
    var run = GroupedRun(x: x, dy: dy, geometry: g, weights: dw)
    while run.firstRow < rows {
        run.lastRow = min(run.firstRow + runLength, rows)
        run.channel = 0
        while run.channel < g.outputChannels {
            // Where the block's source channels start: those of its lanes, or of its group.
            run.sourceChannel =
                access == .permutation
                ? run.channel : run.channel / g.outputsPerGroup * g.inputsPerGroup
            run.ky = 0
            while run.ky < g.kernelHeight {
                #if AVX512
                    if access == .permutation && g.kernelWidth == 3 && g.inputsPerGroup >= 4 {
                        let place = (run.channel / 16 * g.taps + run.ky * 3) * g.inputsPerGroup * 16
                        run.kx = 0
                        run.input = 0
                        while run.input < g.inputsPerGroup {
                            run.weights = dw + place + run.input * 16
                            permutedThreeTaps(run)
                            run.input += 4
                        }
                        run.ky += 1
                        continue
                    }
                #endif
                run.kx = 0
                while run.kx < g.kernelWidth {
                    let place =
                        (run.channel / 16 * g.taps + run.ky * g.kernelWidth + run.kx) * g.inputsPerGroup * 16
                    run.input = 0
                    while run.input < g.inputsPerGroup {
                        run.weights = dw + place + run.input * 16
                        let left = g.inputsPerGroup - run.input
                        if access == .permutation {
                            if left >= 4 { permutedFourInputs(run) } else { permutedOneInput(run) }
                        } else if access == .broadcast {
                            if left >= 8 {
                                broadcastEightInputs(run)
                            } else {
                                broadcastOneInput(run)
                            }
                        } else {
                            scatteredOneInput(run)
                        }
                        let wide = access == .permutation ? 4 : (access == .broadcast ? 8 : 1)
                        run.input += left >= wide ? wide : 1
                    }
                    run.kx += 1
                }
                run.ky += 1
            }
            run.channel += 16
        }
        run.firstRow = run.lastRow
    }
}

/// Tap (ky, kx) of a run of output rows, for output channels `channel` … and input channels `input` … of a group.
struct GroupedRun {
    var x: TensorView
    var dy: TensorView
    var geometry: ConvolutionGeometry
    var weights: UnsafeMutablePointer<Float>
    var firstRow = 0
    var lastRow = 0
    var channel = 0
    var sourceChannel = 0
    var input = 0
    var ky = 0
    var kx = 0

    /// Calls `body(source, gradient)` for the run's outputs whose tap lies inside, in order.
    @inline(__always)
    borrowing func forEachOutput(_ body: (UnsafePointer<Element>, UnsafePointer<Element>) -> Void) {
        let stride = geometry.stride
        // Input column = c · stride + offset must lie in 0 ..< width.
        let offset = kx * geometry.dilation - geometry.padding
        let firstColumn = offset < 0 ? (-offset + stride - 1) / stride : 0
        let last = x.width - 1 - offset
        let lastColumn = last < 0 ? 0 : min(dy.width, last / stride + 1)
        guard firstColumn < lastColumn else { return }
        let step = stride * x.pixelStride
        let gradientStep = dy.pixelStride
        var row = firstRow
        while row < lastRow {
            let image = row / dy.height
            let iy = (row - image * dy.height) * stride + ky * geometry.dilation - geometry.padding
            if iy >= 0, iy < x.height {
                let pixel = (image * x.height + iy) * x.width + firstColumn * stride + offset
                var source = UnsafePointer(x.base) + pixel * x.pixelStride + sourceChannel
                var gradient = UnsafePointer(dy.base) + (row * dy.width + firstColumn) * gradientStep + channel
                var column = firstColumn
                while column < lastColumn {
                    body(source, gradient)
                    source += step
                    gradient += gradientStep
                    column += 1
                }
            }
            row += 1
        }
    }

    /// Adds the sums of the input channel `offset` after the first to the gradient.
    @inline(__always)
    borrowing func add(_ sum: Lanes, _ offset: Int) {
        let place = weights + offset * 16
        storeLanes(load(place) + sum, place)
    }
}

func permutedFourInputs(_ run: GroupedRun) {
    let zero = Lanes(repeating: 0)
    var sum = (zero, zero, zero, zero)
    let size = run.geometry.inputsPerGroup
    let index = (
        pleura_group_lanes(size, run.input), pleura_group_lanes(size, run.input + 1),
        pleura_group_lanes(size, run.input + 2), pleura_group_lanes(size, run.input + 3)
    )
    run.forEachOutput { source, gradient in
        let v = load(source)
        let g = load(gradient)
        sum.0 = fma(pleura_permute(v, index.0), g, sum.0)
        sum.1 = fma(pleura_permute(v, index.1), g, sum.1)
        sum.2 = fma(pleura_permute(v, index.2), g, sum.2)
        sum.3 = fma(pleura_permute(v, index.3), g, sum.3)
    }
    run.add(sum.0, 0)
    run.add(sum.1, 1)
    run.add(sum.2, 2)
    run.add(sum.3, 3)
}

#if AVX512
    /// The sums of one tap for four input channels.
    struct FourSums {
        var a = Lanes(repeating: 0)
        var b = Lanes(repeating: 0)
        var c = Lanes(repeating: 0)
        var d = Lanes(repeating: 0)

        @inline(__always)
        mutating func add(_ source: UnsafePointer<Element>, _ g: Lanes, _ lanes: FourLanes) {
            let v = load(source)
            a = fma(pleura_permute(v, lanes.a), g, a)
            b = fma(pleura_permute(v, lanes.b), g, b)
            c = fma(pleura_permute(v, lanes.c), g, c)
            d = fma(pleura_permute(v, lanes.d), g, d)
        }

        /// Adds the sums of the tap `offset` floats after the run's first to the gradient.
        @inline(__always)
        func finish(_ run: borrowing GroupedRun, _ offset: Int) {
            let place = run.weights + offset
            storeLanes(load(place) + a, place)
            storeLanes(load(place + 16) + b, place + 16)
            storeLanes(load(place + 32) + c, place + 32)
            storeLanes(load(place + 48) + d, place + 48)
        }
    }

    /// The permutations of four input channels.
    struct FourLanes {
        var a: SIMD16<Int32>
        var b: SIMD16<Int32>
        var c: SIMD16<Int32>
        var d: SIMD16<Int32>
    }

    /// Four input channels of a row of three taps at once: with those of one tap alone, the processor waits for the sums.
    func permutedThreeTaps(_ run: GroupedRun) {
        var left = FourSums()
        var middle = FourSums()
        var right = FourSums()
        let x = run.x
        let dy = run.dy
        let size = run.geometry.inputsPerGroup
        let lanes = FourLanes(
            a: pleura_group_lanes(size, run.input),
            b: pleura_group_lanes(size, run.input + 1),
            c: pleura_group_lanes(size, run.input + 2),
            d: pleura_group_lanes(size, run.input + 3)
        )
        let stride = run.geometry.stride
        let dilation = run.geometry.dilation
        let padding = run.geometry.padding
        let step = stride * x.pixelStride
        let tap = dilation * x.pixelStride
        let width = x.width
        var row = run.firstRow
        while row < run.lastRow {
            let image = row / dy.height
            let iy = (row - image * dy.height) * stride + run.ky * dilation - padding
            if iy >= 0, iy < x.height {
                var ix = -padding
                var source =
                    UnsafePointer(x.base) + ((image * x.height + iy) * width + ix) * x.pixelStride + run.sourceChannel
                var gradient = UnsafePointer(dy.base) + row * dy.width * dy.pixelStride + run.channel
                var column = 0
                while column < dy.width {
                    while column < dy.width && ix >= 0 && ix + 2 * dilation < width {
                        let g = load(gradient)
                        left.add(source, g, lanes)
                        middle.add(source + tap, g, lanes)
                        right.add(source + 2 * tap, g, lanes)
                        source += step
                        gradient += dy.pixelStride
                        ix += stride
                        column += 1
                    }
                    guard column < dy.width else { break }
                    let g = load(gradient)
                    if ix >= 0 && ix < width { left.add(source, g, lanes) }
                    if ix + dilation >= 0 && ix + dilation < width { middle.add(source + tap, g, lanes) }
                    if ix + 2 * dilation >= 0 && ix + 2 * dilation < width { right.add(source + 2 * tap, g, lanes) }
                    source += step
                    gradient += dy.pixelStride
                    ix += stride
                    column += 1
                }
            }
            row += 1
        }
        left.finish(run, 0)
        middle.finish(run, size * 16)
        right.finish(run, 2 * size * 16)
    }
#endif

func permutedOneInput(_ run: GroupedRun) {
    var sum = Lanes(repeating: 0)
    let index = pleura_group_lanes(run.geometry.inputsPerGroup, run.input)
    run.forEachOutput { source, gradient in
        sum = fma(pleura_permute(load(source), index), load(gradient), sum)
    }
    run.add(sum, 0)
}

func broadcastEightInputs(_ run: GroupedRun) {
    let zero = Lanes(repeating: 0)
    var a = (zero, zero, zero, zero)
    var b = (zero, zero, zero, zero)
    let input = run.input
    run.forEachOutput { source, gradient in
        let g = load(gradient)
        let place = source + input
        a.0 = fma(broadcast(place), g, a.0)
        a.1 = fma(broadcast(place + 1), g, a.1)
        a.2 = fma(broadcast(place + 2), g, a.2)
        a.3 = fma(broadcast(place + 3), g, a.3)
        b.0 = fma(broadcast(place + 4), g, b.0)
        b.1 = fma(broadcast(place + 5), g, b.1)
        b.2 = fma(broadcast(place + 6), g, b.2)
        b.3 = fma(broadcast(place + 7), g, b.3)
    }
    run.add(a.0, 0)
    run.add(a.1, 1)
    run.add(a.2, 2)
    run.add(a.3, 3)
    run.add(b.0, 4)
    run.add(b.1, 5)
    run.add(b.2, 6)
    run.add(b.3, 7)
}

func broadcastOneInput(_ run: GroupedRun) {
    var sum = Lanes(repeating: 0)
    let input = run.input
    run.forEachOutput { source, gradient in sum = fma(broadcast(source + input), load(gradient), sum) }
    run.add(sum, 0)
}

func scatteredOneInput(_ run: GroupedRun) {
    var sum = Lanes(repeating: 0)
    let g = run.geometry
    let channel = run.channel
    let firstGroup = channel / g.outputsPerGroup
    let input = run.input
    run.forEachOutput { source, gradient in
        var value = Lanes(repeating: 0)
        var lane = 0
        while lane < 16 && channel + lane < g.outputChannels {
            let group = (channel + lane) / g.outputsPerGroup - firstGroup
            value[lane] = broadcast(source + group * g.inputsPerGroup + input)[0]
            lane += 1
        }
        sum = fma(value, load(gradient), sum)
    }
    run.add(sum, 0)
}

/// The weights with the roles of input and output channels exchanged:
/// `[⌈inputChannels / 16⌉][kernelHeight][kernelWidth][outputChannels / groups][16]`, lanes past the channels zero.
func transposeGroupedWeights(
    _ weights: UnsafePointer<Float>,
    _ transposed: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry
) {
    let depth = g.outputsPerGroup
    var block = 0
    while block * 16 < g.inputChannels {
        let lanes = min(16, g.inputChannels - block * 16)
        var tap = 0
        while tap < g.taps {
            let target = transposed + (block * g.taps + tap) * depth * 16
            var output = 0
            while output < depth {
                storeLanes(Lanes(repeating: 0), target + output * 16)
                output += 1
            }
            var lane = 0
            while lane < lanes {
                let input = block * 16 + lane
                let group = input / g.inputsPerGroup
                let own = input - group * g.inputsPerGroup
                output = 0
                while output < depth {
                    let channel = group * depth + output
                    target[output * 16 + lane] =
                        weights[((channel / 16 * g.taps + tap) * g.inputsPerGroup + own) * 16 + (channel & 15)]
                    output += 1
                }
                lane += 1
            }
            tap += 1
        }
        block += 1
    }
}
