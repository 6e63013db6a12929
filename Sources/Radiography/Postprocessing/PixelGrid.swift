/// Where a radiograph's own pixels lie on the square that maps and the challenge's masks cover.
///
/// The radiograph stands in the middle of the smallest square that holds it, as `GrayImage.paddedToSquare` puts it there.
package struct PixelGrid: Sendable, Equatable {
    /// The radiograph's size in pixels.
    package let width: Int
    package let height: Int

    /// Sizes that a file may have: 1 ... 65535 each.
    package init(width: Int, height: Int) {
        precondition(
            (1..<1 << 16).contains(width) && (1..<1 << 16).contains(height),
            "a radiograph of \(width)×\(height) pixels"
        )
        self.width = width
        self.height = height
    }

    /// The square's side in the radiograph's pixels.
    package var side: Int { max(width, height) }
    /// Columns and rows of the square that the radiograph takes.
    package var columns: Range<Int> { (side - width) / 2..<(side - width) / 2 + width }
    package var rows: Range<Int> { (side - height) / 2..<(side - height) / 2 + height }

    /// The grid made smaller so that no side is above `most`, or larger so that one reaches `least`; ratios are kept as
    /// well as whole pixels allow.
    package func fitted(atLeast least: Int, atMost most: Int) -> PixelGrid {
        let target = min(most, max(least, side))
        func scaled(_ length: Int) -> Int { max(1, (2 * length * target + side) / (2 * side)) }
        return PixelGrid(width: scaled(width), height: scaled(height))
    }

    /// The pixels at which a map of `size` × `size` probabilities over the square is above `level`: 1 there, 0 elsewhere,
    /// row by row.
    ///
    /// The map is read between its pixel centres, as the challenge's masks read it: for a radiograph of 1024 × 1024 both
    /// are the same mask.
    package func mask(of map: UnsafeBufferPointer<Float>, size: Int, above level: Float) -> [UInt8] {
        var mask = [UInt8](repeating: 0, count: width * height)
        let (left, top, width) = (columns.lowerBound, rows.lowerBound, width)
        mask.withUnsafeMutableBufferPointer { mask in
            MapUpsampler(size: size, side: side).forEachColumn(of: map, above: level, columns: columns, rows: rows) {
                x,
                column in
                for y in rows where column[y] > level { mask[(y - top) * width + x - left] = 1 }
            }
        }
        return mask
    }

    /// A map of `size` × `size` probabilities over the square, at the radiograph's pixels, row by row.
    package func values(of map: UnsafeBufferPointer<Float>, size: Int) -> [Float] {
        var values = [Float](repeating: 0, count: width * height)
        let (left, top, width) = (columns.lowerBound, rows.lowerBound, width)
        values.withUnsafeMutableBufferPointer { values in
            let upsampler = MapUpsampler(size: size, side: side)
            upsampler.forEachColumn(of: map, above: -.infinity, columns: columns, rows: rows) { x, column in
                for y in rows { values[(y - top) * width + x - left] = column[y] }
            }
        }
        return values
    }

    /// The part of a square image that is the radiograph.
    ///
    /// `square` is of `side` × `side` pixels.
    package func image(in square: GrayImage) -> GrayImage {
        precondition(square.width == side && square.height == side, "a square of \(square.width) for \(side)")
        if width == side && height == side { return square }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(width * height)
        for y in rows { pixels += square.pixels[(y * side + columns.lowerBound)..<(y * side + columns.upperBound)] }
        return GrayImage(width: width, height: height, pixels: pixels)
    }
}
