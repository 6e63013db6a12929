/// The scratch memory of the convolutions over bfloat16: how much, and what stands where. By shape alone, so that all
/// variants plan the same.
package enum DotScratch {
    /// Packed weights of one pass over the pixels: half of a second-level cache.
    static let weightBytes = 512 << 10
    /// Packed rows of one pass over the weights.
    static let rowBytes = 512 << 10

    static func aligned(_ bytes: Int) -> Int { (bytes + 63) & ~63 }

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

    static func gatherBytes(depth: Int, taps: Int, outputs: Int, sourcePixels: Int) -> Int {
        copyBytes(depth: depth, pixels: sourcePixels)
            + blocksAtOnce(depth: depth, taps: taps, outputs: outputs) * blockBytes(depth: depth, taps: taps)
    }

    /// Bytes of `KernelTable.convolution` with bfloat16 for an input of `images` × `height` × `width`.
    package static func forwardBytes(_ g: ConvolutionGeometry, images: Int, height: Int, width: Int) -> Int {
        gatherBytes(
            depth: g.inputChannels,
            taps: g.taps,
            outputs: g.outputChannels,
            sourcePixels: images * height * width
        )
    }

    /// Bytes of `KernelTable.convolutionBackwardInput`, for the same input.
    package static func backwardInputBytes(_ g: ConvolutionGeometry, images: Int, height: Int, width: Int) -> Int {
        gatherBytes(
            depth: g.outputChannels,
            taps: g.taps,
            outputs: g.inputChannels,
            sourcePixels: images * g.outputHeight(height) * g.outputWidth(width)
        )
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
        package var bytes: Int { inputBytes + DotScratch.aligned(4 * rowsAtOnce * gradientRow + 64) }
    }

    /// Bytes of `KernelTable.convolutionBackwardWeights`, for the same input.
    package static func backwardWeightsBytes(_ g: ConvolutionGeometry, images: Int, height: Int, width: Int) -> Int {
        Rows(g, images: images, height: height, width: width).bytes
    }
}
