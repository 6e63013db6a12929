package import Settings

/// Contrast-limited adaptive histogram equalisation: OpenCV's `createCLAHE` with a random limit, as albumentations' `CLAHE` draws it
/// (Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", 1994).
package struct LocalContrast: Augmentation {
    package static let word = "clahe"
    package static let summary = "equalises the histogram of each part of the image, up to a limit."
    package static let words = 16..<18

    package var probability: Double
    /// The largest limit: the tallest bar of a tile's histogram, in units of a flat one. The smallest is 1.
    package var limit: Double
    /// Tiles along each side.
    package var tiles: Int

    package init() { self.init(probability: 0) }

    package init(probability: Double, limit: Double = 4, tiles: Int = 8) {
        self.probability = probability
        self.limit = limit
        self.tiles = tiles
    }

    package static let settings: [Setting<LocalContrast>] = [
        probabilitySetting,
        Setting(
            "limit",
            \.limit,
            .within(1...40),
            "The largest contrast: the limit is drawn between 1 and this, in units of a flat histogram."
        ),
        Setting("tiles", \.tiles, .within(1...32), "Parts along each side."),
    ]

    package func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw) {
        draw.filters.append(
            AdaptiveEqualization(limit: Double(numbers.uniform(0, in: 1...Float(limit))), tiles: tiles)
        )
    }
}

/// CLAHE with a given limit: OpenCV's bytes.
package struct AdaptiveEqualization: PixelFilter {
    package var limit: Double
    package var tiles: Int

    package init(limit: Double, tiles: Int) {
        self.limit = limit
        self.tiles = tiles
    }

    package func apply(to pixels: UnsafeMutableBufferPointer<UInt8>, width: Int, height: Int) {
        let grid = TileGrid(width: width, height: height, tiles: tiles)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256 * tiles * tiles) { tables in
            for row in 0..<tiles {
                for column in 0..<tiles {
                    let table = UnsafeMutableBufferPointer(
                        rebasing: tables[256 * (row * tiles + column)..<256 * (row * tiles + column + 1)]
                    )
                    grid.fillTable(table, row: row, column: column, of: pixels, limit: limit)
                }
            }
            grid.blend(tables, into: pixels)
        }
    }
}

/// An image cut into equal tiles; where its sides are no multiples of their number, mirrored pixels fill the last ones.
private struct TileGrid {
    var width: Int
    var height: Int
    var tiles: Int
    var tileWidth: Int
    var tileHeight: Int

    init(width: Int, height: Int, tiles: Int) {
        self.width = width
        self.height = height
        self.tiles = tiles
        // As OpenCV: where one side is no multiple, a whole row of pixels is added to each tile of the other one, too.
        let isWhole = width % tiles == 0 && height % tiles == 0
        tileWidth = isWhole ? width / tiles : (width + tiles - width % tiles) / tiles
        tileHeight = isWhole ? height / tiles : (height + tiles - height % tiles) / tiles
    }

    /// The new value of each grey value, by the histogram of one tile.
    func fillTable(
        _ table: UnsafeMutableBufferPointer<UInt8>,
        row: Int,
        column: Int,
        of pixels: UnsafeMutableBufferPointer<UInt8>,
        limit: Double
    ) {
        let area = tileWidth * tileHeight
        withUnsafeTemporaryAllocation(of: Int.self, capacity: 256) { counts in
            counts.initialize(repeating: 0)
            for y in row * tileHeight..<(row + 1) * tileHeight {
                let line = reflected(y, height) * width
                for x in column * tileWidth..<(column + 1) * tileWidth {
                    counts[Int(pixels[line + reflected(x, width)])] += 1
                }
            }
            let most = max(Int(limit * Double(area) / 256), 1)
            var excess = 0
            for grey in 0..<256 where counts[grey] > most {
                excess += counts[grey] - most
                counts[grey] = most
            }
            let share = excess / 256
            for grey in 0..<256 { counts[grey] += share }
            var rest = excess % 256
            if rest > 0 {
                let step = max(256 / rest, 1)
                var grey = 0
                while grey < 256 && rest > 0 {
                    counts[grey] += 1
                    grey += step
                    rest -= 1
                }
            }
            let scale = 255 / Float(area)
            var sum = 0
            for grey in 0..<256 {
                sum += counts[grey]
                table.initializeElement(at: grey, to: Self.byte(Float(sum) * scale))
            }
        }
    }

    /// Each pixel's new value, bilinear between those of the four nearest tiles.
    func blend(_ tables: UnsafeMutableBufferPointer<UInt8>, into pixels: UnsafeMutableBufferPointer<UInt8>) {
        let (inverseWidth, inverseHeight) = (1 / Float(tileWidth), 1 / Float(tileHeight))
        for y in 0..<height {
            let (above, below, fy) = place(y, inverseHeight)
            for x in 0..<width {
                let (left, right, fx) = place(x, inverseWidth)
                let grey = Int(pixels[y * width + x])
                func value(_ row: Int, _ column: Int) -> Float {
                    Float(tables[256 * (row * tiles + column) + grey])
                }
                let top = value(above, left) * (1 - fx) + value(above, right) * fx
                let bottom = value(below, left) * (1 - fx) + value(below, right) * fx
                pixels[y * width + x] = Self.byte(top * (1 - fy) + bottom * fy)
            }
        }
    }

    /// The tiles before and behind a pixel along one axis, and how far it is between their middles.
    private func place(_ position: Int, _ inverse: Float) -> (Int, Int, Float) {
        let place = Float(position) * inverse - 0.5
        let first = place.rounded(.down)
        return (max(Int(first), 0), min(Int(first) + 1, tiles - 1), place - first)
    }

    /// Rounded to the nearest, to even where there are two.
    private static func byte(_ value: Float) -> UInt8 {
        UInt8(min(255, max(0, value.rounded(.toNearestOrEven))))
    }
}
