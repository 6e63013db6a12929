import CIntrinsics
import Kernels

#if BF16
    /// Sixteen pairs of bfloat16, the even element of each in the low half.
    typealias Pairs = SIMD16<Int32>

    @inline(__always)
    func dot(_ sum: Lanes, _ a: Pairs, _ b: Pairs) -> Lanes { pleura_dot_bf16(sum, a, b) }

    @inline(__always)
    func loadPairs(_ pointer: UnsafePointer<Int32>) -> Pairs {
        UnsafeRawPointer(pointer).loadUnaligned(as: Pairs.self)
    }

    /// One register tile of a convolution over bfloat16 forward or back to the input: `pixels` output
    /// elements × 16 or 32 channels, each the chain over (tap, pair of channels) of dot steps of source pixels with weights.
    ///
    /// Like `GatherTile`, with pairs of channels in the place of channels.
    struct DotTile {
        #if AVX512
            /// 12 × 32 sums take 24 of 32 registers, two weights and the broadcasts the rest; 24 × 16 where there are no more
            /// than 16 channels.
            static let pixels = 12
            static let tallPixels = 24
        #else
            /// 6 × 16 sums take 12 of 16 registers of 256 bits.
            static let pixels = 6
            static let tallPixels = 6
        #endif

        /// `[taps][pixels]`: the source pixel of each tap of each output; a pixel of zeros outside the image.
        var pointers: UnsafePointer<UnsafePointer<Int32>>
        /// `[pixels]`: where the outputs go, at channel 0 of the tile.
        var outputs: UnsafePointer<UnsafeMutablePointer<Element>>
        /// `[taps]`: offsets of the taps' weights from `weights`, in pairs.
        var weightOffsets: UnsafePointer<Int>
        /// `[taps][pairs][16]`.
        var weights: UnsafePointer<Int32>
        /// From a block of 16 output channels to the next, in pairs.
        var blockStride: Int
        var taps: Int
        /// Pairs of channels of the source.
        var pairs: Int
        /// At channel 0 of the tile, or nil.
        var bias: UnsafePointer<Float>?
        /// Output pixels that exist.
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
