import CIntrinsics

/// A register tile of the sixteen products: some tiles × 16 or 32 channels of one of them.
struct ProductTile {
    /// `[⌈depth / packedLanes⌉][ProductTile.size][packedLanes]`: the transformed patches.
    var patches: UnsafeRawPointer
    /// `[depth][32]`, or `[depth][16]` where the tile is narrow.
    var weights: UnsafeRawPointer
    var products: UnsafeMutablePointer<Float>
    /// Elements between the tiles of `products`.
    var stride: Int
    /// In words.
    var depth: Int
    /// Whether the chains go on from what `products` holds.
    var continues: Bool
    /// Three streams of lines to be fetched meanwhile, `aheadStep` bytes of each for sixteen channels of the source.
    var ahead: (UnsafeRawPointer, UnsafeRawPointer, UnsafeRawPointer)
    var aheadStep: Int

    @inline(__always)
    func start(_ tile: Int, _ block: Int) -> Lanes {
        continues ? load(products + tile * stride + 16 * block) : Lanes(repeating: 0)
    }

    @inline(__always)
    func keep(_ tile: Int, _ block: Int, _ sum: Lanes) {
        storeLanes(sum, products + tile * stride + 16 * block)
    }

    #if AVX512
        typealias Rows<Row: Sums> = Twelve<Row>
        /// Where no more tiles are left.
        typealias LastRows<Row: Sums> = Four<Row>
        static let width = 32
    #else
        typealias Rows<Row: Sums> = Six<Row>
        typealias LastRows<Row: Sums> = Two<Row>
        static let width = 16
    #endif

    @inline(__always)
    static var size: Int { Rows<Row1>.rows }

    @inline(__always)
    func run<Tile: Sums>(_: Tile.Type) {
        var sums = Tile(start)
        var patches = patches
        var weights = weights
        var ahead = ahead
        var left = depth
        while left > 0 {
            pleura_prefetch(ahead.0)
            pleura_prefetch(ahead.1)
            pleura_prefetch(ahead.2)
            ahead.0 += aheadStep
            ahead.1 += aheadStep
            ahead.2 += aheadStep
            var steps = min(packedLanes, left)
            left -= steps
            var x = patches
            while steps > 0 {
                sums.add(Tile.load(weights, 64)) { repeatWord(x + $0 * tileBytes) }
                x += 4
                weights += 64 * Tile.blocks
                steps -= 1
            }
            patches += tileBytes * ProductTile.size
        }
        sums.forEach(keep)
    }

    /// Runs a tile of at most `tiles` tiles and 16 channels, or 32 where it is wide.
    @inline(__always)
    static func run(_ job: ProductTile, tiles: Int, wide: Bool) {
        let isLast = tiles <= LastRows<Row1>.rows
        #if AVX512
            if wide {
                if isLast { wideLast(job) } else { wideMost(job) }
                return
            }
        #endif
        if isLast { narrowLast(job) } else { narrowMost(job) }
    }

    @inline(never)
    static func narrowMost(_ job: ProductTile) { job.run(Rows<Row1>.self) }

    @inline(never)
    static func narrowLast(_ job: ProductTile) { job.run(LastRows<Row1>.self) }

    #if AVX512
        @inline(never)
        static func wideMost(_ job: ProductTile) { job.run(Rows<Row2>.self) }

        @inline(never)
        static func wideLast(_ job: ProductTile) { job.run(LastRows<Row2>.self) }
    #endif
}
