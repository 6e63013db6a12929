/// Writes one JSON object on one line, with its keys in the order in which they are added.
///
/// Foundation's encoder can only sort keys or leave them in a random order; a line that people read starts with what
/// they look for.
struct JSONText {
    private(set) var text = "{"

    /// The whole object.
    var closed: String { text + "}" }

    private mutating func key(_ name: String) {
        if text.utf8.count > 1 { text += "," }
        text += Self.quoted(name) + ":"
    }

    mutating func add(_ name: String, _ value: Int) {
        key(name)
        text += String(value)
    }

    mutating func add(_ name: String, _ value: String) {
        key(name)
        text += Self.quoted(value)
    }

    mutating func add(_ name: String, _ value: Bool) {
        key(name)
        text += value ? "true" : "false"
    }

    /// Writes the shortest text that reads back as the same number; JSON has none for NaN and infinities: null.
    mutating func add(_ name: String, _ value: Double) {
        key(name)
        text += Self.number(value)
    }

    /// Writes a measured time or rate, to the millionth: further digits are noise.
    mutating func addMeasured(_ name: String, _ value: Double) {
        add(name, abs(value) < 1e9 ? (value * 1e6).rounded() / 1e6 : value)
    }

    mutating func add(_ name: String, _ object: JSONText) {
        key(name)
        text += object.closed
    }

    mutating func add(_ name: String, _ objects: [JSONText]) {
        key(name)
        text += "[" + objects.map(\.closed).joined(separator: ",") + "]"
    }

    static func number(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        if let whole = Int(exactly: value), whole.magnitude < 1 << 53 { return String(whole) }
        return String(value)
    }

    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case "\u{0}"..."\u{1F}", "\u{2028}", "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
