/// An 8-bit colour image, row-major, three bytes a pixel.
package struct ColorImage: Sendable, Equatable {
    package let width: Int
    package let height: Int
    package private(set) var pixels: [UInt8]

    /// A grey image in colour.
    package init(_ image: GrayImage) {
        width = image.width
        height = image.height
        pixels = [UInt8](unsafeUninitializedCapacity: image.pixels.count * 3) { target, count in
            for (index, grey) in image.pixels.enumerated() {
                target[3 * index] = grey
                target[3 * index + 1] = grey
                target[3 * index + 2] = grey
            }
            count = image.pixels.count * 3
        }
    }

    /// The image as a PNG file.
    package func png(level: Int = 6) -> [UInt8] {
        RasterFile.png(pixels, width: width, height: height, channels: 3, level: level)
    }

    fileprivate mutating func paint(_ index: Int, _ color: SIMD3<UInt8>) {
        pixels[3 * index] = color.x
        pixels[3 * index + 1] = color.y
        pixels[3 * index + 2] = color.z
    }
}

/// Draws outlines of masks over a radiograph.
package enum Overlay {
    /// The true outline: green.
    package static let truthColor = SIMD3<UInt8>(40, 220, 80)
    /// The predicted outline: orange.
    package static let predictionColor = SIMD3<UInt8>(255, 110, 30)
    /// Where both run: yellow.
    package static let bothColor = SIMD3<UInt8>(255, 230, 60)

    /// The image, padded to a square as the masks are, with the outlines of the masks inside their borders.
    ///
    /// Masks are scaled to the image; `lineWidth` is in pixels of it, by default 1 for each 256 of the side.
    package static func draw(
        _ image: GrayImage,
        truth: RunLengthMask? = nil,
        prediction: RunLengthMask? = nil,
        lineWidth: Int? = nil
    ) -> ColorImage {
        let square = image.paddedToSquare()
        var result = ColorImage(square)
        let size = square.width
        let width = max(1, lineWidth ?? size / 256)
        let trueOutline = truth.map { outline($0.downscaled(to: size), size: size, width: width) }
        let predictedOutline = prediction.map { outline($0.downscaled(to: size), size: size, width: width) }
        for index in 0..<size * size {
            switch (trueOutline?[index] ?? false, predictedOutline?[index] ?? false) {
            case (true, true): result.paint(index, bothColor)
            case (true, false): result.paint(index, truthColor)
            case (false, true): result.paint(index, predictionColor)
            case (false, false): break
            }
        }
        return result
    }

    /// The pixels of a mask that lie within `width` steps of its border or of the image's.
    private static func outline(_ mask: [UInt8], size: Int, width: Int) -> [Bool] {
        var inner = mask
        for _ in 0..<width {
            let before = inner
            for y in 0..<size {
                for x in 0..<size where before[y * size + x] != 0 {
                    let index = y * size + x
                    let isInside =
                        x > 0 && x < size - 1 && y > 0 && y < size - 1 && before[index - 1] != 0
                        && before[index + 1] != 0 && before[index - size] != 0 && before[index + size] != 0
                    if !isInside { inner[index] = 0 }
                }
            }
        }
        return mask.indices.map { mask[$0] != 0 && inner[$0] == 0 }
    }
}
