/// A smooth field over the image on a coarse grid: distances to a contour, or noise.
///
/// Values stand at the centres of `side` × `side` equal cells over the unit square; between them the field is bilinear,
/// and constant outside the outermost centres. It does not depend on the image's size, so one phantom has the same
/// anatomy at every size.
struct DistanceGrid {
    let side: Int
    var values: [Float]

    init(side: Int, repeating value: Float) {
        self.side = side
        values = [Float](repeating: value, count: side * side)
    }

    /// The signed distance to a closed polygon: positive inside, cut at ±`band`.
    init(side: Int, polygon: [PhantomPoint], band: Float) {
        self.init(side: side, repeating: -band)
        add(polygon: polygon, band: band)
    }

    /// Makes this the distance to the union of what it was and a polygon.
    mutating func add(polygon: [PhantomPoint], band: Float) {
        guard polygon.count > 2 else { return }
        let side = side
        let size = Float(side)
        let points = polygon.map { $0 * size - 0.5 }
        let reach = band * size
        var squares = [Float](repeating: reach * reach, count: side * side)
        squares.withUnsafeMutableBufferPointer { squares in
            var last = points[points.count - 1]
            for point in points {
                Self.lower(squares, side: side, from: last, to: point, reach: reach)
                last = point
            }
        }
        let cell = 1 / size
        forEachInsideSpan(points) { row, columns, values in
            for column in columns {
                let index = row * side + column
                values[index] = max(values[index], squares[index].squareRoot() * cell)
                squares[index] = -1
            }
        }
        for index in squares.indices where squares[index] >= 0 {
            values[index] = max(values[index], -squares[index].squareRoot() * cell)
        }
    }

    /// Lowers squared distances, in cells, to those from the segment.
    private static func lower(
        _ squares: UnsafeMutableBufferPointer<Float>,
        side: Int,
        from a: PhantomPoint,
        to b: PhantomPoint,
        reach: Float
    ) {
        let limit = Float(side - 1)
        let left = max(0, min(a.x, b.x) - reach)
        let right = min(limit, max(a.x, b.x) + reach)
        let top = max(0, min(a.y, b.y) - reach)
        let bottom = min(limit, max(a.y, b.y) + reach)
        guard left <= right && top <= bottom else { return }
        let d = b - a
        let inverse = 1 / max(1e-12, d.lengthSquared)
        for row in Int(top)...Int(bottom) {
            let py = Float(row) - a.y
            for column in Int(left)...Int(right) {
                let px = Float(column) - a.x
                let along = (px * d.x + py * d.y) * inverse
                let t = along < 0 ? 0 : along > 1 ? 1 : along
                let ex = px - t * d.x
                let ey = py - t * d.y
                let square = ex * ex + ey * ey
                let index = row * side + column
                if square < squares[index] { squares[index] = square }
            }
        }
    }

    /// Calls `body` with the cells of each row whose centres lie inside the polygon (even-odd rule).
    private mutating func forEachInsideSpan(
        _ points: [PhantomPoint],
        _ body: (_ row: Int, _ columns: Range<Int>, _ values: inout [Float]) -> Void
    ) {
        var crossings: [Float] = []
        for row in 0..<side {
            let y = Float(row)
            crossings.removeAll(keepingCapacity: true)
            var last = points[points.count - 1]
            for point in points {
                if (last.y <= y) != (point.y <= y) {
                    crossings.append(last.x + (point.x - last.x) * ((y - last.y) / (point.y - last.y)))
                }
                last = point
            }
            crossings.sort()
            var i = 0
            while i + 1 < crossings.count {
                let first = max(0, Int(max(-1, crossings[i]).rounded(.up)))
                let end = min(side, Int(max(-1, min(Float(side), crossings[i + 1])).rounded(.up)))
                if first < end { body(row, first..<end, &values) }
                i += 2
            }
        }
    }

    /// The field at a point.
    func value(at point: PhantomPoint) -> Float {
        let limit = Float(side - 1)
        let x = max(0, min(limit, point.x * Float(side) - 0.5))
        let y = max(0, min(limit, point.y * Float(side) - 0.5))
        let column = min(side - 2, Int(x))
        let row = min(side - 2, Int(y))
        let index = row * side + column
        let fx = x - Float(column)
        let above = mix(values[index], values[index + 1], fx)
        let below = mix(values[index + side], values[index + side + 1], fx)
        return mix(above, below, y - Float(row))
    }

    /// Smooths the values with the weights 1, 2, 1 along both axes, `passes` times.
    mutating func smooth(passes: Int) {
        var other = values
        for _ in 0..<passes {
            for row in 0..<side {
                let start = row * side
                for column in 0..<side {
                    let left = values[start + max(0, column - 1)]
                    let right = values[start + min(side - 1, column + 1)]
                    other[start + column] = 0.25 * (left + right) + 0.5 * values[start + column]
                }
            }
            for row in 0..<side {
                let above = max(0, row - 1) * side
                let below = min(side - 1, row + 1) * side
                for column in 0..<side {
                    values[row * side + column] =
                        0.25 * (other[above + column] + other[below + column]) + 0.5 * other[row * side + column]
                }
            }
        }
    }
}

/// Reads a `DistanceGrid` along the rows of an image of `size` pixels.
struct GridRows {
    private let side: Int
    private let size: Int
    private let columns: [Int32]
    private let weights: [Float]
    private var blended: [Float]

    init(side: Int, size: Int) {
        self.side = side
        self.size = size
        var columns: [Int32] = []
        var weights: [Float] = []
        for x in 0..<size {
            let position = Self.position(x, side: side, size: size)
            columns.append(Int32(position.cell))
            weights.append(position.weight)
        }
        self.columns = columns
        self.weights = weights
        blended = [Float](repeating: 0, count: side)
    }

    private static func position(_ pixel: Int, side: Int, size: Int) -> (cell: Int, weight: Float) {
        let place = (Float(pixel) + 0.5) * Float(side) / Float(size) - 0.5
        let held = max(0, min(Float(side - 1), place))
        let cell = min(side - 2, Int(held))
        return (cell, held - Float(cell))
    }

    /// Writes the values of the grid along pixel row `y` to `row`, which holds `size` values.
    mutating func read(_ grid: DistanceGrid, row y: Int, into row: UnsafeMutablePointer<Float>) {
        precondition(grid.side == side, "a grid of side \(grid.side) read as one of \(side)")
        let position = Self.position(y, side: side, size: size)
        grid.values.withUnsafeBufferPointer { values in
            guard let above = values.baseAddress.map({ $0 + position.cell * side }) else { return }
            let below = above + side
            for i in 0..<side { blended[i] = above[i] + (below[i] - above[i]) * position.weight }
        }
        blended.withUnsafeBufferPointer { blended in
            columns.withUnsafeBufferPointer { columns in
                weights.withUnsafeBufferPointer { weights in
                    for x in 0..<size {
                        let left = blended[Int(columns[x])]
                        row[x] = left + (blended[Int(columns[x]) + 1] - left) * weights[x]
                    }
                }
            }
        }
    }
}
