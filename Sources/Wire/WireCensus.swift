/// Counts what a message holds before it is decoded: an empty element takes two bytes on the wire and hundreds in memory.
///
/// Each shape lists the repeated and embedded fields of a message by their numbers in control.proto, and stands beside the
/// conversion that reads them; of all others together there may be `others`, so that a field which a later program adds does
/// no harm.
struct WireShape: Sendable {
    struct Field: Sendable {
        /// As errors name it.
        var name: String
        var limit: Int
        var content: Content
    }

    indirect enum Content: Sendable {
        /// Text, or a message in which nothing is repeated.
        case plain
        case message(WireShape)
        /// Numbers of variable length, one after the other.
        case numbers
        /// Numbers of four bytes each.
        case words
    }

    /// Fields that stand in no list.
    private static let others = 64

    private var fields: [Field?]

    init(_ fields: [Int: Field]) {
        self.fields = (0...(fields.keys.max() ?? 0)).map { fields[$0] }
    }

    /// Throws where the bytes hold more of a field than it may have, or are no fields at all.
    func check(_ bytes: [UInt8]) throws(WireError) {
        var reader = WireReader(bytes)
        try check(&reader, end: bytes.count)
    }

    private func check(_ reader: inout WireReader, end: Int) throws(WireError) {
        var counts = [Int](repeating: 0, count: fields.count)
        while reader.position < end {
            let tag = try reader.varint(end)
            guard let number = Int(exactly: tag >> 3), number > 0 else { throw .undecodable }
            let known = number < fields.count ? fields[number] : nil
            let place = known == nil ? 0 : number
            switch tag & 7 {
            case 0: _ = try reader.varint(end)
            case 1: try reader.skip(8, end)
            case 5: try reader.skip(4, end)
            case 2:
                guard let length = Int(exactly: try reader.varint(end)) else { throw .undecodable }
                let start = reader.position
                try reader.skip(length, end)
                switch known?.content {
                case .numbers: counts[place] += reader.numbers(start..<reader.position) - 1
                case .words: counts[place] += length / 4 - 1
                // One too many is refused below; what is in it does not matter.
                case .message(let shape) where counts[place] < known?.limit ?? 0:
                    let after = reader.position
                    reader.position = start
                    try shape.check(&reader, end: after)
                case .plain, .message, nil: break
                }
            default: throw .undecodable
            }
            counts[place] += 1
            // At once: to count to the end takes 27 ms of a megabyte of empty elements, and this runs on the thread that hears
            // all peers.
            let limit = known?.limit ?? Self.others
            if counts[place] > limit { throw .tooMany(known?.name ?? "fields of one message", limit: limit) }
        }
    }
}

/// Reads the wire format of protobuf, which `BinaryDecodingOptions` cannot bound.
private struct WireReader {
    private let bytes: [UInt8]
    var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func varint(_ end: Int) throws(WireError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard position < end else { throw .undecodable }
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw .undecodable
    }

    mutating func skip(_ count: Int, _ end: Int) throws(WireError) {
        guard count >= 0, count <= end - position else { throw .undecodable }
        position += count
    }

    /// How many numbers of variable length end in `range`.
    func numbers(_ range: Range<Int>) -> Int { bytes[range].reduce(0) { $0 + ($1 < 0x80 ? 1 : 0) } }
}

extension WireShape.Field {
    static func list(_ name: String, _ limit: Int, _ content: WireShape.Content = .plain) -> WireShape.Field {
        WireShape.Field(name: name, limit: limit, content: content)
    }

    /// A field that stands once at most.
    static func one(_ name: String, _ shape: WireShape? = nil) -> WireShape.Field {
        WireShape.Field(name: name, limit: 1, content: shape.map { .message($0) } ?? .plain)
    }
}

extension WireShape {
    /// The numbers of the fields that are listed here and in what is embedded: "5/9" is field 9 of field 5.
    var paths: [String] {
        fields.enumerated().flatMap { number, field -> [String] in
            guard let field else { return [] }
            guard case .message(let shape) = field.content else { return ["\(number)"] }
            return ["\(number)"] + shape.paths.map { "\(number)/\($0)" }
        }
    }
}
