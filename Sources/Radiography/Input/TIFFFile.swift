private import CZlib

/// Reads TIFF files of one grey, palette or RGB image: 1, 8 or 16 bits, in strips or tiles, uncompressed or compressed
/// by PackBits, LZW or Deflate (TIFF 6.0, and Adobe's technical note for Deflate).
///
/// Written here and not taken from a library: what radiographs and masks come in is a small part of the format, and every
/// offset and count of a file is held against its bytes before use.
package struct TIFFFile {
    /// Why a file was refused; the end of a sentence that names it.
    package enum Failure: Error, Equatable {
        case damaged(String)
        case unsupported(String)
    }

    package let width: Int
    package let height: Int
    private let bits: Int
    private let channels: Int
    private let photometric: Int
    private let palette: [UInt16]
    /// The samples of all pixels in 16 bits each, `channels` a pixel, row by row.
    private let samples: [UInt16]

    /// Whether bytes begin as a TIFF file does.
    static func begins(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.starts(with: [0x49, 0x49, 0x2A, 0]) || bytes.starts(with: [0x4D, 0x4D, 0, 0x2A])
    }

    /// The image as it looks, of 8 bits: black is 0.
    package func gray() -> GrayImage {
        let top = (1 << bits) - 1
        let scaled = (0...top).map { UInt8(($0 * 510 + top) / (2 * top)) }
        let count = width * height
        let pixels = [UInt8](unsafeUninitializedCapacity: count) { target, filled in
            for index in 0..<count {
                switch photometric {
                case 0: target[index] = 255 - scaled[Int(samples[index * channels])]
                case 2, 3:
                    let (red, green, blue) = colour(index)
                    target[index] = UInt8((299 * red + 587 * green + 114 * blue + 500) / 1000)
                default: target[index] = scaled[Int(samples[index * channels])]
                }
            }
            filled = count
        }
        return GrayImage(width: width, height: height, pixels: pixels)

        func colour(_ index: Int) -> (Int, Int, Int) {
            guard photometric == 3 else {
                let first = index * channels
                return (
                    Int(scaled[Int(samples[first])]), Int(scaled[Int(samples[first + 1])]),
                    Int(scaled[Int(samples[first + 2])])
                )
            }
            let entries = palette.count / 3
            let entry = Int(samples[index])
            return (
                Int(palette[entry] >> 8), Int(palette[entries + entry] >> 8), Int(palette[2 * entries + entry] >> 8)
            )
        }
    }

    /// What the pixels say, one value each: greys unscaled, the index of a palette, of colours the largest channel.
    package func values() -> [UInt16] {
        // In pictures of one bit, 1 is ink; where white is 0, what is set is what is white.
        if bits == 1 && photometric == 0 { return samples.map { $0 ^ 1 } }
        guard photometric == 2 || channels > 1 else { return samples }
        let used = photometric == 2 ? 3 : 1
        return (0..<width * height).map { index in
            var largest: UInt16 = 0
            for channel in 0..<used { largest = max(largest, samples[index * channels + channel]) }
            return largest
        }
    }

    // MARK: - Reading

    /// Reads the bytes of a radiograph or a mask.
    init(_ bytes: [UInt8], path: String) throws(RadiographError) {
        do throws(Failure) {
            self = try TIFFFile(bytes, maximumPixels: DICOMFile.maximumPixels)
        } catch {
            switch error {
            case .damaged(let reason): throw RadiographError(.damaged, path: path, reason: reason)
            case .unsupported(let reason): throw RadiographError(.unsupported, path: path, reason: reason)
            }
        }
    }

    /// The values of a grey image of 16 bits; nothing of others.
    var words: [UInt16]? { bits == 16 && channels == 1 ? samples : nil }

    /// Whether 0 is white.
    var isInverted: Bool { photometric == 0 }

    /// The size that a file says it has.
    static func size(_ bytes: [UInt8]) -> (width: Int, height: Int)? {
        guard let directory = try? Directory(bytes), let width = try? directory.number(.width),
            let height = try? directory.number(.height)
        else { return nil }
        return (width, height)
    }

    /// Reads a file's bytes.
    package init(_ bytes: [UInt8], maximumPixels: Int) throws(Failure) {
        let directory = try Directory(bytes)
        let width = try directory.number(.width)
        let height = try directory.number(.height)
        guard width > 0, height > 0, width <= 1 << 16, height <= 1 << 16, width * height <= maximumPixels else {
            throw .damaged("it says that it has \(width)×\(height) pixels")
        }
        let channels = try directory.number(.samplesPerPixel, 1)
        guard (1...4).contains(channels) else { throw .unsupported("it has \(channels) samples a pixel") }
        let depths = try directory.numbers(.bitsPerSample, [1])
        guard let bits = depths.first, depths.allSatisfy({ $0 == bits }), bits == 1 || bits == 8 || bits == 16 else {
            throw .unsupported(
                "its samples have \(depths.map(String.init).joined(separator: ", ")) bits; 1, 8 and 16 are read"
            )
        }
        guard bits > 1 || channels == 1 else { throw .unsupported("it has \(channels) samples of one bit a pixel") }
        let formats = try directory.numbers(.sampleFormat, [1])
        guard formats.allSatisfy({ $0 == 1 || $0 == 4 }) else {
            throw .unsupported("its samples are not whole numbers from 0 up; save it with 8 or 16 bits unsigned")
        }
        let photometric = try directory.number(.photometric, 1)
        guard photometric <= 1 || photometric == 2 && channels >= 3 || photometric == 3 && channels == 1 && bits == 8
        else {
            throw .unsupported(
                "its colour space, \(photometric) of TIFF with \(channels) samples, is not grey, RGB or a palette"
            )
        }
        let planes = try directory.number(.planarConfiguration, 1)
        guard channels == 1 || planes == 1 else {
            throw .unsupported("its channels lie in planes of their own")
        }
        let orientation = try directory.number(.orientation, 1)
        guard orientation == 1 else {
            throw .unsupported("it is to be turned before it is shown (orientation \(orientation)); save it upright")
        }
        var palette: [UInt16] = []
        if photometric == 3 {
            palette = try directory.numbers(.colorMap).map { UInt16(truncatingIfNeeded: $0) }
            guard palette.count == 3 << bits else { throw .damaged("its palette has \(palette.count) numbers") }
        }
        self.width = width
        self.height = height
        self.bits = bits
        self.channels = channels
        self.photometric = photometric
        self.palette = palette
        samples = try Self.samples(
            directory,
            width: width,
            height: height,
            bits: bits,
            channels: channels
        )
    }

    /// A rectangle of the image that is compressed by itself: a strip or a tile.
    private static func samples(
        _ directory: Directory,
        width: Int,
        height: Int,
        bits: Int,
        channels: Int
    ) throws(Failure) -> [UInt16] {
        let isTiled = directory.has(.tileOffsets)
        let blockWidth = isTiled ? try directory.number(.tileWidth) : width
        let blockHeight =
            isTiled ? try directory.number(.tileHeight) : min(try directory.number(.rowsPerStrip, height), height)
        guard blockWidth > 0, blockHeight > 0, blockWidth <= 1 << 16, blockHeight <= 1 << 16,
            blockWidth * blockHeight <= 1 << 28
        else { throw .damaged("its tiles have \(blockWidth)×\(blockHeight) pixels") }
        let across = (width + blockWidth - 1) / blockWidth
        let down = (height + blockHeight - 1) / blockHeight
        let offsets = try directory.numbers(isTiled ? .tileOffsets : .stripOffsets)
        let counts = try directory.numbers(isTiled ? .tileByteCounts : .stripByteCounts)
        guard offsets.count == across * down, counts.count == offsets.count else {
            throw .damaged("it has \(offsets.count) strips or tiles, and its size takes \(across * down)")
        }
        let compression = try directory.number(.compression, 1)
        let predictor = try directory.number(.predictor, 1)
        guard predictor == 1 || predictor == 2 && bits >= 8 else {
            throw .unsupported("its predictor, \(predictor), is not read")
        }
        guard try directory.number(.fillOrder, 1) == 1 else { throw .unsupported("its bits are stored backwards") }
        let rowBytes = (blockWidth * channels * bits + 7) / 8
        var result = [UInt16](repeating: 0, count: width * height * channels)
        for index in offsets.indices {
            let (left, top) = (index % across * blockWidth, index / across * blockHeight)
            // A strip ends with the image; a tile is whole.
            let rows = isTiled ? blockHeight : min(blockHeight, height - top)
            let packed = try directory.slice(offsets[index], counts[index])
            let data = try unpacked(packed, compression: compression, count: rows * rowBytes)
            let columns = min(blockWidth, width - left)
            var row = [UInt16](repeating: 0, count: blockWidth * channels)
            for y in 0..<min(rows, height - top) {
                readRow(data, at: y * rowBytes, bits: bits, isBigEndian: directory.isBigEndian, into: &row)
                if predictor == 2 {
                    let mask: UInt16 = bits == 8 ? 0xFF : 0xFFFF
                    for x in channels..<max(channels, row.count) { row[x] = (row[x] &+ row[x - channels]) & mask }
                }
                let start = ((top + y) * width + left) * channels
                for x in 0..<columns * channels { result[start + x] = row[x] }
            }
        }
        return result
    }

    private static func readRow(_ data: [UInt8], at offset: Int, bits: Int, isBigEndian: Bool, into row: inout [UInt16])
    {
        for x in row.indices {
            switch bits {
            case 1: row[x] = UInt16(data[offset + x / 8] >> (7 - x % 8) & 1)
            case 8: row[x] = UInt16(data[offset + x])
            default:
                let (first, second) = (UInt16(data[offset + 2 * x]), UInt16(data[offset + 2 * x + 1]))
                row[x] = isBigEndian ? first << 8 | second : second << 8 | first
            }
        }
    }

    // MARK: - Compression

    /// Exactly `count` bytes of what a strip or tile holds.
    private static func unpacked(_ packed: ArraySlice<UInt8>, compression: Int, count: Int) throws(Failure) -> [UInt8] {
        // No compression of these makes more than some thousand bytes of one: room for what cannot come is not taken.
        guard count / 8192 <= packed.count else { throw .damaged("its pixels are cut off or damaged") }
        let data: [UInt8]?
        switch compression {
        case 1: data = packed.count >= count ? Array(packed.prefix(count)) : nil
        case 5: data = unpackLZW(packed, count: count)
        case 8, 32_946: data = inflate(packed, count: count)
        case 32_773: data = unpackBits(packed, count: count)
        case 6, 7:
            throw .unsupported("its pixels are compressed as JPEG; save it uncompressed, with LZW or with Deflate")
        default:
            throw .unsupported("its compression, \(compression) of TIFF, is not read; save it uncompressed or with LZW")
        }
        guard let data else { throw .damaged("its pixels are cut off or damaged") }
        return data
    }

    private static func unpackBits(_ packed: ArraySlice<UInt8>, count: Int) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var position = packed.startIndex
        while result.count < count, position < packed.endIndex {
            let control = Int(Int8(bitPattern: packed[position]))
            position += 1
            if control >= 0 {
                guard position + control < packed.endIndex else { return nil }
                result += packed[position...position + control]
                position += control + 1
            } else if control > -128 {
                guard position < packed.endIndex else { return nil }
                result += repeatElement(packed[position], count: 1 - control)
                position += 1
            }
        }
        return result.count == count ? result : nil
    }

    private static func inflate(_ packed: ArraySlice<UInt8>, count: Int) -> [UInt8]? {
        var result = [UInt8](repeating: 0, count: count)
        var length = uLong(count)
        let status = packed.withUnsafeBufferPointer { source in
            result.withUnsafeMutableBufferPointer { target in
                uncompress(target.baseAddress, &length, source.baseAddress, uLong(source.count))
            }
        }
        return status == Z_OK && Int(length) == count ? result : nil
    }

    /// LZW as TIFF has it: codes of 9 to 12 bits, the highest bit first, each width left one code early.
    private static func unpackLZW(_ packed: ArraySlice<UInt8>, count: Int) -> [UInt8]? {
        let (clear, end) = (256, 257)
        // The string of a code is that of its prefix and one byte more.
        var prefixes = [Int](repeating: -1, count: 4096)
        var lasts = (0..<4096).map { UInt8(truncatingIfNeeded: $0) }
        var firsts = lasts
        var lengths = [Int](repeating: 1, count: 4096)
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var (next, width, previous) = (258, 9, -1)
        var (window, held, position) = (0, 0, packed.startIndex)
        while result.count < count {
            while held < width {
                guard position < packed.endIndex else { return nil }
                window = (window << 8 | Int(packed[position])) & 0xFF_FFFF
                held += 8
                position += 1
            }
            let code = window >> (held - width) & ((1 << width) - 1)
            held -= width
            if code == end { break }
            if code == clear {
                (next, width, previous) = (258, 9, -1)
                continue
            }
            guard code < 256 || code >= 258 && (code < next || code == next && previous >= 0) else { return nil }
            if previous >= 0, next < 4096 {
                prefixes[next] = previous
                firsts[next] = firsts[previous]
                lasts[next] = code == next ? firsts[previous] : firsts[code]
                lengths[next] = lengths[previous] + 1
                next += 1
            }
            guard code < next || code < 256 else { return nil }
            let start = result.count
            let length = lengths[code]
            result += repeatElement(0, count: length)
            var link = code
            for place in stride(from: start + length - 1, through: start, by: -1) {
                result[place] = lasts[link]
                link = max(prefixes[link], 0)
            }
            previous = code
            if next >= (1 << width) - 1, width < 12 { width += 1 }
        }
        guard result.count >= count else { return nil }
        return result.count == count ? result : Array(result.prefix(count))
    }
}

