import Kernels

@Sendable func convolutionBackwardWeights(
    x: TensorView,
    dy: TensorView,
    dw: UnsafeMutablePointer<Float>,
    geometry g: ConvolutionGeometry,
    scratch: UnsafeMutableRawPointer
) {
    if g.usesWinograd(for: .float32) {
        winogradGradient(
            WinogradGradientJob(
                x: x,
                dy: dy,
                dw: dw,
                plan: g.winogradGradientPlan(for: .float32, images: x.images, height: x.height, width: x.width),
                scratch: scratch.assumingMemoryBound(to: Float.self)
            )
        )
    } else if g.sumsInLanes {
        lanedBackwardWeights(x, dy, dw, g, scratch.assumingMemoryBound(to: Float.self))
    } else if g.foldsColumns {
        let copy = paddedCopy(x, g, scratch.assumingMemoryBound(to: Float.self))
        directBackwardWeights(copy, dy, dw, g.folded)
    } else {
        directBackwardWeights(x, dy, dw, g)
    }
}

func directBackwardWeights(
    _ x: TensorView,
    _ dy: TensorView,
    _ dw: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry
) {
    var index = 0
    while index < g.storageCount {
        storeLanes(Lanes(repeating: 0), dw + index)
        index += 16
    }
    let blockStride = g.taps * g.inputChannels * 16
    let rows = dy.images * dy.height
    let run = g.rowsPerRun(outputWidth: dy.width)
    var firstRow = 0
    while firstRow < rows {
        let lastRow = min(firstRow + run, rows)
        var output = 0
        while output < g.outputChannels {
            #if AVX512
                let wide = output + 16 < g.outputChannels
            #else
                let wide = false
            #endif
            var input = 0
            while input < g.inputChannels {
                let size = WeightTile.size(channels: g.inputChannels - input)
                var tap = 0
                while tap < g.taps {
                    let ky = tap / g.kernelWidth
                    let kx = tap - ky * g.kernelWidth
                    // Input column = ox · stride + offset must lie in 0 ..< width.
                    let offset = kx * g.dilation - g.padding
                    let firstColumn = offset < 0 ? (-offset + g.stride - 1) / g.stride : 0
                    let last = x.width - 1 - offset
                    let columns = last < 0 ? 0 : min(dy.width, last / g.stride + 1) - firstColumn
                    if columns > 0 {
                        let inputColumn = (firstColumn * g.stride + offset) * x.pixelStride
                        let tile = WeightTile(
                            input: UnsafePointer(x.base) + inputColumn + input,
                            gradient: UnsafePointer(dy.base) + firstColumn * dy.pixelStride + output,
                            weights: dw + output / 16 * blockStride + (tap * g.inputChannels + input) * 16,
                            blockStride: blockStride,
                            channels: g.inputChannels - input,
                            firstRow: firstRow,
                            lastRow: lastRow,
                            columns: columns,
                            outputHeight: dy.height,
                            inputHeight: x.height,
                            rowOffset: ky * g.dilation - g.padding,
                            stride: g.stride,
                            inputRowStride: x.width * x.pixelStride,
                            gradientRowStride: dy.width * dy.pixelStride,
                            inputStep: g.stride * x.pixelStride,
                            gradientStep: dy.pixelStride
                        )
                        tile.run(size: size, wide: wide)
                    }
                    tap += 1
                }
                input += size
            }
            output += wide ? 32 : 16
        }
        firstRow = lastRow
    }
    clearUnusedLanes(dw, g)
}
