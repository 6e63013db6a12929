import Radiography
import Testing

/// Masks on the radiograph's own pixels.
@Suite struct PixelGridTests {
    /// A smooth hill whose peak is at the given place of the square, as a share of its side.
    private func hill(_ size: Int, x: Float, y: Float) -> [Float] {
        (0..<size * size).map { index in
            let dx = (Float(index % size) + 0.5) / Float(size) - x
            let dy = (Float(index / size) + 0.5) / Float(size) - y
            return max(0, 1 - 3 * (dx * dx + dy * dy).squareRoot())
        }
    }

    @Test func theGridLiesInTheMiddleOfItsSquare() {
        let wide = PixelGrid(width: 201, height: 120)
        #expect(wide.side == 201 && wide.columns == 0..<201 && wide.rows == 40..<160)
        let high = PixelGrid(width: 3, height: 6)
        #expect(high.columns == 1..<4 && high.rows == 0..<6)
        // As the image is padded.
        let image = GrayImage(width: 3, height: 6, pixels: (1...18).map { UInt8($0) })
        #expect(high.image(in: image.paddedToSquare()) == image)
        #expect(wide.fitted(atLeast: 402, atMost: 1000) == PixelGrid(width: 402, height: 240))
        #expect(wide.fitted(atLeast: 1, atMost: 67) == PixelGrid(width: 67, height: 40))
        #expect(PixelGrid(width: 60_000, height: 1).fitted(atLeast: 1, atMost: 100) == PixelGrid(width: 100, height: 1))
    }

    @Test func aRadiographOf1024HasTheMaskOfTheSubmission() {
        let map = hill(64, x: 0.3, y: 0.6)
        for rule in [MaskRule.threshold(0.5), .triplet(top: 0.8, area: 500, bottom: 0.3)] {
            let mask = Postprocessing(rule: rule).mask(of: ProbabilityMap(size: 64, values: map))
            let own = map.withUnsafeBufferPointer { map in
                rule.level(for: map, size: 64).map {
                    PixelGrid(width: 1024, height: 1024).mask(of: map, size: 64, above: $0)
                }
            }
            #expect(own == mask.rowMajor() && mask.area > 10_000)
        }
        let empty = map.withUnsafeBufferPointer {
            MaskRule.triplet(top: 0.99, area: 500, bottom: 0.3).level(for: $0, size: 64)
        }
        #expect(empty == nil)
    }

    /// The map is read between its pixel centres, in `Double` and pixel by pixel.
    @Test(arguments: [(200, 120), (37, 91), (16, 16), (1, 9)])
    func aMaskOfAnySizeIsWhereTheMapSaysSo(width: Int, height: Int) {
        let size = 16
        let map = hill(size, x: 0.45, y: 0.55)
        let grid = PixelGrid(width: width, height: height)
        func value(_ x: Int, _ y: Int) -> Double {
            func place(_ pixel: Int) -> (Int, Int, Double) {
                let exact = (Double(pixel) + 0.5) * Double(size) / Double(grid.side) - 0.5
                let held = min(Double(size - 1), max(0, exact))
                return (Int(held), min(size - 1, Int(held) + 1), held - held.rounded(.down))
            }
            let ((left, right, u), (above, below, v)) = (place(x), place(y))
            let upper = Double(map[above * size + left]) * (1 - u) + Double(map[above * size + right]) * u
            let lower = Double(map[below * size + left]) * (1 - u) + Double(map[below * size + right]) * u
            return upper * (1 - v) + lower * v
        }
        let (mask, values) = map.withUnsafeBufferPointer {
            (grid.mask(of: $0, size: size, above: 0.4), grid.values(of: $0, size: size))
        }
        #expect(mask.count == width * height && values.count == width * height)
        for y in 0..<height {
            for x in 0..<width {
                let expected = value(x + grid.columns.lowerBound, y + grid.rows.lowerBound)
                #expect(abs(Double(values[y * width + x]) - expected) < 1e-5)
                if abs(expected - 0.4) > 1e-5 { #expect((mask[y * width + x] == 1) == (expected > 0.4)) }
            }
        }
    }
}
