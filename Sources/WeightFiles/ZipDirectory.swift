import Platform

/// The names in a ZIP archive whose members are stored as they are, as those of `torch.save` are.
///
/// Source: PKWARE's APPNOTE 6.3.10, sections 4.3.7 to 4.3.16. What is compressed or encrypted is refused.
struct ZipDirectory {
    struct Member: Equatable {
        var name: String
        /// Of its bytes, from the start of the file.
        var range: Range<Int>
    }

    private static let maximumDirectoryBytes = 64 << 20

    let members: [Member]

    /// Reads the directory at the end of the file, and where each member's bytes begin.
    init(_ file: OpenFile, size: Int, path: String) throws {
        func damage(_ problem: String) -> WeightFileError { .malformed(path: path, problem: problem) }
        // The end record has 22 bytes and a comment of at most 65,535.
        let tailStart = max(0, size - 65_557)
        let tail = try Self.read(file, tailStart..<size, path)
        guard let end = (0...max(0, tail.count - 22)).reversed().first(where: { Self.word(tail, $0) == 0x0605_4B50 }),
            tail.count >= 22
        else { throw damage("its list of members is cut off") }
        var count = Int(Self.half(tail, end + 10))
        var bytes = Int(Self.word(tail, end + 12))
        var offset = Int(Self.word(tail, end + 16))
        // A locator of 20 bytes before it leads to the record with 64 bits.
        if end >= 20, Self.word(tail, end - 20) == 0x0706_4B50 {
            guard let place = Int(exactly: Self.long(tail, end - 12)), place <= size - 56 else {
                throw damage("its list of members is not in the file")
            }
            let record = try Self.read(file, place..<place + 56, path)
            guard Self.word(record, 0) == 0x0606_4B50, let longCount = Int(exactly: Self.long(record, 32)),
                let longBytes = Int(exactly: Self.long(record, 40)),
                let longOffset = Int(exactly: Self.long(record, 48))
            else { throw damage("its list of members is not in the file") }
            (count, bytes, offset) = (longCount, longBytes, longOffset)
        }
        guard bytes <= Self.maximumDirectoryBytes, offset <= size, bytes <= size - offset, count <= bytes / 46 + 1
        else {
            throw damage("its list of members is not in the file")
        }
        let directory = try Self.read(file, offset..<offset + bytes, path)
        var found: [Member] = []
        var position = 0
        for _ in 0..<count {
            guard position <= directory.count - 46, Self.word(directory, position) == 0x0201_4B50 else {
                throw damage("its list of members is cut")
            }
            let flags = Self.half(directory, position + 8)
            let method = Self.half(directory, position + 10)
            var stored = UInt64(Self.word(directory, position + 20))
            var whole = UInt64(Self.word(directory, position + 24))
            let nameBytes = Int(Self.half(directory, position + 28))
            let extraBytes = Int(Self.half(directory, position + 30))
            let commentBytes = Int(Self.half(directory, position + 32))
            var header = UInt64(Self.word(directory, position + 42))
            let nameStart = position + 46
            guard nameBytes + extraBytes + commentBytes <= directory.count - nameStart else {
                throw damage("its list of members is cut")
            }
            let name = String(decoding: directory[nameStart..<nameStart + nameBytes], as: UTF8.self)
            guard method == 0, flags & 1 == 0 else {
                throw damage(
                    "its member \(Safetensors.shown(name)) is compressed or encrypted, which PyTorch does not do"
                )
            }
            // Numbers of 64 bits stand in the extra field 1, in this order, where the short ones are all ones.
            var extra = nameStart + nameBytes
            let extraEnd = extra + extraBytes
            while extra <= extraEnd - 4 {
                let (kind, length) = (Self.half(directory, extra), Int(Self.half(directory, extra + 2)))
                extra += 4
                guard length <= extraEnd - extra else { throw damage("its list of members is cut") }
                if kind == 1 {
                    var place = extra
                    for keyPath in [0, 1, 2] {
                        let value = [whole, stored, header][keyPath]
                        guard value == 0xFFFF_FFFF, place <= extra + length - 8 else { continue }
                        let long = Self.long(directory, place)
                        place += 8
                        switch keyPath {
                        case 0: whole = long
                        case 1: stored = long
                        default: header = long
                        }
                    }
                }
                extra += length
            }
            guard stored == whole, let size64 = Int(exactly: whole), let start = Int(exactly: header),
                start <= size - 30
            else { throw damage("its member \(Safetensors.shown(name)) is not in the file") }
            let local = try Self.read(file, start..<start + 30, path)
            let begin = start + 30 + Int(Self.half(local, 26)) + Int(Self.half(local, 28))
            guard Self.word(local, 0) == 0x0403_4B50, begin <= size, size64 <= size - begin else {
                throw damage("its member \(Safetensors.shown(name)) is not in the file")
            }
            found.append(Member(name: name, range: begin..<begin + size64))
            position = nameStart + nameBytes + extraBytes + commentBytes
        }
        members = found
    }

    static func read(_ file: OpenFile, _ range: Range<Int>, _ path: String) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        let count = try bytes.withUnsafeMutableBytes { try file.read(at: range.lowerBound, into: $0) }
        guard count == range.count else {
            throw WeightFileError.malformed(path: path, problem: "it was cut while it was read")
        }
        return bytes
    }

    private static func half(_ bytes: [UInt8], _ at: Int) -> UInt16 { UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 }

    private static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        UInt32(half(bytes, at)) | UInt32(half(bytes, at + 2)) << 16
    }

    private static func long(_ bytes: [UInt8], _ at: Int) -> UInt64 {
        UInt64(word(bytes, at)) | UInt64(word(bytes, at + 4)) << 32
    }
}
