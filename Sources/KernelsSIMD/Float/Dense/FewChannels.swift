import CIntrinsics
import Kernels

// Direct convolutions with few channels on one side, where tiles of channels would be mostly empty.

// MARK: Few output channels: lanes over the input channels

/// ((l + l8) + (l + l8)4 …): the halves are added until one lane is left.
@inline(__always)
func laneTree(_ v: Lanes) -> Float {
    let eight = v.lowHalf + v.highHalf
    let four = eight.lowHalf + eight.highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
}

/// The lanes below `count`, zeros in the rest.
@inline(__always)
func firstLanes(_ v: Lanes, _ count: Int) -> Lanes {
    let index = SIMD16<Int32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    return Lanes(repeating: 0).replacing(with: v, where: index .< SIMD16<Int32>(repeating: Int32(count)))
}

func lanedConvolution(
    _ x: TensorView,
    _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?,
    _ y: TensorView,
    _ g: ConvolutionGeometry,
    _ relu: Bool,
    _ scratch: UnsafeMutablePointer<Float>
) {
    let depth = (g.inputChannels + 15) / 16 * 16
    var output = 0
    while output < g.outputChannels {
        var tap = 0
        while tap < g.taps {
            let to = scratch + (output * g.taps + tap) * depth
            let from = weights + (output / 16 * g.taps + tap) * g.inputChannels * 16 + output % 16
            var input = 0
            while input < depth {
                to[input] = input < g.inputChannels ? from[input * 16] : 0
                input += 1
            }
            tap += 1
        }
        output += 1
    }
    let job = GatherClass(
        source: x,
        sourceStep: g.stride,
        destination: y,
        destinationStep: 1,
        firstRow: 0,
        firstColumn: 0,
        rows: y.height,
        columns: y.width,
        weights: UnsafePointer(scratch),
        blockStride: g.taps * depth,
        depth: g.inputChannels,
        channels: g.outputChannels,
        bias: bias,
        relu: relu,
        accumulate: false,
        isLaned: true
    )
    var taps = TapTable()
    var tap = 0
    while tap < g.taps {
        let ky = tap / g.kernelWidth
        let kx = tap - ky * g.kernelWidth
        taps.append(row: ky * g.dilation - g.padding, column: kx * g.dilation - g.padding, weights: tap * depth)
        tap += 1
    }
    gather(job, taps)
}

extension GatherTile {
    /// One output channel of `pixels` pixels, sixteen input channels at a time.
    @inline(never)
    static func laned(_ job: GatherTile) {
        var sums = Rows<Row1>()
        var pointers = job.pointers
        var tap = 0
        while tap < job.taps {
            let weights = job.weights + job.weightOffsets[tap]
            let whole = job.depth / 16 * 16
            var c = 0
            while c < whole {
                sums.add(load(weights + c)) { load(pointers[$0] + c) }
                c += 16
            }
            if c < job.depth {
                sums.add(load(weights + c)) { firstLanes(load(pointers[$0] + c), job.depth - c) }
            }
            pointers += pixels
            tap += 1
        }
        sums.forEach { pixel, _, sum in job.storeOne(pixel, sum) }
    }

    /// Finishes output `pixel` and stores it where it exists.
    @inline(__always)
    func storeOne(_ pixel: Int, _ sums: Lanes) {
        guard pixel < valid else { return }
        var value = laneTree(sums)
        if let bias { value += bias[0] }
        if relu { value = value < 0 ? 0 : value }
        outputs[pixel][0] = value
    }
}

