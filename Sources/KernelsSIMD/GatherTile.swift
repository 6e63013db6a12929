#if !BF16
    /// One register tile of a convolution in any direction: `GatherTile.pixels` output elements × 16 or 32 channels, each the
    /// fma chain over (tap, depth) of source pixels, found through pointers, with weights.
    ///
    /// The pointers make one kernel serve every stride, padding, dilation and direction, let a tile run across rows and
    /// images, and cost a dozen loads for each tap.
    struct GatherTile {
        #if AVX512
            /// 12 × 32 sums take 24 of 32 registers; two weights and the broadcasts the rest.
            static let pixels = 12
            static let blocks = 2
        #else
            /// 6 × 16 sums take 12 of 16 registers of 256 bits.
            static let pixels = 6
            static let blocks = 1
        #endif

        /// `[taps][pixels]`: the source pixel of each tap of each output; a pixel of zeros outside the image.
        var pointers: UnsafePointer<UnsafePointer<Float>>
        /// `[pixels]`: where the outputs go, at channel 0 of the tile.
        var outputs: UnsafePointer<UnsafeMutablePointer<Float>>
        /// `[taps]`: offsets of the taps' weights from `weights`.
        var weightOffsets: UnsafePointer<Int>
        var weights: UnsafePointer<Float>
        /// From a block of 16 output channels to the next.
        var blockStride: Int
        var taps: Int
        /// Channels of the source.
        var depth: Int
        /// At channel 0 of the tile, or nil.
        var bias: UnsafePointer<Float>?
        /// Output pixels that exist, at most `pixels`.
        var valid: Int
        /// Output channels that exist from channel 0 of the tile on.
        var channels: Int
        var relu: Bool
        var accumulate: Bool

        /// Finishes the sums of output `pixel`, channels 16 · `block` ..<, and stores what exists of them.
        @inline(__always)
        borrowing func store(_ pixel: Int, _ block: Int, _ sum: Lanes) {
            guard pixel < valid else { return }
            var value = sum
            if let bias { value += load(bias + 16 * block) }
            if relu { value = clampBelow(value) }
            let output = outputs[pixel] + 16 * block
            if accumulate { value = load(output) + value }
            storeLanes(value, output, channels - 16 * block)
        }
    }
#endif
