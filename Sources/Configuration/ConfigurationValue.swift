import Yams

/// Why one value was refused; the reader adds the field's name and the place.
struct ValueProblem: Error {
    /// What follows the field's name: "expected a number, found `abc`".
    let message: String
    /// The node to point at, where it is not the field's own.
    var mark: Mark?
}

/// A type that a field of the configuration can have: read from a YAML node, written back as YAML text.
///
/// Values are read from the text of the node and not from YAML's own guess of its type: YAML 1.1 takes `1e-4` for
/// a word and `off` for a truth value.
protocol ConfigurationValue: Sendable, Equatable {
    /// What a user reads: "a number", "one of adam, adamw, sgd".
    static var kind: String { get }
    /// Reads the value; throws what was expected and what was found.
    init(node: Node) throws(ValueProblem)
    /// The YAML text of the value, on one line; `init(node:)` reads it back.
    var yaml: String { get }
}

/// A value that is one of several words.
protocol ConfigurationWord: ConfigurationValue, RawRepresentable, CaseIterable where RawValue == String {}

extension Node {
    /// The text of a scalar that stands without quotes and is not empty, for numbers and words.
    var bareText: String? {
        guard case .scalar(let scalar) = self, scalar.isBare, !scalar.string.isEmpty else { return nil }
        return scalar.string
    }

    /// True for a key without a value.
    var isEmptyScalar: Bool {
        guard case .scalar(let scalar) = self else { return false }
        return scalar.isBare && (scalar.string.isEmpty || scalar.string == "~" || scalar.string == "null")
    }

    /// The node in words: "`abc`", "a list".
    var found: String {
        switch self {
        case .scalar(let scalar) where isEmptyScalar: scalar.string.isEmpty ? "nothing" : "`\(scalar.string)`"
        case .scalar(let scalar): scalar.isBare ? "`\(scalar.string)`" : "the quoted text \"\(scalar.string)\""
        case .sequence: "a list"
        case .mapping: "keys and values"
        case .alias(let alias): "the alias `*\(alias.anchor.rawValue)`"
        }
    }

    func refusal(expected kind: String, hint: String = "") -> ValueProblem {
        ValueProblem(message: "expected \(kind), found \(found)\(hint)", mark: mark)
    }
}

extension Node.Scalar {
    var isBare: Bool { style == .any || style == .plain }
}

// MARK: - Scalars

extension Int: ConfigurationValue {
    static var kind: String { "a whole number" }

    init(node: Node) throws(ValueProblem) {
        guard let text = node.bareText, let value = Int(text) else { throw node.refusal(expected: Self.kind) }
        self = value
    }

    var yaml: String { String(self) }
}

extension Double: ConfigurationValue {
    static var kind: String { "a number" }

    init(node: Node) throws(ValueProblem) {
        // `Double` also reads hexadecimal numbers, infinities and NaN, none of which is a value for a field.
        guard let text = node.bareText, text.allSatisfy({ "0123456789.+-eE".contains($0) }),
            let value = Double(text), value.isFinite
        else { throw node.refusal(expected: Self.kind) }
        self = value
    }

    var yaml: String {
        if let whole = Int(exactly: self), whole.magnitude <= 1_000_000 { return String(whole) }
        return String(self)
    }
}

extension Bool: ConfigurationValue {
    static var kind: String { "true or false" }

    init(node: Node) throws(ValueProblem) {
        switch node.bareText {
        case "true": self = true
        case "false": self = false
        default: throw node.refusal(expected: Self.kind)
        }
    }

    var yaml: String { self ? "true" : "false" }
}

extension String: ConfigurationValue {
    static var kind: String { "text" }

    init(node: Node) throws(ValueProblem) {
        guard case .scalar(let scalar) = node, !node.isEmptyScalar else { throw node.refusal(expected: Self.kind) }
        self = scalar.string
    }

    var yaml: String {
        let plain = utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "_"): true
            case UInt8(ascii: "-"): true
            default: false
            }
        }
        let startsAsWord = first.map { $0.isLetter || $0 == "/" || $0 == "." } ?? false
        let reserved = ["true", "false", "null", "yes", "no", "on", "off"].contains(lowercased())
        return plain && startsAsWord && !reserved ? self : quotedYAML
    }

    /// The text in double quotes with YAML's escapes.
    private var quotedYAML: String {
        var text = "\""
        for scalar in unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            case "\r": text += "\\r"
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{A0}", "\u{2028}", "\u{2029}", "\u{FEFF}":
                let digits = String(scalar.value, radix: 16, uppercase: true)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}

extension ConfigurationWord {
    static var kind: String {
        let words = allCases.map(\.rawValue)
        return words.count == 1 ? words[0] : "one of " + words.joined(separator: ", ")
    }

    init(node: Node) throws(ValueProblem) {
        guard let text = node.bareText else { throw node.refusal(expected: Self.kind) }
        guard let value = Self(rawValue: text) else {
            let words = Self.allCases.map(\.rawValue)
            let near = OtherWords.value(text, in: words) ?? Spelling.nearest(to: text, in: words)
            throw node.refusal(expected: Self.kind, hint: near.map { "; did you mean `\($0)`?" } ?? "")
        }
        self = value
    }

    var yaml: String { rawValue }
}

// MARK: - Composed values

extension Array: ConfigurationValue where Element: ConfigurationValue {
    static var kind: String { "a list, each \(Element.kind)" }

    init(node: Node) throws(ValueProblem) {
        guard case .sequence(let sequence) = node else {
            throw node.refusal(expected: Self.kind, hint: "; write [1, 2] for a list")
        }
        var elements: [Element] = []
        for child in sequence { elements.append(try Element(node: child)) }
        self = elements
    }

    var yaml: String { "[" + map(\.yaml).joined(separator: ", ") + "]" }
}

/// A value that can be switched off: nil is the word `off`.
extension Optional: ConfigurationValue where Wrapped: ConfigurationValue {
    static var kind: String { "\(Wrapped.kind) or off" }

    init(node: Node) throws(ValueProblem) {
        if node.bareText == "off" {
            self = nil
            return
        }
        do throws(ValueProblem) {
            self = try Wrapped(node: node)
        } catch {
            throw node.refusal(expected: Self.kind)
        }
    }

    var yaml: String { self?.yaml ?? "off" }
}