/// The gradient to the weights of up to 3×3 taps: all taps of sixteen input channels in registers.
func lanedBackwardWeights(
    _ x: TensorView,
    _ dy: TensorView,
    _ dw: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry,
    _ scratch: UnsafeMutablePointer<Float>
) {
    var index = 0
    while index < g.storageCount {
        storeLanes(Lanes(repeating: 0), dw + index)
        index += 16
    }
    if g.taps == 1 && g.padding == 0 {
        pointBackwardWeights(x, dy, dw, g, scratch)
        return
    }
    let rows = dy.images * dy.height
    let run = g.rowsPerRun(outputWidth: dy.width)
    var output = 0
    while output < g.outputChannels {
        var input = 0
        while input < g.inputChannels {
            var tap = 0
            while tap < 9 {
                storeLanes(Lanes(repeating: 0), scratch + 16 * tap)
                tap += 1
            }
            var firstRow = 0
            while firstRow < rows {
                let lastRow = min(firstRow + run, rows)
                lanedRun(x, dy, g, firstRow: firstRow, lastRow: lastRow, input: input, output: output, scratch)
                firstRow = lastRow
            }
            let to = dw + (output / 16 * g.taps * g.inputChannels + input) * 16 + output % 16
            let valid = min(16, g.inputChannels - input)
            tap = 0
            while tap < g.taps {
                let ky = tap / g.kernelWidth
                let from = scratch + (3 * ky + tap - ky * g.kernelWidth) * 16
                var lane = 0
                while lane < valid {
                    to[(tap * g.inputChannels + lane) * 16] = from[lane]
                    lane += 1
                }
                tap += 1
            }
            input += 16
        }
        output += 1
    }
}

/// The gradient to the weights of one tap without padding: 128 input channels in registers.
func pointBackwardWeights(
    _ x: TensorView,
    _ dy: TensorView,
    _ dw: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry,
    _ scratch: UnsafeMutablePointer<Float>
) {
    let rows = dy.images * dy.height
    let run = g.rowsPerRun(outputWidth: dy.width)
    var output = 0
    while output < g.outputChannels {
        var input = 0
        while input < g.inputChannels {
            let valid = min(128, g.inputChannels - input)
            var lane = 0
            while lane < 128 {
                scratch[lane] = 0
                lane += 1
            }
            var firstRow = 0
            while firstRow < rows {
                let lastRow = min(firstRow + run, rows)
                pointRun(
                    x,
                    dy,
                    g,
                    firstRow: firstRow,
                    lastRow: lastRow,
                    input: input,
                    last: (valid - 1) / 16 * 16,
                    output: output,
                    scratch
                )
                firstRow = lastRow
            }
            let to = dw + (output / 16 * g.inputChannels + input) * 16 + output % 16
            lane = 0
            while lane < valid {
                to[lane * 16] = scratch[lane]
                lane += 1
            }
            input += 128
        }
        output += 1
    }
}

/// Adds the sums of one run to `totals`. Blocks of input channels past that at `last` repeat it.
func pointRun(
    _ x: TensorView,
    _ dy: TensorView,
    _ g: ConvolutionGeometry,
    firstRow: Int,
    lastRow: Int,
    input: Int,
    last: Int,
    output: Int,
    _ totals: UnsafeMutablePointer<Float>
) {
    var a0 = Lanes(repeating: 0)
    var a1 = Lanes(repeating: 0)
    var a2 = Lanes(repeating: 0)
    var a3 = Lanes(repeating: 0)
    var a4 = Lanes(repeating: 0)
    var a5 = Lanes(repeating: 0)
    var a6 = Lanes(repeating: 0)
    var a7 = Lanes(repeating: 0)
    let b1 = min(16, last)
    let b2 = min(32, last)
    let b3 = min(48, last)
    let b4 = min(64, last)
    let b5 = min(80, last)
    let b6 = min(96, last)
    let b7 = min(112, last)
    let step = g.stride * x.pixelStride
    var row = firstRow
    while row < lastRow {
        let image = row / dy.height
        let inputRow = image * x.height + (row - image * dy.height) * g.stride
        var from = UnsafePointer(x.base) + inputRow * x.width * x.pixelStride + input
        var gradient = UnsafePointer(dy.base) + row * dy.width * dy.pixelStride + output
        var left = dy.width
        while left > 0 {
            let value = Lanes(repeating: gradient[0])
            a0.addProduct(load(from), value)
            a1.addProduct(load(from + b1), value)
            a2.addProduct(load(from + b2), value)
            a3.addProduct(load(from + b3), value)
            a4.addProduct(load(from + b4), value)
            a5.addProduct(load(from + b5), value)
            a6.addProduct(load(from + b6), value)
            a7.addProduct(load(from + b7), value)
            from += step
            gradient += dy.pixelStride
            left -= 1
        }
        row += 1
    }
    storeLanes(load(totals) + a0, totals)
    storeLanes(load(totals + 16) + a1, totals + 16)
    storeLanes(load(totals + 32) + a2, totals + 32)
    storeLanes(load(totals + 48) + a3, totals + 48)
    storeLanes(load(totals + 64) + a4, totals + 64)
    storeLanes(load(totals + 80) + a5, totals + 80)
    storeLanes(load(totals + 96) + a6, totals + 96)
    storeLanes(load(totals + 112) + a7, totals + 112)
}

