import Numerics
import Radiography
import Testing

@Suite("Run-length masks")
struct RunLengthMaskTests {
    @Test("Gaps count from the end of the previous run; the first is absolute")
    func parses() throws {
        let mask = try RunLengthMask(encoded: " 2 3 1 2\t4 1 ", width: 4, height: 5)
        #expect(mask.runs == [.init(start: 2, length: 3), .init(start: 6, length: 2), .init(start: 12, length: 1)])
        #expect(mask.area == 6)
        #expect(mask.encoded == "2 3 1 2 4 1")
        // Column-major: index 2 is x 0, y 2; index 6 is x 1, y 1; index 12 is x 2, y 2.
        #expect(
            mask.rowMajor() == [
                0, 0, 0, 0,
                0, 1, 0, 0,
                1, 1, 1, 0,
                1, 0, 0, 0,
                1, 0, 0, 0,
            ]
        )
    }

    @Test("-1 with any blanks is empty", arguments: ["-1", " -1", "-1 ", "\t-1\r"])
    func empty(text: String) throws {
        let mask = try RunLengthMask(encoded: text, width: 8, height: 8)
        #expect(mask.isEmpty && mask.area == 0 && mask.encoded == "-1")
    }

    @Test("A run may begin at the first pixel, end at the last, and adjoin the one before")
    func bounds() throws {
        let whole = try RunLengthMask(encoded: "0 64", width: 8, height: 8)
        #expect(whole.area == 64)
        let adjoining = try RunLengthMask(encoded: "0 2 0 3", width: 8, height: 8)
        #expect(adjoining.runs == [.init(start: 0, length: 5)])
    }

    @Test(
        "Bad text is refused with the run",
        arguments: [
            ("", RunLengthError.blank), ("  ", .blank), ("1 2 3", .oddCount(3)), ("1 0", .zeroLength(run: 1)),
            ("1 2 -3 4", .negative(run: 2, value: -3)), ("-1 2", .negative(run: 1, value: -1)),
            ("-1 -1", .negative(run: 1, value: -1)), ("1 2x", .notANumber(run: 1, text: "2x")),
            ("1 2 1.5 2", .notANumber(run: 2, text: "1.5")), ("60 5", .outOfRange(run: 1, end: 65, pixels: 64)),
            ("0 60 4 1", .outOfRange(run: 2, end: 65, pixels: 64)),
            ("99999999999999999999 1", .notANumber(run: 1, text: "99999999999999999999")),
            ("2147483647 2147483647", .outOfRange(run: 1, end: 4_294_967_294, pixels: 64)),
        ]
    )
    func refuses(text: String, error: RunLengthError) {
        #expect(throws: error) { try RunLengthMask(encoded: text, width: 8, height: 8) }
    }

    /// A random raster with about one pixel in `rarity` set.
    private func raster(_ width: Int, _ height: Int, seed: UInt64, rarity: Int = 3) -> [UInt8] {
        let random = RandomSequence(seed: seed, purpose: .simulation)
        return (0..<width * height).map { random.integer($0, below: rarity) == 0 ? 1 : 0 }
    }

    @Test("Raster, runs and text give each other back", arguments: [(1, 1), (7, 5), (130, 9), (64, 64), (65, 33)])
    func roundTrips(width: Int, height: Int) throws {
        let pixels = raster(width, height, seed: UInt64(width))
        let mask = RunLengthMask(rowMajor: pixels, width: width, height: height)
        #expect(mask.rowMajor() == pixels)
        #expect(mask.area == pixels.reduce(0) { $0 + Int($1) })
        #expect(try RunLengthMask(encoded: mask.encoded, width: width, height: height) == mask)
    }

    @Test("Union and intersection are those of the rasters", arguments: 1...8)
    func setOperations(seed: UInt64) {
        let a = raster(19, 23, seed: seed, rarity: 4)
        let b = raster(19, 23, seed: seed + 100, rarity: 2)
        let first = RunLengthMask(rowMajor: a, width: 19, height: 23)
        let second = RunLengthMask(rowMajor: b, width: 19, height: 23)
        let union = zip(a, b).map { $0 | $1 }
        #expect(first.union(second) == RunLengthMask(rowMajor: union, width: 19, height: 23))
        #expect(first.intersectionArea(second) == zip(a, b).reduce(0) { $0 + Int($1.0 & $1.1) })
        #expect(first.union(first) == first)
        #expect(first.union(RunLengthMask(width: 19, height: 23)) == first)
    }

    @Test("Half of a pixel's area sets it, less does not")
    func areaRule() {
        // 4×4 to 2×2: 2 of 4 pixels set, 1 of 4, 4 of 4, none.
        let pixels: [UInt8] = [
            1, 0, 0, 0,
            0, 1, 0, 1,
            1, 1, 0, 0,
            1, 1, 0, 0,
        ]
        let mask = RunLengthMask(rowMajor: pixels, width: 4, height: 4)
        #expect(mask.downscaled(to: 2) == [1, 0, 1, 0])
        #expect(mask.downscaled(to: 4) == pixels)
        #expect(mask.downscaled(to: 8).count == 64)
    }

    @Test("Any ratio follows the area rule computed by brute force", arguments: [1, 3, 5, 7, 12, 17, 31])
    func downscalingAgainstBruteForce(size: Int) {
        let side = 12
        let pixels = raster(side, side, seed: UInt64(size), rarity: 2)
        let mask = RunLengthMask(rowMajor: pixels, width: side, height: side)
        // Both grids divide side · size cells a side, so counting cells is exact.
        var expected = [UInt8](repeating: 0, count: size * size)
        for y in 0..<size {
            for x in 0..<size {
                var cells = 0
                for v in y * side..<(y + 1) * side {
                    for u in x * side..<(x + 1) * side { cells += Int(pixels[v / size * side + u / size]) }
                }
                expected[y * size + x] = 2 * cells >= side * side ? 1 : 0
            }
        }
        #expect(mask.downscaled(to: size) == expected)
    }
}
