package import Radiography

/// A colour of 8 bits each: red, green, blue.
package typealias RGB = SIMD3<UInt8>

/// An 8-bit colour image, row-major, three bytes a pixel.
package struct ColorImage: Sendable, Equatable {
    package let width: Int
    package let height: Int
    package private(set) var pixels: [UInt8]

    /// A grey image in colour, with `margin` black rows below it.
    package init(_ image: GrayImage, margin: Int = 0) {
        width = image.width
        height = image.height + margin
        var pixels = [UInt8](repeating: 0, count: width * height * 3)
        pixels.withUnsafeMutableBufferPointer { pixels in
            for (index, grey) in image.pixels.enumerated() {
                pixels[3 * index] = grey
                pixels[3 * index + 1] = grey
                pixels[3 * index + 2] = grey
            }
        }
        self.pixels = pixels
    }

    /// The image as a PNG file.
    package func png(level: Int = 3) -> [UInt8] {
        RasterFile.png(pixels, width: width, height: height, channels: 3, level: level)
    }

    /// The colour of a pixel.
    package subscript(x: Int, y: Int) -> RGB {
        let index = 3 * (y * width + x)
        return RGB(pixels[index], pixels[index + 1], pixels[index + 2])
    }

    /// Sets the pixel of a number, counted row by row.
    mutating func paint(_ index: Int, _ color: RGB) {
        pixels[3 * index] = color.x
        pixels[3 * index + 1] = color.y
        pixels[3 * index + 2] = color.z
    }

    /// Fills a rectangle; what lies outside of the image is left out.
    mutating func fill(x: Range<Int>, y: Range<Int>, _ color: RGB) {
        for row in y.clamped(to: 0..<height) {
            for column in x.clamped(to: 0..<width) { paint(row * width + column, color) }
        }
    }

    /// Writes a text whose top left corner is at (`x`, `y`), each point of the font `scale` pixels wide.
    mutating func write(_ text: String, x: Int, y: Int, scale: Int, _ color: RGB) {
        for (place, character) in text.enumerated() {
            let left = x + place * PixelFont.advance * scale
            for (row, bits) in PixelFont.rows(of: character).enumerated() {
                for column in 0..<PixelFont.width where bits & (1 << (PixelFont.width - 1 - column)) != 0 {
                    let (from, top) = (left + column * scale, y + (row + PixelFont.drop(of: character)) * scale)
                    fill(x: from..<from + scale, y: top..<top + scale, color)
                }
            }
        }
    }
}
