/// How a Winograd convolution, forward or back to the input, is cut into blocks and where its parts stand in the scratch
/// memory: by shape alone.
///
/// Blocks do not change the result, whose order of sums is that of `KernelTable`. Where the weights are few they are
/// transformed once, and blocks of tiles that stay in the second-level cache go through all of them. Where they are
/// many, a block of tiles is transformed, and the weights pass by it in pieces that stay in the cache.
package struct WinogradPlan: Hashable, Sendable {
    /// Sixteen planes in the scratch memory, in elements.
    package struct Area: Hashable, Sendable {
        package var offset: Int
        /// From a plane to the next: with 16 elements of slack, so that the sixteen do not fall into the same sets of a
        /// cache.
        package var plane: Int

        package var end: Int { offset + 16 * plane }
    }

    package var images: Int
    package var tileRows: Int
    package var tileColumns: Int
    /// Rows and columns of the first patch before the image.
    package var padding: Int
    /// Channels of the source, which the products sum over.
    package var depth: Int
    /// Channels of the result.
    package var channels: Int

    /// Tiles whose patches are transformed at once: a multiple of 12, or all.
    package var tileBlock: Int
    /// Tiles whose products are kept at once: a multiple of 12.
    package var productBlock: Int
    /// Result channels of one pass over the tiles: a multiple of 32, or 16.
    package var channelBlock: Int
    /// Source channels whose weights are transformed at once: a multiple of 16, or all.
    package var depthBlock: Int
    /// Whether the weights are transformed once for all tiles, else once for each block of tiles.
    package var keepsWeights: Bool

    package var patches: Area
    package var weights: Area
    package var products: Area
    /// 9 × 256 elements for the transposition of weights, from here on, where they are transposed.
    package var transposition: Int
    /// Elements of the scratch memory.
    package var count: Int

    package var tiles: Int { images * tileRows * tileColumns }

    /// - Parameters:
    ///   - height, width: the size of the result.
    ///   - padding: rows and columns of zeros before the source.
    ///   - transposes: whether the depth is the output channels of the storage layout.
    ///   - packing: source channels in a word of 4 bytes of the products' operands.
    package init(
        images: Int,
        height: Int,
        width: Int,
        padding: Int,
        depth: Int,
        channels: Int,
        transposes: Bool,
        packing: Int
    ) {
        self.images = images
        tileRows = (height + 1) / 2
        tileColumns = (width + 1) / 2
        self.padding = padding
        self.depth = depth
        self.channels = channels
        let tiles = images * tileRows * tileColumns
        let deep = Self.rounded(depth, 16)
        let wide = channels <= 16 ? 16 : Self.rounded(channels, 32)
        let weightWords = deep * wide / packing
        keepsWeights = weightWords <= 128 * 128 || (tiles > 1024 && weightWords <= 256 * 256)
        channelBlock = min(wide, 64)
        if keepsWeights {
            depthBlock = depth
            // Transformed patches of 96 KiB.
            tileBlock = max(12, min(1536 * packing / deep / 12 * 12, 192))
            productBlock = 24
        } else {
            depthBlock = min(depth, 128 * packing)
            let most = 144 * packing
            let blocks = (tiles + most - 1) / most
            tileBlock = (tiles + blocks - 1) / blocks
            productBlock = tileBlock
        }
        tileBlock = Self.rounded(min(tileBlock, tiles), 12)
        productBlock = Self.rounded(min(productBlock, tileBlock), 12)
        patches = Area(offset: 0, plane: tileBlock * deep / packing + 16)
        weights = Area(
            offset: patches.end,
            plane: (keepsWeights ? deep * wide : Self.rounded(depthBlock, 16) * channelBlock) / packing + 16
        )
        products = Area(offset: weights.end, plane: productBlock * channelBlock + 16)
        transposition = products.end
        count = transposition + (transposes ? 9 * 256 : 0)
    }

    package static func rounded(_ n: Int, _ unit: Int) -> Int { (n + unit - 1) / unit * unit }
}

/// How a Winograd gradient to the weights is cut into blocks and where its parts stand in the scratch memory: by shape
/// alone. `run` is part of the contract of `KernelTable`, the rest is not.
package struct WinogradGradientPlan: Hashable, Sendable {
    /// The tiles of the output's gradient and their patches.
    package var images: Int
    package var tileRows: Int
    package var tileColumns: Int
    package var padding: Int

    /// Tiles of one fma chain.
    package static let run = 128
    /// Tiles transformed and multiplied at once: some runs, or half of one.
    package var chunk: Int
    /// Input channels whose gradients are summed at once: a multiple of 16.
    package var depthBlock: Int
    /// Whether one run has all tiles: then 32 output channels at a time are finished.
    package var isSingle: Bool
    package var patches: WinogradPlan.Area
    package var gradients: WinogradPlan.Area
    package var sums: WinogradPlan.Area
    /// The chains of a run of which the second half is missing.
    package var chains: WinogradPlan.Area
    /// Elements of the scratch memory.
    package var count: Int

    package var tiles: Int { images * tileRows * tileColumns }

    /// - Parameters:
    ///   - height, width: the size of the output.
    ///   - padding: rows and columns of zeros before the input.
    ///   - packing: tiles in a word of 4 bytes of the products' operands.
    package init(
        images: Int,
        height: Int,
        width: Int,
        padding: Int,
        inputChannels: Int,
        outputChannels: Int,
        packing: Int
    ) {
        self.images = images
        tileRows = (height + 1) / 2
        tileColumns = (width + 1) / 2
        self.padding = padding
        let tiles = images * tileRows * tileColumns
        let deep = WinogradPlan.rounded(inputChannels, 16)
        let wide = outputChannels <= 16 ? 16 : WinogradPlan.rounded(outputChannels, 32)
        isSingle = tiles <= Self.run
        if packing == 1 {
            // Half a megabyte for 128 channels on both sides together.
            chunk = isSingle || deep + wide <= 64 ? Self.run : Self.run / 2
        } else {
            // The sums pass by once for each chunk: with many channels they are more than the operands.
            chunk = deep + wide > 64 && deep + wide <= 128 ? Self.run : 2 * Self.run
        }
        let most = 192 * packing
        let blocks = (deep + most - 1) / most
        depthBlock = WinogradPlan.rounded((deep + blocks - 1) / blocks, 16)
        let length = (min(chunk, tiles) + packing - 1) / packing
        patches = WinogradPlan.Area(offset: 0, plane: length * depthBlock + 16)
        gradients = WinogradPlan.Area(offset: patches.end, plane: length * wide + 16)
        sums = WinogradPlan.Area(
            offset: gradients.end,
            plane: depthBlock * (isSingle ? min(wide, 32) : wide) + 16
        )
        chains = WinogradPlan.Area(offset: sums.end, plane: chunk < Self.run ? sums.plane : 0)
        count = chains.end
    }
}
