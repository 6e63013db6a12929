import Inference
import Radiography
import Testing

/// Overlays and heat maps.
@Suite struct PictureTests {
    private let legend = PictureLegend(
        id: "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819",
        probability: 0.93,
        area: 12_345,
        squareMillimetres: 210.4,
        side: "patient's left",
        rule: "threshold 0.5"
    )

    /// A picture's rows that belong to the radiograph.
    private func radiograph(_ picture: ColorImage, _ image: GrayImage) -> [RGB] {
        (0..<image.width * image.height).map { picture[$0 % image.width, $0 / image.width] }
    }

    @Test func anOverlayIsTheRadiographWithAnOutlineAndALegendBelow() {
        let image = GrayImage(width: 600, height: 520, pixels: (0..<600 * 520).map { UInt8($0 % 251) })
        var mask = [UInt8](repeating: 0, count: 600 * 520)
        for y in 100..<200 { for x in 50..<90 { mask[y * 600 + x] = 1 } }
        let picture = PredictionPicture.overlay(image, mask: mask, legend: legend)
        #expect(picture.width == 600 && picture.height > 520)
        for (index, color) in radiograph(picture, image).enumerated() {
            let (x, y) = (index % 600, index / 600)
            let isInside = (50..<90).contains(x) && (100..<200).contains(y)
            let isInner = (51..<89).contains(x) && (101..<199).contains(y)
            let grey = image.pixels[index]
            #expect(
                color == (isInside && !isInner ? PredictionPicture.outlineColor : RGB(grey, grey, grey)),
                "\(x) \(y)"
            )
            if color != (isInside && !isInner ? PredictionPicture.outlineColor : RGB(grey, grey, grey)) { return }
        }
        let below = (520..<picture.height).flatMap { y in (0..<600).map { picture[$0, y] } }
        #expect(below.contains(PredictionPicture.outlineColor) && below.contains(RGB(235, 235, 235)))
        // Without a mask nothing is drawn in it, and the legend has no colour.
        var nothing = legend
        nothing.area = 0
        let empty = PredictionPicture.overlay(image, mask: mask.map { _ in 0 }, legend: nothing)
        #expect(!empty.pixels.indices.contains { $0 % 3 == 0 && empty.pixels[$0] != empty.pixels[$0 + 1] })
    }

    /// A mask that reaches the image's edge has its outline there, and narrow pictures hold the longest id.
    @Test func outlinesAndLegendsStayInside() {
        let image = GrayImage(width: 40, height: 700, pixels: .init(repeating: 9, count: 40 * 700))
        let picture = PredictionPicture.overlay(image, mask: .init(repeating: 1, count: 40 * 700), legend: legend)
        #expect(picture[0, 0] == PredictionPicture.outlineColor && picture[39, 699] == PredictionPicture.outlineColor)
        #expect(picture[1, 1] == RGB(9, 9, 9))
    }

    @Test func aHeatMapIsColouredFromFivePercentOnByItsScale() {
        let image = GrayImage(width: 512, height: 512, pixels: .init(repeating: 77, count: 512 * 512))
        let values = (0..<512 * 512).map { Float($0 % 512) / 511 }
        let picture = PredictionPicture.heatMap(image, values: values, legend: legend)
        for x in [0, 24, 25] { #expect(picture[x, 300] == RGB(77, 77, 77)) }
        for x in [26, 100, 300, 511] { #expect(picture[x, 0] == ColorScale.color(values[x])) }
        // The scale below has the colours from its left to its right.
        let bar = (0..<512).map { picture[$0, 512 + 8] }
        #expect(bar.contains(ColorScale.color(1)) && bar.contains(RGB(60, 60, 60)))
    }

    /// Equal steps of probability are equal steps of lightness (CIE 1976), within a third.
    @Test func theColourScaleIsEven() {
        func lightness(_ color: RGB) -> Double {
            func linear(_ channel: UInt8) -> Double {
                let value = Double(channel) / 255
                return value <= 0.04045 ? value / 12.92 : power((value + 0.055) / 1.055, 2.4)
            }
            let y = 0.2126 * linear(color.x) + 0.7152 * linear(color.y) + 0.0722 * linear(color.z)
            return y > 216.0 / 24389 ? 116 * power(y, 1.0 / 3) - 16 : 24389.0 / 27 * y
        }
        let steps = (0..<16).map { step in
            lightness(ColorScale.color(Float(step + 1) / 16)) - lightness(ColorScale.color(Float(step) / 16))
        }
        let mean = steps.reduce(0, +) / 16
        #expect(mean > 4 && steps.allSatisfy { abs($0 - mean) < mean / 3 }, "\(steps)")
        #expect(ColorScale.color(.nan) == ColorScale.color(0) && ColorScale.color(7) == ColorScale.color(1))
    }

    /// By halving, so that no library is needed.
    private func power(_ base: Double, _ exponent: Double) -> Double {
        var (result, root, left) = (1.0, base, exponent)
        while left >= 1 {
            result *= base
            left -= 1
        }
        for _ in 0..<50 {
            root = root.squareRoot()
            left *= 2
            if left >= 1 {
                result *= root
                left -= 1
            }
        }
        return result
    }

    @Test func picturesAreOfTheRadiographsOwnSizeWithinBounds() {
        func grey(_ width: Int, _ height: Int) -> GrayImage {
            GrayImage(width: width, height: height, pixels: (0..<width * height).map { UInt8($0 % 253) })
        }
        func size(_ whole: GrayImage?, _ side: Int, _ width: Int, _ height: Int) -> [Int] {
            let shown = PredictionPicture.radiograph(
                whole,
                square: grey(side, side),
                grid: PixelGrid(width: width, height: height)
            )
            return [shown.width, shown.height]
        }
        let own = grey(700, 600)
        #expect(
            PredictionPicture.radiograph(own, square: grey(64, 64), grid: PixelGrid(width: 700, height: 600)) == own
        )
        #expect(size(grey(200, 100), 64, 200, 100) == [512, 256])
        #expect(size(grey(2500, 2048), 64, 2500, 2048) == [2048, 1678])
        // Of shards there is the square alone, with its own detail.
        #expect(size(nil, 64, 2500, 2048) == [512, 419] && size(nil, 1024, 2500, 2048) == [1024, 839])
        // A strip is not padded.
        #expect(size(grey(60_000, 1), 64, 60_000, 1) == [512, 1])
    }
}
