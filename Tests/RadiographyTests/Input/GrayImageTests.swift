import Numerics
import Radiography
import Testing

@Suite("Grey images")
struct GrayImageTests {
    static func noise(_ width: Int, _ height: Int, seed: UInt64 = 1) -> GrayImage {
        let random = RandomSequence(seed: seed, purpose: .simulation)
        return GrayImage(
            width: width,
            height: height,
            pixels: (0..<width * height).map { UInt8(random.integer($0, below: 256)) }
        )
    }

    @Test("Padding centres on black, with the odd pixel right and below")
    func padding() {
        let wide = GrayImage(width: 4, height: 1, pixels: [1, 2, 3, 4])
        #expect(wide.paddedToSquare().pixels == [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0])
        let tall = GrayImage(width: 1, height: 3, pixels: [7, 8, 9])
        #expect(tall.paddedToSquare().pixels == [0, 7, 0, 0, 8, 0, 0, 9, 0])
        let square = GrayImage(width: 2, height: 2, pixels: [1, 2, 3, 4])
        #expect(square.paddedToSquare() == square)
    }

    /// The mean over the cells of a grid that both sizes divide, halves up: exact, and slow.
    private func areaMeans(_ image: GrayImage, _ size: Int) -> [UInt8] {
        let side = image.width
        var result: [UInt8] = []
        for y in 0..<size {
            for x in 0..<size {
                var sum = 0
                for v in y * side..<(y + 1) * side {
                    for u in x * side..<(x + 1) * side { sum += Int(image.pixels[v / size * side + u / size]) }
                }
                result.append(UInt8((2 * sum + side * side) / (2 * side * side)))
            }
        }
        return result
    }

    @Test("Smaller sizes average areas exactly", arguments: [1, 2, 3, 5, 7, 8, 9, 12, 16, 17, 23])
    func averages(size: Int) {
        let image = Self.noise(24, 24, seed: UInt64(size))
        #expect(image.squared(to: size).pixels == areaMeans(image, size))
    }

    @Test("Halves round up at the ratio 2 as at any other")
    func halves() {
        let image = GrayImage(width: 2, height: 2, pixels: [0, 1, 1, 0])
        #expect(image.squared(to: 1).pixels == [1])
        #expect(GrayImage(width: 2, height: 2, pixels: [0, 1, 0, 0]).squared(to: 1).pixels == [0])
        #expect(GrayImage(width: 2, height: 2, pixels: [255, 255, 255, 255]).squared(to: 1).pixels == [255])
    }

    @Test("Larger sizes interpolate between pixel centres, and keep the edge beyond them")
    func interpolates() {
        let image = GrayImage(width: 2, height: 2, pixels: [0, 100, 0, 100])
        #expect(image.squared(to: 4).pixels.prefix(4) == [0, 25, 75, 100])
        let flat = GrayImage(width: 3, height: 3, pixels: .init(repeating: 200, count: 9))
        #expect(flat.squared(to: 10).pixels == .init(repeating: 200, count: 100))
        // Against the formula in rational numbers scaled by (2 · 7)².
        let noise = Self.noise(5, 5)
        let scaled = noise.squared(to: 7)
        for (x, y) in [(0, 0), (3, 2), (6, 6), (1, 5)] {
            func tap(_ target: Int) -> (Int, Int, Double) {
                let position = (Double(target) + 0.5) * 5 / 7 - 0.5
                let floor = Int(position.rounded(.down))
                return (max(floor, 0), min(floor + 1, 4), position - position.rounded(.down))
            }
            let (left, right, u) = tap(x)
            let (top, bottom, v) = tap(y)
            func pixel(_ x: Int, _ y: Int) -> Double { Double(noise.pixels[y * 5 + x]) }
            let upper = pixel(left, top) * (1 - u) + pixel(right, top) * u
            let lower = pixel(left, bottom) * (1 - u) + pixel(right, bottom) * u
            let value = upper * (1 - v) + lower * v
            #expect(abs(Double(scaled.pixels[y * 7 + x]) - value) <= 0.5001)
        }
    }

    @Test("A size equal to the image's changes nothing")
    func identity() {
        let image = Self.noise(9, 9)
        #expect(image.squared(to: 9) == image)
    }
}
