import CIntrinsics

/// One register tile of a convolution in any direction: some output pixels × 16 or 32 channels, each sum the chain over
/// (tap, word of source channels) of products of source pixels, found through pointers, with weights.
///
/// The pointers make one kernel serve every stride, padding, dilation and direction, let a tile run across rows and
/// images, and cost a dozen loads for each tap.
struct GatherTile {
    #if AVX512
        /// 12 × 32 sums take 24 of 32 registers; two weights and the broadcasts the rest.
        typealias Rows<Row: Sums> = Twelve<Row>
        /// The same count of sums where a tile is tall: 24 × 16.
        static let tallPixels = 24
        static let blocks = 2
    #else
        /// 6 × 16 sums take 12 of 16 registers of 256 bits.
        typealias Rows<Row: Sums> = Six<Row>
        static let tallPixels = 6
        static let blocks = 1
    #endif

    /// Output pixels of a tile.
    @inline(__always)
    static var pixels: Int { Rows<Row1>.rows }

    /// `[taps][pixels]`: the source pixel of each tap of each output; a pixel of zeros outside the image.
    var pointers: UnsafePointer<UnsafePointer<Word>>
    /// `[pixels]`: where the outputs go, at channel 0 of the tile.
    var outputs: UnsafePointer<UnsafeMutablePointer<Element>>
    /// `[taps]`: offsets of the taps' weights from `weights`, in words.
    var weightOffsets: UnsafePointer<Int>
    /// `[taps][depth][16]`.
    var weights: UnsafePointer<Word>
    /// From a block of 16 output channels to the next, in words.
    var blockStride: Int
    var taps: Int
    /// Words of a source pixel.
    var depth: Int
    /// At channel 0 of the tile, or nil.
    var bias: UnsafePointer<Float>?
    /// Output pixels that exist, at most those of the tile.
    var valid: Int
    /// Output channels that exist from channel 0 of the tile on.
    var channels: Int
    var relu: Bool
    var accumulate: Bool

    /// Finishes the sums of output `pixel`, channels 16 · `block` ..<, and stores what exists of them.
    @inline(__always)
    func store(_ pixel: Int, _ block: Int, _ sum: Lanes) {
        guard pixel < valid else { return }
        var value = sum
        if let bias { value += load(bias + 16 * block) }
        if relu { value = clampBelow(value) }
        let output = outputs[pixel] + 16 * block
        if accumulate { value = load(output) + value }
        storeLanes(value, output, channels - 16 * block)
    }

    @inline(__always)
    func run<Tile: Sums>(_: Tile.Type) {
        var sums = Tile()
        var pointers = pointers
        var tap = 0
        while tap < taps {
            var weight = UnsafeRawPointer(weights + weightOffsets[tap])
            var c = 0
            repeat {
                sums.add(Tile.load(weight, 4 * blockStride)) { repeatWord(pointers[$0] + c) }
                weight += 64
                c += 1
            } while c < depth
            pointers += Tile.rows
            tap += 1
        }
        sums.forEach(store)
    }

    @inline(never)
    static func narrow(_ job: GatherTile) { job.run(Rows<Row1>.self) }

    #if AVX512
        @inline(never)
        static func wide(_ job: GatherTile) { job.run(Rows<Row2>.self) }
    #endif
}

/// For each tap: the offset of its source from the output's place, and of its weights in words.
struct TapTable {
    private(set) var count = 0
    let rows: UnsafeMutablePointer<Int>
    let columns: UnsafeMutablePointer<Int>
    let weights: UnsafeMutablePointer<Int>

    /// Uses the thread's scratch memory: one table at a time.
    init() {
        rows = pleura_tap_table()
        columns = rows + Int(PLEURA_TAPS)
        weights = columns + Int(PLEURA_TAPS)
    }

    mutating func append(row: Int, column: Int, weights offset: Int) {
        rows[count] = row
        columns[count] = column
        weights[count] = offset
        count += 1
    }
}
