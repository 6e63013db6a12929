import CIntrinsics
import Kernels

#if AVX512
    // Weight gradients of at most 16 output channels: with so few, (taps and input channels) are the lanes, and the
    // gradient is broadcast. The sums are transposed to the storage layout at the end.

    func clearSums(_ sums: UnsafeMutablePointer<Float>, _ lanes: DotScratch.WeightLanes) {
        var index = 0
        while index < lanes.count {
            storeLanes(Lanes(repeating: 0), sums + index)
            index += 16
        }
    }

    /// Adds the runs of output rows `rows` to `sums`: `[parts][16 outputs][lanes]`.
    func multiplyLanes(
        _ x: TensorView,
        _ dy: TensorView,
        _ sums: UnsafeMutablePointer<Float>,
        _ g: ConvolutionGeometry,
        _ plan: DotScratch.Rows,
        _ lanes: DotScratch.WeightLanes,
        _ rows: Range<Int>,
        _ input: UnsafePointer<Int32>,
        _ inputRows: Range<Int>,
        _ gradient: UnsafePointer<Int32>
    ) {
        let run = g.rowsPerRun(outputWidth: dy.width)
        let steps = lanes.parts / g.kernelHeight
        var tile = WeightTile(
            input: input,
            gradient: gradient,
            weights: sums,
            blockStride: lanes.width,
            channels: lanes.width,
            firstRow: rows.lowerBound,
            lastRow: rows.lowerBound,
            columns: plan.pairs,
            outputHeight: dy.height,
            inputHeight: x.height,
            rowOffset: 0,
            stride: g.stride,
            firstInputRow: inputRows.lowerBound,
            firstGradientRow: rows.lowerBound,
            inputRowStride: plan.inputRow,
            gradientRowStride: plan.pairs * 16,
            inputStep: plan.positionStep * g.inputChannels,
            gradientStep: 16
        )
        while tile.firstRow < rows.upperBound {
            tile.lastRow = min(tile.firstRow + run, rows.upperBound)
            var part = 0
            while part < lanes.parts {
                let ky = part / steps
                prefetchRows(x, dy, rows, tile.firstRow, tile.lastRow, part, lanes.parts, inputRows.upperBound)
                tile.rowOffset = ky * g.dilation - g.padding
                var lane = 0
                while lane < lanes.width {
                    let left = (lanes.width - lane) / 16
                    let vectors = left > 4 || left == 3 ? 3 : left == 1 ? 1 : 2
                    tile.input = input + (part - ky * steps) * g.dilation * g.inputChannels + lane
                    var output = 0
                    while output < g.outputChannels {
                        tile.gradient = gradient + output
                        tile.weights = sums + (part * 16 + output) * lanes.width + lane
                        tile.runLanes(outputs: g.outputChannels, vectors: vectors)
                        output += 8
                    }
                    lane += 16 * vectors
                }
                part += 1
            }
            tile.firstRow = tile.lastRow
        }
    }

    /// While rows `first` ..< `last` of the rows that are packed are multiplied, asks for as many of those that are packed
    /// next: part `part` of `parts` of each. The input's continue at `inputRow`.
    @inline(__always)
    func prefetchRows(
        _ x: TensorView,
        _ dy: TensorView,
        _ rows: Range<Int>,
        _ first: Int,
        _ last: Int,
        _ part: Int,
        _ parts: Int,
        _ inputRow: Int
    ) {
        let ahead = first - rows.lowerBound
        var row = 0
        while row < last - first {
            let gradientRow = rows.upperBound + ahead + row
            if gradientRow < dy.images * dy.height {
                let bytes = 2 * dy.width * dy.pixelStride
                pleura_prefetch_range(dy.address + gradientRow * bytes + bytes / parts * part, bytes / parts)
            }
            // Of a stride above 1, some rows: the first are enough to set the processor going.
            if inputRow + ahead + row < x.images * x.height {
                let bytes = 2 * x.width * x.pixelStride
                pleura_prefetch_range(
                    x.address + (inputRow + ahead + row) * bytes + bytes / parts * part,
                    bytes / parts
                )
            }
            row += 1
        }
    }

    extension WeightTile {
        @inline(__always)
        func runLanes(outputs: Int, vectors: Int) {
            if outputs == 1 {
                if vectors == 3 {
                    WeightTile.one3(self)
                } else if vectors == 2 {
                    WeightTile.one2(self)
                } else {
                    WeightTile.one1(self)
                }
            } else {
                if vectors == 3 {
                    WeightTile.eight3(self)
                } else if vectors == 2 {
                    WeightTile.eight2(self)
                } else {
                    WeightTile.eight1(self)
                }
            }
        }

        @inline(never)
        static func one1(_ job: WeightTile) { job.run(Row1.self, exchanged: true) }

        @inline(never)
        static func one2(_ job: WeightTile) { job.run(Row2.self, exchanged: true) }

        @inline(never)
        static func one3(_ job: WeightTile) { job.run(Row3.self, exchanged: true) }

        @inline(never)
        static func eight1(_ job: WeightTile) { job.run(Eight<Row1>.self, exchanged: true) }

        @inline(never)
        static func eight2(_ job: WeightTile) { job.run(Eight<Row2>.self, exchanged: true) }

        @inline(never)
        static func eight3(_ job: WeightTile) { job.run(Eight<Row3>.self, exchanged: true) }
    }

    /// `sums` in the storage layout, unused lanes zero.
    func storeSums(
        _ sums: UnsafePointer<Float>,
        _ dw: UnsafeMutablePointer<Float>,
        _ g: ConvolutionGeometry,
        _ lanes: DotScratch.WeightLanes
    ) {
        let rows = g.taps * g.inputChannels
        let perPart = rows / lanes.parts
        var row = 0
        while row < rows {
            let part = row / perPart
            let source = sums + part * 16 * lanes.width + (row - part * perPart)
            var output = 0
            while output < g.outputChannels {
                dw[row * 16 + output] = source[output * lanes.width]
                output += 1
            }
            row += 1
        }
    }
#endif
