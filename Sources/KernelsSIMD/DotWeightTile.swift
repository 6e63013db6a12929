import CIntrinsics
import Kernels

#if BF16
    /// One register tile of a weight gradient over bfloat16: some input channels × 16 or 32 output channels of one row of
    /// taps, each the chain of dot steps over pairs of columns of a run of rows, added to the gradient at its end.
    struct DotWeightTile {
        /// Packed rows at the tile's first channel: see `DotPacking`.
        var input: UnsafePointer<Int32>
        var gradient: UnsafePointer<Int32>
        /// Where the sums go: `[input channel][16]`, blocks of 16 output channels `blockStride` apart.
        var weights: UnsafeMutablePointer<Float>
        var blockStride: Int
        /// Input channels that exist from the tile's first on.
        var channels: Int

        /// Rows of the output, counted over (image, row).
        var firstRow: Int
        var lastRow: Int
        var pairs: Int

        var outputHeight: Int
        var inputHeight: Int
        /// Input row of output row 0 for this row of taps, and the step between output rows.
        var rowOffset: Int
        var stride: Int
        /// The packed input rows begin with this one, counted over (image, row); the gradient's with `firstGradientRow`.
        var firstInputRow: Int
        var firstGradientRow: Int
        /// Pairs between rows.
        var inputRowStride: Int
        var gradientRowStride: Int
        /// Pairs between neighbouring pairs of columns.
        var inputStep: Int
        var gradientStep: Int

        @inline(__always)
        borrowing func inputRowIsInside(row: Int) -> Bool {
            let height = inputHeight
            let place = row % outputHeight * stride + rowOffset
            return place >= 0 && place < height
        }

        @inline(__always)
        borrowing func inputPairs(row: Int) -> UnsafePointer<Int32> {
            let image = row / outputHeight
            let place = image * inputHeight + (row - image * outputHeight) * stride + rowOffset
            return input + (place - firstInputRow) * inputRowStride
        }

        @inline(__always)
        borrowing func gradientPairs(row: Int) -> UnsafePointer<Int32> {
            gradient + (row - firstGradientRow) * gradientRowStride
        }

        /// Adds the sums of input channel `channel` and output channels 16 · `block` ..< to the gradient.
        @inline(__always)
        borrowing func add(_ channel: Int, _ block: Int, _ sum: Lanes) {
            guard channel < channels else { return }
            let place = weights + block * blockStride + channel * 16
            storeLanes(load(place) + sum, place)
        }
    }
#endif
