import Kernels

#if !BF16
    /// One register tile of a weight gradient: some input channels × 16 or 32 output channels of one tap, each the fma chain
    /// over the output pixels of a run of rows, added to the gradient at its end.
    struct WeightTile {
        /// Input and gradient at their first channel of the tile.
        var input: UnsafePointer<Float>
        var gradient: UnsafePointer<Float>
        /// Where the sums go: `[input channel][16]`, blocks of 16 output channels `blockStride` apart.
        var weights: UnsafeMutablePointer<Float>
        var blockStride: Int
        /// Input channels that exist from the tile's first on.
        var channels: Int

        /// Rows of the output, counted over (image, row).
        var firstRow: Int
        var lastRow: Int
        /// The output columns whose tap lies inside the image.
        var firstColumn: Int
        var columns: Int

        var outputHeight: Int
        var inputHeight: Int
        /// Input row of output row 0 for this tap, and the step between output rows.
        var rowOffset: Int
        var stride: Int
        /// Elements between rows.
        var inputRowStride: Int
        var gradientRowStride: Int
        /// Elements of input between output columns, and from the row's start to the first column.
        var inputStep: Int
        var inputColumnOffset: Int
        /// Bytes between columns of the gradient.
        var gradientStep: Int

        /// The input row of output row `row` for this tap; may be outside the image.
        @inline(__always)
        private borrowing func inputRow(_ row: Int) -> (image: Int, row: Int) {
            let image = row / outputHeight
            return (image, (row - image * outputHeight) * stride + rowOffset)
        }

        @inline(__always)
        borrowing func inputRowIsInside(row: Int) -> Bool {
            let height = inputHeight
            let place = inputRow(row).row
            return place >= 0 && place < height
        }

        @inline(__always)
        borrowing func inputPointer(row: Int) -> UnsafePointer<Float> {
            let place = inputRow(row)
            return input + (place.image * inputHeight + place.row) * inputRowStride + inputColumnOffset
        }

        @inline(__always)
        borrowing func gradientPointer(row: Int) -> UnsafePointer<Float> {
            gradient + row * gradientRowStride + firstColumn * gradientStep / 4
        }

        /// Adds the sums of input channel `channel` and output channels 16 · `block` ..< to the gradient.
        @inline(__always)
        borrowing func add(_ channel: Int, _ block: Int, _ sum: Lanes) {
            guard channel < channels else { return }
            let place = weights + block * blockStride + channel * 16
            storeLanes(load(place) + sum, place)
        }
    }

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
                            let tile = WeightTile(
                                input: UnsafePointer(x.base) + input,
                                gradient: UnsafePointer(dy.base) + output,
                                weights: dw + output / 16 * blockStride + (tap * g.inputChannels + input) * 16,
                                blockStride: blockStride,
                                channels: g.inputChannels - input,
                                firstRow: firstRow,
                                lastRow: lastRow,
                                firstColumn: firstColumn,
                                columns: columns,
                                outputHeight: dy.height,
                                inputHeight: x.height,
                                rowOffset: ky * g.dilation - g.padding,
                                stride: g.stride,
                                inputRowStride: x.width * x.pixelStride,
                                gradientRowStride: dy.width * dy.pixelStride,
                                inputStep: g.stride * x.pixelStride,
                                inputColumnOffset: (firstColumn * g.stride + offset) * x.pixelStride,
                                gradientStep: dy.pixelStride * 4
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

    /// Lanes past the last output channel have summed what lies beside the gradient's channels: zero them.
    func clearUnusedLanes(_ dw: UnsafeMutablePointer<Float>, _ g: ConvolutionGeometry) {
        let used = g.outputChannels & 15
        guard used != 0 else { return }
        let count = g.taps * g.inputChannels
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

    extension WeightTile {
        /// Input channels of the next tile where `channels` are left: the larger size unless the smaller one, once or
        /// twice, fits better.
        @inline(__always)
        static func size(channels: Int) -> Int {
            #if AVX512
                channels <= 8 || (channels > 12 && channels <= 16) ? 8 : 12
            #else
                channels <= 4 || channels == 7 || channels == 8 ? 4 : 6
            #endif
        }

        @inline(__always)
        borrowing func run(size: Int, wide: Bool) {
            #if AVX512
                if wide {
                    if size == 12 { WeightTile.wide12(self) } else { WeightTile.wide8(self) }
                } else {
                    if size == 12 { WeightTile.narrow12(self) } else { WeightTile.narrow8(self) }
                }
            #else
                if size == 6 { WeightTile.narrow6(self) } else { WeightTile.narrow4(self) }
            #endif
        }
    }
#endif
