import CIntrinsics
import Kernels

// The gradient of a dense convolution over bfloat16 to its weights: rows are packed in pairs of columns, some runs at
// once, and multiplied by tiles of (input channels × output channels) with the pixels as the reduction.

@Sendable func dotConvolutionBackwardWeights(
    x: TensorView,
    dy: TensorView,
    dw: UnsafeMutablePointer<Float>,
    geometry g: ConvolutionGeometry,
    scratch: UnsafeMutableRawPointer
) {
    if g.usesWinograd(for: .bfloat16) {
        let before = pleura_flush_denormals()
        winogradGradient(
            WinogradGradientJob(
                x: x,
                dy: dy,
                dw: dw,
                plan: g.winogradGradientPlan(for: .bfloat16, images: x.images, height: x.height, width: x.width),
                scratch: scratch.assumingMemoryBound(to: Float.self)
            )
        )
        pleura_restore_denormals(before)
        return
    }
    var index = 0
    while index < g.storageCount {
        storeLanes(Lanes(repeating: 0), dw + index)
        index += 16
    }
    let before = pleura_flush_denormals()
    let plan = DotScratch.Rows(g, images: x.images, height: x.height, width: x.width)
    let input = scratch.assumingMemoryBound(to: Int32.self)
    let gradient = (scratch + plan.inputBytes).assumingMemoryBound(to: Int32.self)
    let rows = dy.images * dy.height
    var first = 0
    while first < rows {
        let last = min(first + plan.rowsAtOnce, rows)
        let inputRows = plan.inputRows(first, last)
        packInput(x, g, plan, inputRows.lowerBound, inputRows.upperBound, input)
        packGradient(dy, plan, first, last, gradient)
        #if AVX512
            if let lanes = plan.lanes {
                let sums = (scratch + plan.sumsOffset).assumingMemoryBound(to: Float.self)
                if first == 0 { clearSums(sums, lanes) }
                let rows = first..<last
                let inputRange = inputRows.lowerBound..<inputRows.upperBound
                multiplyLanes(x, dy, sums, g, plan, lanes, rows, input, inputRange, gradient)
                first = last
                continue
            }
        #endif
        multiplyRows(x, dy, dw, g, plan, first, last, input, inputRows.lowerBound, gradient)
        first = last
    }
    #if AVX512
        if let lanes = plan.lanes {
            storeSums((scratch + plan.sumsOffset).assumingMemoryBound(to: Float.self), dw, g, lanes)
        }
    #endif
    pleura_restore_denormals(before)
    clearUnusedLanes(dw, g)
}

/// Rows `first` ..< `last`, counted over (image, row): `[row][position][channel]`, at position p of kernel offset k the
/// pair of columns p - padding and p - padding + stride (one output column and the next), zeros outside the image.
func packInput(
    _ x: TensorView,
    _ g: ConvolutionGeometry,
    _ plan: DotScratch.Rows,
    _ first: Int,
    _ last: Int,
    _ packed: UnsafeMutablePointer<Int32>
) {
    let zeros = UnsafeRawPointer(pleura_zeros()).assumingMemoryBound(to: Element.self)
    let step = g.kernelWidth == 1 ? 2 * g.stride : 1
    var target = packed
    var row = first
    while row < last {
        let source = UnsafePointer(x.base) + row * x.width * x.pixelStride
        var column = -g.padding
        var position = 0
        while position < plan.positions {
            let next = column + g.stride
            let a = column >= 0 && column < x.width ? source + column * x.pixelStride : zeros
            let b = next >= 0 && next < x.width ? source + next * x.pixelStride : zeros
            var channel = 0
            while channel < x.channels {
                // What is written past the channels is overwritten by the next position, or lies in the slack.
                let pairs = pleura_join_pairs(a + channel, b + channel)
                UnsafeMutableRawPointer(target + channel).storeBytes(of: pairs, as: Pairs.self)
                channel += 16
            }
            target += x.channels
            column += step
            position += 1
        }
        row += 1
    }
}

/// Rows `first` ..< `last`: `[⌈channels / 32⌉][row][pair][32]`, the last block of 16 where there is no more.
func packGradient(
    _ dy: TensorView,
    _ plan: DotScratch.Rows,
    _ first: Int,
    _ last: Int,
    _ packed: UnsafeMutablePointer<Int32>
) {
    let zeros = UnsafeRawPointer(pleura_zeros()).assumingMemoryBound(to: Element.self)
    var target = packed
    var channel = 0
    while channel < dy.channels {
        let lanes = dy.channels - channel > 16 ? 32 : 16
        var row = first
        while row < last {
            let source = UnsafePointer(dy.base) + row * dy.width * dy.pixelStride + channel
            var column = 0
            while column < dy.width {
                let a = source + column * dy.pixelStride
                let b = column + 1 < dy.width ? a + dy.pixelStride : zeros
                var lane = 0
                while lane < lanes {
                    let pairs = pleura_join_pairs(a + lane, b + lane)
                    UnsafeMutableRawPointer(target + lane).storeBytes(of: pairs, as: Pairs.self)
                    lane += 16
                }
                target += lanes
                column += 2
            }
            row += 1
        }
        channel += lanes
    }
}

func multiplyRows(
    _ x: TensorView,
    _ dy: TensorView,
    _ dw: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry,
    _ plan: DotScratch.Rows,
    _ first: Int,
    _ last: Int,
    _ input: UnsafePointer<Int32>,
    _ firstInputRow: Int,
    _ gradient: UnsafePointer<Int32>
) {
    // Where taps lie side by side, those of a row and their channels are one run of channels.
    let joined = g.dilation == 1
    let channels = joined ? g.kernelWidth * g.inputChannels : g.inputChannels
    let steps = joined ? 1 : g.kernelWidth
    let blockStride = g.taps * g.inputChannels * 16
    let run = g.rowsPerRun(outputWidth: dy.width)
    var block = gradient
    var output = 0
    while output < g.outputChannels {
        let lanes = g.outputChannels - output > 16 ? 32 : 16
        var part = 0
        while part < g.kernelHeight * steps {
            let ky = part / steps
            let kx = part - ky * steps
            let offset = kx * g.dilation * g.inputChannels
            let target =
                dw + output / 16 * blockStride + (ky * g.kernelWidth + kx) * g.inputChannels * 16
            var channel = 0
            while channel < channels {
                let size = WeightTile.size(channels: channels - channel)
                var tile = WeightTile(
                    input: input + offset + channel,
                    gradient: block,
                    weights: target + channel * 16,
                    blockStride: blockStride,
                    channels: channels - channel,
                    firstRow: first,
                    lastRow: first,
                    columns: plan.pairs,
                    outputHeight: dy.height,
                    inputHeight: x.height,
                    rowOffset: ky * g.dilation - g.padding,
                    stride: g.stride,
                    firstInputRow: firstInputRow,
                    firstGradientRow: first,
                    inputRowStride: plan.inputRow,
                    gradientRowStride: plan.pairs * lanes,
                    inputStep: plan.positionStep * g.inputChannels,
                    gradientStep: lanes
                )
                while tile.firstRow < last {
                    tile.lastRow = min(tile.firstRow + run, last)
                    tile.run(size: size, wide: lanes == 32)
                    tile.firstRow = tile.lastRow
                }
                channel += size
            }
            part += 1
        }
        block += (last - first) * plan.pairs * lanes
        output += lanes
    }
}