/// Adds the sums of one run to `totals`, `[3][3][16]`.
func lanedRun(
    _ x: TensorView,
    _ dy: TensorView,
    _ g: ConvolutionGeometry,
    firstRow: Int,
    lastRow: Int,
    input: Int,
    output: Int,
    _ totals: UnsafeMutablePointer<Float>
) {
    let zeros = pleura_zeros()
    var a0 = Lanes(repeating: 0)
    var a1 = Lanes(repeating: 0)
    var a2 = Lanes(repeating: 0)
    var a3 = Lanes(repeating: 0)
    var a4 = Lanes(repeating: 0)
    var a5 = Lanes(repeating: 0)
    var a6 = Lanes(repeating: 0)
    var a7 = Lanes(repeating: 0)
    var a8 = Lanes(repeating: 0)
    let stride = x.pixelStride
    let near = g.dilation * stride
    var row = firstRow
    while row < lastRow {
        let image = row / dy.height
        let top = (row - image * dy.height) * g.stride - g.padding
        let base = UnsafePointer(x.base) + image * x.height * x.width * stride + input
        let gradients = dy.base + row * dy.width * dy.pixelStride + output
        // Rows of taps that do not exist, or lie outside the image, stand on zeros.
        let y0 = top + 0 * g.dilation
        let has0 = 0 < g.kernelHeight && y0 >= 0 && y0 < x.height
        let r0 = has0 ? base + y0 * x.width * stride : zeros
        let y1 = top + 1 * g.dilation
        let has1 = 1 < g.kernelHeight && y1 >= 0 && y1 < x.height
        let r1 = has1 ? base + y1 * x.width * stride : zeros
        let y2 = top + 2 * g.dilation
        let has2 = 2 < g.kernelHeight && y2 >= 0 && y2 < x.height
        let r2 = has2 ? base + y2 * x.width * stride : zeros
        let inside = has0 && has1 && has2 && g.kernelWidth == 3
        var column = 0
        while column < dy.width {
            let dyValue = Lanes(repeating: gradients[column * dy.pixelStride])
            let left = column * g.stride - g.padding
            if inside && left >= 0 && left + 2 * g.dilation < x.width {
                let place = left * stride
                a0.addProduct(load(r0 + (place)), dyValue)
                a1.addProduct(load(r0 + (place + near)), dyValue)
                a2.addProduct(load(r0 + (place + 2 * near)), dyValue)
                a3.addProduct(load(r1 + (place)), dyValue)
                a4.addProduct(load(r1 + (place + near)), dyValue)
                a5.addProduct(load(r1 + (place + 2 * near)), dyValue)
                a6.addProduct(load(r2 + (place)), dyValue)
                a7.addProduct(load(r2 + (place + near)), dyValue)
                a8.addProduct(load(r2 + (place + 2 * near)), dyValue)
            } else {
                let c0 = left + 0 * g.dilation
                let ok0 = 0 < g.kernelWidth && c0 >= 0 && c0 < x.width
                let c1 = left + 1 * g.dilation
                let ok1 = 1 < g.kernelWidth && c1 >= 0 && c1 < x.width
                let c2 = left + 2 * g.dilation
                let ok2 = 2 < g.kernelWidth && c2 >= 0 && c2 < x.width
                a0.addProduct(load(ok0 && has0 ? r0 + c0 * stride : zeros), dyValue)
                a1.addProduct(load(ok1 && has0 ? r0 + c1 * stride : zeros), dyValue)
                a2.addProduct(load(ok2 && has0 ? r0 + c2 * stride : zeros), dyValue)
                a3.addProduct(load(ok0 && has1 ? r1 + c0 * stride : zeros), dyValue)
                a4.addProduct(load(ok1 && has1 ? r1 + c1 * stride : zeros), dyValue)
                a5.addProduct(load(ok2 && has1 ? r1 + c2 * stride : zeros), dyValue)
                a6.addProduct(load(ok0 && has2 ? r2 + c0 * stride : zeros), dyValue)
                a7.addProduct(load(ok1 && has2 ? r2 + c1 * stride : zeros), dyValue)
                a8.addProduct(load(ok2 && has2 ? r2 + c2 * stride : zeros), dyValue)
            }
            column += 1
        }
        row += 1
    }
    storeLanes(load(totals + 0) + a0, totals + 0)
    storeLanes(load(totals + 16) + a1, totals + 16)
    storeLanes(load(totals + 32) + a2, totals + 32)
    storeLanes(load(totals + 48) + a3, totals + 48)
    storeLanes(load(totals + 64) + a4, totals + 64)
    storeLanes(load(totals + 80) + a5, totals + 80)
    storeLanes(load(totals + 96) + a6, totals + 96)
    storeLanes(load(totals + 112) + a7, totals + 112)
    storeLanes(load(totals + 128) + a8, totals + 128)
}

