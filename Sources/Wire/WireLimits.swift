import Coordination

/// The ranges of the fields of control messages, and how a field is held to its own.
enum WireLimits {
    /// Steps of a run: far from where adding one overflows.
    static let steps: UInt64 = 1 << 48
    static let generations: UInt32 = 1 << 30
    static let leaves: UInt32 = 1 << 20
    static let members = 1 << 16
    static let threads: UInt32 = 1 << 16
    static let nameBytes = 256
    static let sentenceBytes = 4096
    static let configurationBytes = 1 << 19
    static let listed = 16
    static let losses = 64
    /// Numbers of an optimizer in one step: groups of parameters times a few.
    static let optimizerWords = 1024
    static let seatReports = 2
    static let counts = 1 << 17
    /// Digests of audits in one report; they fill the largest message.
    static let audits = 1 << 15
    static let samples: UInt32 = 1 << 30
    static let shares: UInt32 = 4096
    /// A year.
    static let nanoseconds: UInt64 = 366 * 86400 * 1_000_000_000

    // MARK: Checks

    static func steps(_ value: UInt64, _ field: String) throws(WireError) -> UInt64 {
        try check(value, field, value <= steps)
    }

    static func generation(_ value: UInt32, _ field: String) throws(WireError) -> UInt32 {
        try check(value, field, value <= generations)
    }

    static func microbatch(_ value: UInt32, _ field: String) throws(WireError) -> UInt32 {
        try check(value, field, value < leaves)
    }

    static func duration(_ value: UInt64, _ field: String) throws(WireError) -> Duration {
        .nanoseconds(Int64(try check(value, field, value <= nanoseconds)))
    }

    /// An interval that is waited for: not so short that it would keep a machine busy.
    static func interval(_ value: UInt64, _ field: String) throws(WireError) -> Duration {
        .nanoseconds(Int64(try check(value, field, value >= 1_000_000 && value <= nanoseconds)))
    }

    /// A name: short, in one line.
    static func name(_ value: String, _ field: String) throws(WireError) -> String {
        try text(value, field, limit: nameBytes, allowsLines: false)
    }

    static func name(_ value: String, _ field: String, isPresent: Bool) throws(WireError) -> String? {
        isPresent ? try name(value, field) : nil
    }

    static func names(_ values: [String], _ field: String) throws(WireError) -> [String] {
        let values = try list(values, field, limit: listed)
        var result: [String] = []
        for value in values { result.append(try name(value, field)) }
        return result
    }

    /// Addresses of a data plane: a few, each a line of text.
    static func addresses(_ values: [String], _ field: String) throws(WireError) -> [String] {
        let values = try list(values, field, limit: listed)
        var result: [String] = []
        for value in values { result.append(try text(value, field, limit: sentenceBytes, allowsLines: false)) }
        return result
    }

    static func sentence(_ value: String, _ field: String) throws(WireError) -> String {
        try text(value, field, limit: sentenceBytes, allowsLines: true)
    }

    static func sentence(_ value: String, _ field: String, isPresent: Bool) throws(WireError) -> String? {
        isPresent ? try sentence(value, field) : nil
    }

    /// The name of a file in a folder that the reader chooses: never a path out of it.
    static func fileName(_ value: String, _ field: String) throws(WireError) -> String {
        let name = try name(value, field)
        if name.isEmpty || name.utf8.first == UInt8(ascii: ".") || name.utf8.contains(UInt8(ascii: "/")) {
            throw .badField(field, found: "not the name of a file")
        }
        return name
    }

    static func text(
        _ value: String,
        _ field: String,
        limit: Int,
        allowsLines: Bool
    ) throws(WireError) -> String {
        if value.utf8.count > limit {
            throw .badField(field, found: "\(value.utf8.count) bytes long, more than the \(limit) that are allowed")
        }
        if !value.unicodeScalars.allSatisfy({ isPlain($0, allowsLines: allowsLines) }) {
            throw .badField(field, found: "text with control characters")
        }
        return value
    }

    static func phase(_ value: UInt32, _ field: String) throws(WireError) -> WorkerPhase {
        guard let raw = UInt8(exactly: value), let phase = WorkerPhase(rawValue: raw) else {
            throw .badField(field, found: "\(value)")
        }
        return phase
    }

    /// A number; errors print it, and nothing that could be long.
    static func check<T: FixedWidthInteger>(_ value: T, _ field: String, _ holds: Bool) throws(WireError) -> T {
        if !holds { throw .badField(field, found: "\(value)") }
        return value
    }

    static func list<T>(_ values: [T], _ field: String, limit: Int) throws(WireError) -> [T] {
        if values.count > limit { throw .tooMany(field, limit: limit) }
        return values
    }

    static func required<T>(_ value: T, _ field: String, isPresent: Bool) throws(WireError) -> T {
        if !isPresent { throw .badField(field, found: "missing") }
        return value
    }

    // MARK: Sending

    /// `sentence` without control characters and not longer than the reader allows.
    static func cut(_ sentence: String) -> String {
        var result = String.UnicodeScalarView()
        var bytes = 0
        for scalar in sentence.unicodeScalars {
            bytes += UTF8.width(scalar)
            if bytes > sentenceBytes - 3 {
                result.append("…")
                break
            }
            result.append(isPlain(scalar, allowsLines: true) ? scalar : " ")
        }
        return String(result)
    }

    /// Whether the character may stand in text that a terminal will show.
    ///
    /// Lines and tabs may in sentences.
    private static func isPlain(_ scalar: Unicode.Scalar, allowsLines: Bool) -> Bool {
        if scalar == "\n" || scalar == "\t" { return allowsLines }
        return scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value)
    }
}
