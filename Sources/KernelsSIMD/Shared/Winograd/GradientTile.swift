import CIntrinsics

/// A register tile of the gradient to the weights: some input channels × 16 or 32 output channels of one of the sixteen
/// products, the fma chain over the tiles of a run.
struct GradientTile {
    /// `[tiles][16]`: the transformed patches at the tile's first input channel.
    var patches: UnsafeRawPointer
    /// `[tiles][32]`, or `[tiles][16]` where the tile is narrow.
    var gradients: UnsafeRawPointer
    /// `[input channel][32]` or `[16]`.
    var sums: UnsafeMutablePointer<Float>
    /// The chains of the first half of a run, laid out as `sums`.
    var chains: UnsafeMutablePointer<Float>
    /// In words.
    var tiles: Int
    var stride: Int
    /// Whether the chains go on from `chains`.
    var continues: Bool
    /// Whether the run ends here; else the chains are kept in `chains`.
    var finishes: Bool
    /// Whether sums of earlier runs are there to be added to.
    var adds: Bool
    /// What to fetch meanwhile: `aheadStep` bytes further for each tile.
    var ahead: UnsafeRawPointer
    var aheadStep: Int

    @inline(__always)
    func start(_ channel: Int, _ block: Int) -> Lanes {
        continues ? load(chains + channel * stride + 16 * block) : Lanes(repeating: 0)
    }

    @inline(__always)
    func add(_ channel: Int, _ block: Int, _ sum: Lanes) {
        let offset = channel * stride + 16 * block
        if finishes {
            storeLanes(adds ? load(sums + offset) + sum : sum, sums + offset)
        } else {
            storeLanes(sum, chains + offset)
        }
    }

    /// Register tiles of a block of input channels.
    @inline(__always)
    static func tilesOfBlock(wide: Bool) -> Int {
        #if AVX512
            wide ? 2 : 1
        #else
            3
        #endif
    }

    @inline(__always)
    func run<Tile: Sums>(_: Tile.Type) {
        var sums = Tile(start)
        var patches = patches
        var gradients = gradients
        var ahead = ahead
        var left = tiles
        while left > 0 {
            pleura_prefetch(ahead)
            ahead += aheadStep
            sums.add(Tile.load(gradients, 64)) { repeatWord(patches + 4 * $0) }
            patches += 64
            gradients += 64 * Tile.blocks
            left -= 1
        }
        sums.forEach(add)
    }

    /// Goes on to the input channels past the first `rows`.
    mutating func advance(_ rows: Int) {
        patches += 4 * rows
        sums += rows * stride
        chains += rows * stride
        ahead += tiles * aheadStep
    }

    /// The sixteen input channels of a block.
    @inline(__always)
    static func runBlock(_ block: GradientTile, wide: Bool) {
        var job = block
        #if AVX512
            if wide {
                wideEight(job)
                job.advance(8)
                wideEight(job)
            } else {
                narrowSixteen(job)
            }
        #else
            narrowSix(job)
            job.advance(6)
            narrowSix(job)
            job.advance(6)
            narrowFour(job)
        #endif
    }

    #if AVX512
        @inline(never)
        static func wideEight(_ job: GradientTile) { job.run(Eight<Row2>.self) }

        @inline(never)
        static func narrowSixteen(_ job: GradientTile) { job.run(Sixteen<Row1>.self) }
    #else
        @inline(never)
        static func narrowSix(_ job: GradientTile) { job.run(Six<Row1>.self) }

        @inline(never)
        static func narrowFour(_ job: GradientTile) { job.run(Four<Row1>.self) }
    #endif
}
