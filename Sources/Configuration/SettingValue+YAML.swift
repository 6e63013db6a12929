import Settings
import Yams

// How settings that other modules declare are read from YAML.

extension SettingValue {
    private static let kind = "a number, a word, true, false, off or a list of such"

    /// Reads a value whose setting is not known yet.
    init(node: Node) throws(ValueProblem) {
        guard case .sequence(let sequence) = node else {
            self = try Self.scalar(node)
            return
        }
        var values: [SettingValue] = []
        for child in sequence { values.append(try Self.scalar(child)) }
        self = .list(values)
    }

    /// Reads a value of a known form.
    init(node: Node, form: SettingForm) throws(ValueProblem) {
        switch form {
        case .whole: self = .whole(try Int(node: node))
        case .number: self = .number(try Double(node: node))
        case .flag: self = .flag(try Bool(node: node))
        case .word(let words):
            guard let text = node.bareText, words.contains(text) else {
                let near = node.bareText.flatMap { Spelling.nearest(to: $0, in: words) }
                throw node.refusal(expected: form.text, hint: near.map { "; did you mean `\($0)`?" } ?? "")
            }
            self = .word(text)
        case .list(let element):
            guard case .sequence(let sequence) = node else {
                throw node.refusal(expected: form.text, hint: "; write [1, 2] for a list")
            }
            var values: [SettingValue] = []
            for child in sequence { values.append(try SettingValue(node: child, form: element)) }
            self = .list(values)
        case .optional(let wrapped):
            if node.bareText == "off" {
                self = .off
                return
            }
            do throws(ValueProblem) {
                self = try SettingValue(node: node, form: wrapped)
            } catch {
                throw node.refusal(expected: form.text)
            }
        }
    }

    private static func scalar(_ node: Node) throws(ValueProblem) -> SettingValue {
        guard let text = node.bareText, text.utf8.count <= 100 else { throw node.refusal(expected: kind) }
        if let whole = try? Int(node: node) { return .whole(whole) }
        if let number = try? Double(node: node) { return .number(number) }
        return switch text {
        case "true": .flag(true)
        case "false": .flag(false)
        case "off": .off
        default: .word(text)
        }
    }
}

/// Settings by their names.
extension Dictionary: ConfigurationValue where Key == String, Value == SettingValue {
    static var kind: String { "names and values, as in {depth: 3}" }

    init(node: Node) throws(ValueProblem) {
        guard case .mapping(let mapping) = node else { throw node.refusal(expected: Self.kind) }
        var values: [String: SettingValue] = [:]
        for (key, value) in mapping {
            guard let name = key.bareText else {
                throw ValueProblem(message: "expected a name, found \(key.found)", mark: key.mark)
            }
            values[name] = try SettingValue(node: value)
        }
        self = values
    }

    var yaml: String {
        "{" + sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.text)" }.joined(separator: ", ") + "}"
    }
}
