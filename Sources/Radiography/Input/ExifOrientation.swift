/// How a JPEG or PNG file says that its picture must be turned to stand upright (Exif, tag 274).
///
/// Cameras and scanners write it, and viewers obey it: labels were drawn on the picture that is turned.
package enum ExifOrientation: Int {
    /// The eight are numbered as in the tag.
    case upright = 1
    case mirrored, turnedHalf, flipped, transposed, turnedRight, transversed, turnedLeft

    /// Whether width and height change places.
    var isSideways: Bool { rawValue >= 5 }

    /// What was done to a picture, in words.
    var words: String {
        switch self {
        case .upright: "left as it is"
        case .mirrored: "mirrored left to right"
        case .turnedHalf: "turned by 180°"
        case .flipped: "flipped top to bottom"
        case .transposed: "mirrored along its diagonal"
        case .turnedRight: "turned by 90° clockwise"
        case .transversed: "mirrored along its other diagonal"
        case .turnedLeft: "turned by 90° anticlockwise"
        }
    }

    /// The orientation of a JPEG file; upright where it names none that makes sense.
    package static func ofJPEG(_ bytes: [UInt8]) -> ExifOrientation {
        var place = 2
        while place + 4 <= bytes.count, bytes[place] == 0xFF {
            let marker = bytes[place + 1]
            if marker == 0xFF {
                place += 1
                continue
            }
            // The data begins, or the image ends.
            if marker == 0xDA || marker == 0xD9 { break }
            if (0xD0...0xD8).contains(marker) || marker == 0x01 {
                place += 2
                continue
            }
            let length = Int(bytes[place + 2]) << 8 | Int(bytes[place + 3])
            guard length >= 2, place + 2 + length <= bytes.count else { break }
            let body = bytes[place + 4..<place + 2 + length]
            if marker == 0xE1, body.starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0]) { return ofTIFF(body.dropFirst(6)) }
            place += 2 + length
        }
        return .upright
    }

    /// The orientation of a PNG file: that of its chunk eXIf.
    package static func ofPNG(_ bytes: [UInt8]) -> ExifOrientation {
        var place = 8
        while place + 12 <= bytes.count {
            let length = (0..<4).reduce(0) { $0 << 8 | Int(bytes[place + $1]) }
            guard length <= bytes.count - place - 12 else { break }
            if bytes[place + 4..<place + 8].elementsEqual("eXIf".utf8) {
                return ofTIFF(bytes[place + 8..<place + 8 + length])
            }
            place += 12 + length
        }
        return .upright
    }

    /// The orientation in the first directory of a TIFF header.
    private static func ofTIFF(_ block: ArraySlice<UInt8>) -> ExifOrientation {
        let bytes = Array(block)
        let isBig = bytes.starts(with: [0x4D, 0x4D, 0, 0x2A])
        guard isBig || bytes.starts(with: [0x49, 0x49, 0x2A, 0]) else { return .upright }
        func number(_ place: Int, _ count: Int) -> Int? {
            guard place >= 0, place + count <= bytes.count else { return nil }
            let part = bytes[place..<place + count]
            return (isBig ? Array(part) : part.reversed()).reduce(0) { $0 << 8 | Int($1) }
        }
        guard let directory = number(4, 4), let entries = number(directory, 2) else { return .upright }
        for entry in 0..<entries {
            let place = directory + 2 + 12 * entry
            guard let tag = number(place, 2), let kind = number(place + 2, 2), let count = number(place + 4, 4) else {
                break
            }
            // A short; some write a long.
            guard tag == 0x0112, count == 1, kind == 3 || kind == 4 else { continue }
            return number(place + 8, kind == 3 ? 2 : 4).flatMap(ExifOrientation.init) ?? .upright
        }
        return .upright
    }

    /// The picture as it is to be seen.
    func applied(to image: GrayImage) -> GrayImage {
        guard self != .upright else { return image }
        let (width, height) = (image.width, image.height)
        let (newWidth, newHeight) = isSideways ? (height, width) : (width, height)
        var pixels = [UInt8](repeating: 0, count: width * height)
        for y in 0..<newHeight {
            for x in 0..<newWidth {
                let (fromX, fromY) =
                    switch self {
                    case .upright: (x, y)
                    case .mirrored: (width - 1 - x, y)
                    case .turnedHalf: (width - 1 - x, height - 1 - y)
                    case .flipped: (x, height - 1 - y)
                    case .transposed: (y, x)
                    case .turnedRight: (y, height - 1 - x)
                    case .transversed: (width - 1 - y, height - 1 - x)
                    case .turnedLeft: (width - 1 - y, x)
                    }
                pixels[y * newWidth + x] = image.pixels[fromY * width + fromX]
            }
        }
        return GrayImage(width: newWidth, height: newHeight, pixels: pixels)
    }
}