// MARK: - Directory

extension TIFFFile {
    private enum Tag: Int {
        case width = 256
        case height = 257
        case bitsPerSample = 258
        case compression = 259
        case photometric = 262
        case fillOrder = 266
        case stripOffsets = 273
        case orientation = 274
        case samplesPerPixel = 277
        case rowsPerStrip = 278
        case stripByteCounts = 279
        case planarConfiguration = 284
        case predictor = 317
        case colorMap = 320
        case tileWidth = 322
        case tileHeight = 323
        case tileOffsets = 324
        case tileByteCounts = 325
        case sampleFormat = 339
    }

    /// The first directory of a file: where its image is, and what it is like.
    private struct Directory {
        let bytes: [UInt8]
        let isBigEndian: Bool
        private var entries: [Int: (type: Int, count: Int, place: Int)] = [:]

        init(_ bytes: [UInt8]) throws(Failure) {
            self.bytes = bytes
            isBigEndian = bytes.first == 0x4D
            guard TIFFFile.begins(bytes), bytes.count >= 8 else { throw .damaged("it has no header of TIFF") }
            let start = integer(4, at: 4)
            guard start >= 8, start + 2 <= bytes.count else { throw .damaged("its directory lies behind its end") }
            let count = integer(2, at: start)
            guard start + 2 + 12 * count + 4 <= bytes.count else { throw .damaged("its directory is cut off") }
            for index in 0..<count {
                let place = start + 2 + 12 * index
                entries[integer(2, at: place)] = (integer(2, at: place + 2), integer(4, at: place + 4), place + 8)
            }
            try requireOnePage(integer(4, at: start + 2 + 12 * count))
        }

