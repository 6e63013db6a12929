/// A network's probabilities for one image, `size` × `size`, row-major.
package struct ProbabilityMap: Sendable, Equatable {
    package let size: Int
    package let values: [Float]

    package static let sizes = 1...4096

    package init(size: Int, values: [Float]) {
        precondition(
            Self.sizes.contains(size) && values.count == size * size,
            "\(values.count) values for \(size)×\(size)"
        )
        self.size = size
        self.values = values
    }

    /// From 8-bit probabilities: 255 is 1.
    package init(size: Int, bytes: [UInt8]) {
        self.init(size: size, values: bytes.map { Float($0) / 255 })
    }

    /// The probabilities as 8 bits, rounded; what is not a number is 0.
    package var bytes: [UInt8] {
        values.map { $0 > 0 ? UInt8(min(1, $0) * 255 + 0.5) : 0 }
    }
}

/// Reads probability maps of one size at another, the challenge's 1024 × 1024 where none is given, column by column.
///
/// Bilinear between pixel centres, as PyTorch's `interpolate` without `align_corners`: each column is interpolated
/// across first, then down. Everything that thresholds maps reads them through this, so that all count the same pixels.
struct MapUpsampler {
    let size: Int
    /// Height and width of what is read.
    let side: Int
    private let cells: [Int32]
    private let weights: [Float]

    init(size: Int, side: Int = RunLengthMask.challengeSide) {
        precondition(ProbabilityMap.sizes.contains(size), "a map of \(size)×\(size)")
        precondition((1...1 << 16).contains(side), "a map read at \(side)×\(side)")
        self.size = size
        self.side = side
        var cells: [Int32] = []
        var weights: [Float] = []
        let scale = Double(size) / Double(side)
        for pixel in 0..<side {
            let place = min(Double(size - 1), max(0, (Double(pixel) + 0.5) * scale - 0.5))
            let cell = Int(place)
            cells.append(Int32(cell))
            weights.append(Float(place - Double(cell)))
        }
        self.cells = cells
        self.weights = weights
    }

    /// Calls `body` with each column from the left, of those in `columns`: its number and its `side` values, of which
    /// only those in `rows` are set.
    ///
    /// Columns in which no value is above `floor` are left out: with weights of at most 1 - 1/2¹⁷, a value between two
    /// others never rounds to one above both.
    func forEachColumn(
        of map: UnsafeBufferPointer<Float>,
        above floor: Float,
        columns: Range<Int>? = nil,
        rows: Range<Int>? = nil,
        _ body: (_ x: Int, _ column: UnsafePointer<Float>) -> Void
    ) {
        precondition(map.count == size * size, "\(map.count) values for \(size)×\(size)")
        let (size, side) = (size, side)
        let rows = rows ?? 0..<side
        // The map turned, so that its columns are contiguous; with the largest value of each.
        withUnsafeTemporaryAllocation(of: Float.self, capacity: size * size + 2 * size + side + 1) { memory in
            guard let turned = memory.baseAddress, let source = map.baseAddress else { return }
            memory.initialize(repeating: 0)
            let peaks = turned + size * size
            let blended = peaks + size
            let column = blended + size + 1
            turn(source, into: turned, peaks: peaks)
            cells.withUnsafeBufferPointer { cells in
                weights.withUnsafeBufferPointer { weights in
                    for x in columns ?? 0..<side {
                        let cell = Int(cells[x])
                        let next = min(size - 1, cell + 1)
                        guard peaks[cell] > floor || peaks[next] > floor else { continue }
                        let left = turned + cell * size
                        let right = turned + next * size
                        let weight = weights[x]
                        for y in 0..<size { blended[y] = left[y] + (right[y] - left[y]) * weight }
                        blended[size] = blended[size - 1]
                        for y in rows {
                            let cell = Int(cells[y])
                            let above = blended[cell]
                            column[y] = above + (blended[cell + 1] - above) * weights[y]
                        }
                        body(x, column)
                    }
                }
            }
        }
    }

    private func turn(
        _ source: UnsafePointer<Float>,
        into turned: UnsafeMutablePointer<Float>,
        peaks: UnsafeMutablePointer<Float>
    ) {
        // In blocks of 16, a cache line of each.
        for x in 0..<size { peaks[x] = -.infinity }
        for top in stride(from: 0, to: size, by: 16) {
            for left in stride(from: 0, to: size, by: 16) {
                for y in top..<min(size, top + 16) {
                    for x in left..<min(size, left + 16) {
                        let value = source[y * size + x]
                        turned[x * size + y] = value
                        if value > peaks[x] { peaks[x] = value }
                    }
                }
            }
        }
    }
}
