/// Counts what a message holds before it is decoded: an empty element takes two bytes on the wire and hundreds in memory.
///
/// Each shape lists the repeated and embedded fields of a message; of all others together there may be `others`, so
/// that a field which a later program adds does no harm.
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

extension WireShape {
    private static func list(_ name: String, _ limit: Int, _ content: Content = .plain) -> Field {
        Field(name: name, limit: limit, content: content)
    }

    /// A field that stands once at most.
    private static func one(_ name: String, _ shape: WireShape? = nil) -> Field {
        Field(name: name, limit: 1, content: shape.map { .message($0) } ?? .plain)
    }

    // The numbers are those of Protos/control.proto.

    private static let reduced = WireShape([
        3: one("reduced.sums_digest"), 4: one("reduced.state_digest"),
        5: list("reduced.losses", WireLimits.losses, .words), 7: one("reduced.non_finite"),
        8: one("reduced.timings"), 9: list("reduced.audits", WireLimits.audits),
    ])

    private static let seat = WireShape([
        7: list("hello.seat.reports", WireLimits.seatReports, .message(reduced))
    ])

    private static let assign = WireShape([
        4: list("assign.members", WireLimits.members, .numbers),
        5: list("assign.node_levels", Int(WireLimits.leaves), .numbers),
        6: list("assign.node_indices", Int(WireLimits.leaves), .numbers),
        7: list("assign.node_owners", Int(WireLimits.leaves), .numbers),
        10: list("assign.audit_microbatches", 2 * Int(WireLimits.leaves), .numbers),
        11: list("assign.audit_workers", 2 * Int(WireLimits.leaves), .numbers),
    ])

    static let fromWorker = WireShape([
        2: one(
            "hello",
            WireShape([
                7: list("hello.numerics_profiles", WireLimits.listed), 9: list("hello.endpoints", WireLimits.listed),
                11: one("hello.seat", seat),
            ])
        ),
        3: one("ready", WireShape([5: list("ready.endpoints", WireLimits.listed)])),
        4: one("heartbeat"), 5: one("reduced", reduced), 6: one("applied"),
        7: one("validated", WireShape([4: list("validated.counts", WireLimits.counts, .numbers)])),
        8: one("piece"), 9: one("failure"), 10: one("leaving"),
    ])

    static let fromCoordinator = WireShape([
        2: one("welcome"), 3: one("refuse"),
        4: one(
            "members",
            WireShape([
                2: list(
                    "members",
                    WireLimits.members,
                    .message(WireShape([5: list("members.endpoints", WireLimits.listed)]))
                )
            ])
        ),
        5: one("assign", assign),
        6: one(
            "commit",
            WireShape([
                2: one(
                    "commit.hyperparameters",
                    WireShape([8: list("commit.hyperparameters.optimizer", WireLimits.optimizerWords, .words)])
                ), 4: one("commit.next", assign), 5: one("commit.repeated", assign),
            ])
        ),
        7: one("abandon"), 8: one("validate"), 9: one("checkpoint"), 10: one("drain"), 11: one("pulse"),
        12: one("finish"),
    ])
}