        /// A second image may be a small copy of the first, and nothing else.
        private func requireOnePage(_ next: Int) throws(Failure) {
            guard next != 0 else { return }
            guard next + 2 <= bytes.count else { throw .damaged("its second directory lies behind its end") }
            let count = integer(2, at: next)
            guard next + 2 + 12 * count <= bytes.count else { throw .damaged("its second directory is cut off") }
            let isSmallCopy = (0..<count).contains { index in
                let place = next + 2 + 12 * index
                return integer(2, at: place) == 254 && integer(4, at: place + 8) & 1 == 1
            }
            if !isSmallCopy { throw .unsupported("it has several pages; save one image a file") }
        }

        /// A number of the file; the caller has checked that it is there.
        private func integer(_ size: Int, at place: Int) -> Int {
            (0..<size).reduce(0) { $0 << 8 | Int(bytes[place + (isBigEndian ? $1 : size - 1 - $1)]) }
        }

        func has(_ tag: Tag) -> Bool { entries[tag.rawValue] != nil }

        func numbers(_ tag: Tag, _ absent: [Int]? = nil) throws(Failure) -> [Int] {
            guard let entry = entries[tag.rawValue] else {
                if let absent { return absent }
                throw .damaged("its directory lacks the entry \(tag.rawValue)")
            }
            let size: Int
            switch entry.type {
            case 1: size = 1
            case 3: size = 2
            case 4: size = 4
            default: throw .damaged("the entry \(tag.rawValue) of its directory is of the type \(entry.type)")
            }
            guard entry.count > 0, entry.count <= bytes.count else {
                throw .damaged("the entry \(tag.rawValue) of its directory has \(entry.count) numbers")
            }
            let place = entry.count * size <= 4 ? entry.place : integer(4, at: entry.place)
            guard place + entry.count * size <= bytes.count else {
                throw .damaged("the entry \(tag.rawValue) of its directory lies behind its end")
            }
            return (0..<entry.count).map { integer(size, at: place + $0 * size) }
        }

        func number(_ tag: Tag, _ absent: Int? = nil) throws(Failure) -> Int {
            try numbers(tag, absent.map { [$0] })[0]
        }

        func slice(_ offset: Int, _ count: Int) throws(Failure) -> ArraySlice<UInt8> {
            guard offset <= bytes.count, count <= bytes.count - offset else {
                throw .damaged("its pixels lie behind its end")
            }
            return bytes[offset..<offset + count]
        }
    }
}
