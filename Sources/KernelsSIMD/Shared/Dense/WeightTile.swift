import Kernels

/// One register tile of a weight gradient: some input channels × 16 or 32 output channels of one tap, or of one row of
/// taps, each sum the chain of products over the columns of a run of rows, added to the gradient at its end.
struct WeightTile {
    /// Input and gradient at their first channel of the tile, in their first row and column.
    var input: UnsafePointer<Word>
    var gradient: UnsafePointer<Word>
    /// Where the sums go: `[input channel][16]`, blocks of 16 output channels `blockStride` apart.
    var weights: UnsafeMutablePointer<Float>
    var blockStride: Int
    /// Input channels that exist from the tile's first on.
    var channels: Int

    /// Rows of the output, counted over (image, row), and the words of a row, at least one.
    var firstRow: Int
    var lastRow: Int
    var columns: Int

    var outputHeight: Int
    var inputHeight: Int
    /// Input row of output row 0 for this tap, and the step between output rows.
    var rowOffset: Int
    var stride: Int
    /// The rows that `input` and `gradient` stand at, counted over (image, row).
    var firstInputRow = 0
    var firstGradientRow = 0
    /// Words between rows.
    var inputRowStride: Int
    var gradientRowStride: Int
    /// Words between columns.
    var inputStep: Int
    var gradientStep: Int

    /// The first row from `row` on whose input row is inside the image, or `lastRow`.
    @inline(__always)
    func rowInside(from row: Int) -> Int {
        var row = row
        while row < lastRow {
            let place = row % outputHeight * stride + rowOffset
            if place >= 0 && place < inputHeight { break }
            row += 1
        }
        return row
    }

    @inline(__always)
    func inputPlace(_ row: Int) -> UnsafePointer<Word> {
        let image = row / outputHeight
        let place = image * inputHeight + (row - image * outputHeight) * stride + rowOffset
        return input + (place - firstInputRow) * inputRowStride
    }

    /// Adds the sums of input channel `channel` and output channels 16 · `block` ..< to the gradient.
    @inline(__always)
    func add(_ channel: Int, _ block: Int, _ sum: Lanes) {
        guard channel < channels else { return }
        let place = weights + block * blockStride + channel * 16
        storeLanes(load(place) + sum, place)
    }

    /// Sums over the columns of the rows whose input row is inside the image. The rows of the tile are input channels and
    /// its blocks output channels, or the other way round where they are `exchanged`.
    @inline(__always)
    func run<Tile: Sums>(_: Tile.Type, exchanged: Bool = false) {
        var sums = Tile()
        var row = firstRow
        while true {
            row = rowInside(from: row)
            if row >= lastRow { break }
            var x = inputPlace(row)
            var dy = gradient + (row - firstGradientRow) * gradientRowStride
            var left = columns
            repeat {
                sums.add(Tile.load(exchanged ? x : dy, 64)) { repeatWord((exchanged ? dy : x) + $0) }
                x += inputStep
                dy += gradientStep
                left -= 1
            } while left > 0
            row += 1
        }
        sums.forEach { row, block, sum in add(exchanged ? block : row, exchanged ? row : block, sum) }
    }

    /// The larger tile and the smaller one: 12 × 32 sums take 24 of 32 registers, 6 × 16 take 12 of 16 of 256 bits.
    #if AVX512
        typealias Large<Row: Sums> = Twelve<Row>
        typealias Small<Row: Sums> = Eight<Row>
    #else
        typealias Large<Row: Sums> = Six<Row>
        typealias Small<Row: Sums> = Four<Row>
    #endif

    /// Input channels of the next tile where `channels` are left: the larger size unless the smaller one, once or
    /// twice, fits better.
    @inline(__always)
    static func size(channels: Int) -> Int {
        let large = Large<Row1>.rows
        let small = Small<Row1>.rows
        return channels <= small || (channels > large && channels <= 2 * small) ? small : large
    }

    /// Runs a tile of `size` input channels and 16 output channels, or 32 where it is wide.
    @inline(__always)
    func run(size: Int, wide: Bool) {
        let isLarge = size == Large<Row1>.rows
        #if AVX512
            if wide {
                if isLarge { WeightTile.wideLarge(self) } else { WeightTile.wideSmall(self) }
            } else {
                if isLarge { WeightTile.narrowLarge(self) } else { WeightTile.narrowSmall(self) }
            }
        #else
            var tile = self
            var blocks = wide ? 2 : 1
            while blocks > 0 {
                if isLarge { WeightTile.narrowLarge(tile) } else { WeightTile.narrowSmall(tile) }
                tile.gradient += 16
                tile.weights += blockStride
                blocks -= 1
            }
        #endif
    }

    @inline(never)
    static func narrowLarge(_ job: WeightTile) { job.run(Large<Row1>.self) }

    @inline(never)
    static func narrowSmall(_ job: WeightTile) { job.run(Small<Row1>.self) }

    #if AVX512
        @inline(never)
        static func wideLarge(_ job: WeightTile) { job.run(Large<Row2>.self) }

        @inline(never)
        static func wideSmall(_ job: WeightTile) { job.run(Small<Row2>.self) }
    #endif
}

/// Lanes past the last output channel have summed what lies beside the gradient's channels: zero them.
func clearUnusedLanes(_ dw: UnsafeMutablePointer<Float>, _ g: ConvolutionGeometry) {
    let used = g.outputChannels & 15
    guard used != 0 else { return }
    let count = g.taps * g.inputChannels
    let block = dw + g.outputChannels / 16 * count * 16
    var row = 0
    while row < count {
        var lane = used
        while lane < 16 {
            block[row * 16 + lane] = 0
            lane += 1
        }
        row += 1
    }
}
