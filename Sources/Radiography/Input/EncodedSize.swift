/// What compressed pixel data says about its own size, to be held against the DICOM header around it.
///
/// Decoders fill as much of their output as there is data and leave the rest black, so a header of another size than
/// its image must be found before them.
package enum EncodedSize {
    /// The frame header of a JPEG or JPEG-LS stream.
    package struct JPEGFrame: Equatable {
        package var width: Int
        package var height: Int
        package var components: Int
        /// The bits of a value.
        package var precision: Int
    }

    /// The first frame header of a JPEG or JPEG-LS stream, or nothing where it has none before its data.
    package static func jpegFrame(in stream: UnsafeBufferPointer<UInt8>) -> JPEGFrame? {
        func word(_ offset: Int) -> Int { Int(stream[offset]) << 8 | Int(stream[offset + 1]) }
        guard stream.count >= 4, word(0) == 0xFFD8 else { return nil }
        var position = 2
        while position + 4 <= stream.count {
            guard stream[position] == 0xFF else { return nil }
            let marker = stream[position + 1]
            switch marker {
            case 0xFF:
                // Any number of fill bytes may stand before a marker.
                position += 1
            case 0x01, 0xD0...0xD8:
                position += 2
            case 0xD9, 0xDA:
                return nil
            case 0xC0...0xC3, 0xC5...0xC7, 0xC9...0xCB, 0xCD...0xCF, 0xF7:
                // Marker, length, precision, height, width, components.
                guard position + 10 <= stream.count else { return nil }
                return JPEGFrame(
                    width: word(position + 7),
                    height: word(position + 5),
                    components: Int(stream[position + 9]),
                    precision: Int(stream[position + 4])
                )
            default:
                position += 2 + max(2, word(position + 2))
            }
        }
        return nil
    }

    /// Whether a second image begins after the end of the first in a JPEG or JPEG-LS stream.
    ///
    /// Decoders read the first and stop.
    package static func hasSecondJPEG(in stream: UnsafeBufferPointer<UInt8>) -> Bool {
        var position = 2
        // Thumbnails stand in segments, which are skipped whole until the data begins.
        while position + 4 <= stream.count, stream[position] == 0xFF, stream[position + 1] != 0xDA {
            let marker = stream[position + 1]
            if marker == 0xFF {
                position += 1
            } else if marker == 0x01 || (0xD0...0xD9).contains(marker) {
                position += 2
            } else {
                position += 2 + max(2, Int(stream[position + 2]) << 8 | Int(stream[position + 3]))
            }
        }
        var hasEnded = false
        while position + 1 < stream.count {
            if stream[position] == 0xFF {
                if stream[position + 1] == 0xD9 { hasEnded = true }
                if hasEnded && stream[position + 1] == 0xD8 { return true }
            }
            position += 1
        }
        return false
    }

    /// The number of bytes in each plane of an RLE stream of DICOM (PS3.5 annex G), or nothing where it is malformed.
    package static func runLengthPlanes(in stream: UnsafeBufferPointer<UInt8>) -> [Int]? {
        func number(_ index: Int) -> Int { (0..<4).reduce(0) { $0 | Int(stream[4 * index + $1]) << (8 * $1) } }
        guard stream.count >= 64, (1...15).contains(number(0)) else { return nil }
        let offsets = (1...number(0)).map(number) + [stream.count]
        guard zip(offsets, offsets.dropFirst()).allSatisfy({ 64 <= $0 && $0 <= $1 }) else { return nil }
        return zip(offsets, offsets.dropFirst()).map { start, end in
            var position = start
            var count = 0
            while position < end {
                let control = Int(Int8(bitPattern: stream[position]))
                position += 1
                if control >= 0 {
                    // A literal run that is cut off counts as far as it goes.
                    count += min(control + 1, end - position)
                    position += control + 1
                } else if control > -128, position < end {
                    count += 1 - control
                    position += 1
                }
            }
            return count
        }
    }
}
