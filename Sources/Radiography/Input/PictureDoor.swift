/// A door to what reads PNG and JPEG, and the numbers of DICOM headers, for the fuzzer.
package enum PictureDoor {
    /// Small pictures, one of which its Exif turns.
    package static func samples() -> [[UInt8]] {
        let pixels = (0..<24 * 16).map { (index: Int) -> UInt8 in UInt8(index % 24 * 8 + index / 24 * 4) }
        var turned = RasterFile.jpeg(pixels, width: 24, height: 16)
        let tag: [UInt8] = [1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0]
        let exif: [UInt8] = Array("Exif\0\0".utf8) + [0x4D, 0x4D, 0, 0x2A, 0, 0, 0, 8, 0, 1] + tag + [0, 0, 0, 0]
        let head: [UInt8] = [0xFF, 0xE1, 0, UInt8(exif.count + 2)]
        turned.insert(contentsOf: head + exif, at: 2)
        return [RasterFile.png(pixels, width: 24, height: 16), turned]
    }

    /// Decodes a picture of at most 65,536 pixels; whether it is one.
    package static func decode(_ bytes: [UInt8]) throws -> Bool {
        guard let format = RasterFile.Format(beginning: bytes) else { return false }
        let (image, _) = try RasterFile.decode(bytes, as: format, path: "fuzz", maximumPixels: 1 << 16)
        _ = image.remarks()
        return true
    }

    /// The number that a device wrote, or nothing where it is none.
    package static func number(_ text: String) -> Double? {
        switch HeaderNumber(text) {
        case .absent, .unreadable: nil
        case .value(let value), .comma(let value): value
        }
    }
}