// MARK: Few input channels: rows of taps

extension ConvolutionGeometry {
    /// The same convolution over `paddedCopy`: a row of taps with its channels is one tap, since they stand side by side.
    var folded: ConvolutionGeometry {
        ConvolutionGeometry(
            inputChannels: kernelWidth * inputChannels,
            outputChannels: outputChannels,
            kernelHeight: kernelHeight,
            kernelWidth: 1,
            stride: stride
        )
    }
}

/// x with its padding, dense, in scratch memory.
func paddedCopy(_ x: TensorView, _ g: ConvolutionGeometry, _ scratch: UnsafeMutablePointer<Float>) -> TensorView {
    let copy = TensorView(
        scratch,
        images: x.images,
        height: x.height + g.padding + g.paddingAfter,
        width: x.width + g.padding + g.paddingAfter,
        channels: x.channels
    )
    let rowCount = copy.width * x.channels
    var to = scratch
    var image = 0
    while image < x.images {
        var row = -g.padding
        while row < x.height + g.paddingAfter {
            var index = 0
            if row < 0 || row >= x.height {
                while index < rowCount {
                    to[index] = 0
                    index += 1
                }
            } else {
                let edge = g.padding * x.channels
                while index < edge {
                    to[index] = 0
                    index += 1
                }
                index = rowCount - g.paddingAfter * x.channels
                while index < rowCount {
                    to[index] = 0
                    index += 1
                }
                copyRow(x, row: image * x.height + row, to + edge)
            }
            to += rowCount
            row += 1
        }
        image += 1
    }
    return copy
}

func copyRow(_ x: TensorView, row: Int, _ to: UnsafeMutablePointer<Float>) {
    let from = x.base + row * x.width * x.pixelStride
    var index = 0
    if x.pixelStride == x.channels {
        let count = x.width * x.channels
        while index + 16 <= count {
            storeLanes(load(from + index), to + index)
            index += 16
        }
        while index < count {
            to[index] = from[index]
            index += 1
        }
    } else {
        while index < x.width {
            var channel = 0
            while channel < x.channels {
                to[index * x.channels + channel] = from[index * x.pixelStride + channel]
                channel += 1
            }
            index += 1
        }
    }
}
