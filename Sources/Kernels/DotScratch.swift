/// The scratch memory of the convolutions over bfloat16: how much, and what stands where. By shape alone, so that all
/// variants plan the same.
package enum DotScratch {
    /// Packed weights of one pass over the pixels: half of a second-level cache.
    static let weightBytes = 512 << 10
    /// Packed rows of one pass over the weights.
    static let rowBytes = 512 << 10

    package static func aligned(_ bytes: Int) -> Int { (bytes + 63) & ~63 }

    // MARK: Forward and back to the input

    /// Bytes of the copy of a source of `pixels` pixels whose odd count of channels is made even.
    package static func copyBytes(depth: Int, pixels: Int) -> Int {
        depth & 1 == 0 ? 0 : aligned(2 * pixels * (depth + 1) + 64)
    }

    /// Bytes of the packed weights of 16 outputs.
    package static func blockBytes(depth: Int, taps: Int) -> Int { 64 * taps * ((depth + 1) / 2) }

    /// Blocks of 16 outputs that are packed at once: an even number, for tiles of 32.
    package static func blocksAtOnce(depth: Int, taps: Int, outputs: Int) -> Int {
        let all = (ConvolutionGeometry.blocks(outputs) + 1) & ~1
        let fitting = (weightBytes / blockBytes(depth: depth, taps: taps)) & ~1
        return max(2, min(all, fitting))
    }

    /// The planes of source rows of a convolution of stride 1 to at most 16 channels: `[rows][pairs of channels][slots]`,
    /// column 0 at slot `left`.
    package struct Planes {
        package let pairs: Int
        package let left: Int
        package let slots: Int
        /// Offsets of the first and last source row that an output row reads, and their count.
        package let firstRow: Int
        package let lastRow: Int
        package var rows: Int { lastRow - firstRow + 1 }

        /// Nil where the convolution has more channels or another stride, or where its rows are too long for the cache.
        package init?(_ g: ConvolutionGeometry, _ pass: ConvolutionPass, sourceWidth: Int, width: Int) {
            let isForward = pass == .forward
            let depth = isForward ? g.inputChannels : g.outputChannels
            // Forward, an odd count of channels is paired across taps: see `Unrolled`.
            guard g.stride == 1, !isForward || depth & 1 == 0, (isForward ? g.outputChannels : g.inputChannels) <= 16
            else { return nil }
            pairs = (depth + 1) / 2
            let spanRows = (g.kernelHeight - 1) * g.dilation
            let spanColumns = (g.kernelWidth - 1) * g.dilation
            firstRow = isForward ? -g.padding : g.padding - spanRows
            lastRow = firstRow + spanRows
            let firstColumn = isForward ? -g.padding : g.padding - spanColumns
            left = (max(0, -firstColumn) + 15) & ~15
            let right = max((sourceWidth + 15) & ~15, width + max(0, firstColumn + spanColumns))
            // An odd count of cache lines: planes at multiples of a page would share their places in the cache.
            slots = (left + right + 15) & ~15 | 16
            if 4 * rows * pairs * slots > DotScratch.rowBytes { return nil }
        }

        package var bytes: Int { 2048 + 4 * (256 + slots + 256 + rows * pairs * slots + 512) }
    }

    /// A forward convolution of an odd count of input channels pairs the values (kx, input channel) of a kernel row. Some
    /// source rows at a time are written out as `[row][output column][depth]`: those values, and a zero where they are odd.
    /// What is left is a convolution with a kernel of one column.
    package struct Unrolled {
        package let depth: Int
        package let outputRows: Int
        package let rows: Int
        /// Elements of a source row with its padding.
        package let paddedRow: Int
        package let bytes: Int

        package init?(_ g: ConvolutionGeometry, height: Int, width: Int) {
            guard g.inputChannels & 1 == 1 else { return nil }
            let (outputHeight, outputWidth) = (g.outputHeight(height), g.outputWidth(width))
            depth = (g.kernelWidth * g.inputChannels + 1) & ~1
            let span = (g.kernelHeight - 1) * g.dilation + 1
            let fitting = DotScratch.rowBytes / 2 / max(1, 2 * outputWidth * depth)
            outputRows = max(1, min(outputHeight, (fitting - span) / g.stride + 1))
            rows = (outputRows - 1) * g.stride + span
            paddedRow = (width + 2 * g.padding) * g.inputChannels + 64
            bytes = DotScratch.aligned(2 * paddedRow) + DotScratch.aligned(2 * rows * outputWidth * depth + 64)
        }
    }

    /// Where the packed weights and the planes begin, and the end of all.
    package static func gather(
        _ g: ConvolutionGeometry,
        _ pass: ConvolutionPass,
        images: Int,
        height: Int,
        width: Int
    ) -> (planes: Planes?, unrolled: Unrolled?, weights: Int, rows: Int, bytes: Int) {
        if pass == .forward, let unrolled = Unrolled(g, height: height, width: width) {
            let blocks = blocksAtOnce(depth: unrolled.depth, taps: g.kernelHeight, outputs: g.outputChannels)
            let weights = blocks * blockBytes(depth: unrolled.depth, taps: g.kernelHeight)
            return (nil, unrolled, 0, weights, weights + unrolled.bytes)
        }
        let (outputHeight, outputWidth) = (g.outputHeight(height), g.outputWidth(width))
        let isForward = pass == .forward
        let depth = isForward ? g.inputChannels : g.outputChannels
        let planes = Planes(
            g,
            pass,
            sourceWidth: isForward ? width : outputWidth,
            width: isForward ? outputWidth : width
        )
        let pixels = isForward ? images * height * width : images * outputHeight * outputWidth
        let weights = copyBytes(depth: depth, pixels: pixels)
        let blocks = blocksAtOnce(
            depth: depth,
            taps: g.taps,
            outputs: isForward ? g.outputChannels : g.inputChannels
        )
        let rows = weights + blocks * blockBytes(depth: depth, taps: g.taps)
        return (planes, nil, weights, rows, rows + (planes?.bytes ?? 0))
    }

    /// Bytes of `KernelTable.convolution` with bfloat16 for an input of `images` × `height` × `width`.
    package static func forwardBytes(_ g: ConvolutionGeometry, images: Int, height: Int, width: Int) -> Int {
        gather(g, .forward, images: images, height: height, width: width).bytes
    }

    /// Bytes of `KernelTable.convolutionBackwardInput`, for the same input.
    package static func backwardInputBytes(_ g: ConvolutionGeometry, images: Int, height: Int, width: Int) -> Int {
        gather(g, .backwardInput, images: images, height: height, width: width).bytes
    }

    // MARK: Weight gradients

    /// The packed rows of a weight gradient.
    package struct Rows {
        /// Pairs of output columns.
        package let pairs: Int
        /// Places of a packed input row, and how many of them lie between two pairs of columns.
        package let positions: Int
        package let positionStep: Int
        /// 32-bit pairs of an input row and of a gradient row.
        package let inputRow: Int
        package let gradientRow: Int
        /// Output rows that are packed at once, whole runs.
        package let rowsAtOnce: Int
        package let inputRowsAtOnce: Int
        private let g: ConvolutionGeometry
        private let height: Int
        private let outputHeight: Int

        package init(_ g: ConvolutionGeometry, images: Int, height: Int, width: Int) {
            self.g = g
            self.height = height
            outputHeight = g.outputHeight(height)
            let outputWidth = g.outputWidth(width)
            pairs = (outputWidth + 1) / 2
            positionStep = g.kernelWidth == 1 ? 1 : 2 * g.stride
            positions =
                g.kernelWidth == 1 ? pairs : (pairs - 1) * 2 * g.stride + (g.kernelWidth - 1) * g.dilation + 1
            inputRow = positions * g.inputChannels
            gradientRow = pairs * ConvolutionGeometry.blocks(g.outputChannels) * 16
            let run = g.rowsPerRun(outputWidth: outputWidth)
            let rows = images * outputHeight
            let bytes = 4 * (inputRow * g.stride + gradientRow)
            let runs = max(1, DotScratch.rowBytes / max(1, bytes * run))
            let atOnce = min(rows, runs * run)
            rowsAtOnce = atOnce
            var most = 0
            var first = 0
            while first < rows {
                let range = Self.inputRows(g, height, outputHeight, first, min(first + atOnce, rows))
                most = max(most, range.upperBound - range.lowerBound)
                first += max(1, atOnce)
            }
            inputRowsAtOnce = most
        }

        /// The input rows that output rows `first` ..< `last` read, all counted over (image, row).
        package func inputRows(_ first: Int, _ last: Int) -> (lowerBound: Int, upperBound: Int) {
            Self.inputRows(g, height, outputHeight, first, last)
        }

        private static func inputRows(
            _ g: ConvolutionGeometry,
            _ height: Int,
            _ outputHeight: Int,
            _ first: Int,
            _ last: Int
        ) -> (lowerBound: Int, upperBound: Int) {
            let firstImage = first / outputHeight
            let lastImage = (last - 1) / outputHeight
            let top = (first - firstImage * outputHeight) * g.stride - g.padding
            let bottom =
                (last - 1 - lastImage * outputHeight) * g.stride - g.padding + (g.kernelHeight - 1) * g.dilation + 1
            return (
                firstImage * height + min(max(0, top), height),
                lastImage * height + min(height, max(bottom, 0))
            )
        }

        package var inputBytes: Int { DotScratch.aligned(4 * inputRowsAtOnce * inputRow + 64) }
        package var sumsOffset: Int { inputBytes + DotScratch.aligned(4 * rowsAtOnce * gradientRow + 64) }
        package var bytes: Int { sumsOffset + 4 * (lanes?.count ?? 0) }

        /// Sums whose lanes are input channels: for at most 16 output channels, nil where there are more.
        package var lanes: WeightLanes? { WeightLanes(g) }
    }

    /// Sums of a weight gradient `[parts][16 output channels][lanes]`: a part is a row of taps with its channels where
    /// taps lie side by side, else a tap.
    package struct WeightLanes {
        package let parts: Int
        /// A multiple of 16.
        package let width: Int
        package var count: Int { parts * 16 * width }

        init?(_ g: ConvolutionGeometry) {
            let joined = g.dilation == 1
            parts = joined ? g.kernelHeight : g.taps
            width = ((joined ? g.kernelWidth : 1) * g.inputChannels + 15) & ~15
            if g.outputChannels > 16 || 4 * count > DotScratch.rowBytes / 2 { return nil }
        }
    }

    /// Bytes of `KernelTable.convolutionBackwardWeights`, for the same input.
    package static func backwardWeightsBytes(_ g: ConvolutionGeometry, images: Int, height: Int, width: Int) -> Int {
        Rows(g, images: images, height: height, width: width).bytes
    }
}
