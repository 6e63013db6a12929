/// The value of a setting as a user writes it.
package indirect enum SettingValue: Hashable, Sendable {
    case whole(Int)
    case number(Double)
    case flag(Bool)
    case word(String)
    case list([SettingValue])
    /// What an optional setting is without a value.
    case off

    /// As it stands in a configuration; numbers are read back to the same bits.
    package var text: String {
        switch self {
        case .whole(let value): return String(value)
        case .number(let value):
            if let whole = Int(exactly: value), whole.magnitude <= 1_000_000 { return String(whole) }
            return String(value)
        case .flag(let value): return value ? "true" : "false"
        case .word(let word): return word
        case .list(let values): return "[" + values.map(\.text).joined(separator: ", ") + "]"
        case .off: return "off"
        }
    }
}

/// A type that a property behind a setting can have.
package protocol SettingConvertible: Equatable, Sendable {
    /// Nil for a value of another type.
    init?(_ value: SettingValue)
    var settingValue: SettingValue { get }
    /// The form of its values.
    static var form: SettingForm { get }
}

/// What values of a setting look like, before their range.
package indirect enum SettingForm: Hashable, Sendable {
    case whole
    case number
    case flag
    case word([String])
    case list(SettingForm)
    /// The word `off`, or a value of that form.
    case optional(SettingForm)

    /// "a whole number", "a list, each a number".
    package var text: String {
        switch self {
        case .whole: "a whole number"
        case .number: "a number"
        case .flag: "true or false"
        case .word(let words):
            words.count == 1 ? words[0] : "one of " + words.joined(separator: ", ")
        case .list(let element): "a list, each \(element.text)"
        case .optional(let form): "\(form.text) or off"
        }
    }
}

extension Int: SettingConvertible {
    package init?(_ value: SettingValue) {
        guard case .whole(let number) = value else { return nil }
        self = number
    }

    package var settingValue: SettingValue { .whole(self) }
    package static var form: SettingForm { .whole }
}

extension Double: SettingConvertible {
    /// A whole number is a number too.
    package init?(_ value: SettingValue) {
        switch value {
        case .number(let number): self = number
        case .whole(let number): self = Double(number)
        default: return nil
        }
    }

    package var settingValue: SettingValue { .number(self) }
    package static var form: SettingForm { .number }
}

extension Bool: SettingConvertible {
    package init?(_ value: SettingValue) {
        guard case .flag(let flag) = value else { return nil }
        self = flag
    }

    package var settingValue: SettingValue { .flag(self) }
    package static var form: SettingForm { .flag }
}

extension Array: SettingConvertible where Element: SettingConvertible {
    package init?(_ value: SettingValue) {
        guard case .list(let values) = value else { return nil }
        let elements = values.compactMap { Element($0) }
        guard elements.count == values.count else { return nil }
        self = elements
    }

    package var settingValue: SettingValue { .list(map(\.settingValue)) }
    package static var form: SettingForm { .list(Element.form) }
}

extension Optional: SettingConvertible where Wrapped: SettingConvertible {
    package init?(_ value: SettingValue) {
        if value == .off {
            self = .none
            return
        }
        guard let wrapped = Wrapped(value) else { return nil }
        self = wrapped
    }

    package var settingValue: SettingValue { self?.settingValue ?? .off }
    package static var form: SettingForm { .optional(Wrapped.form) }
}

/// An enumeration whose raw values are the words.
package protocol SettingWord: SettingConvertible, RawRepresentable, CaseIterable where RawValue == String {}

extension SettingWord {
    package init?(_ value: SettingValue) {
        guard case .word(let word) = value else { return nil }
        self.init(rawValue: word)
    }

    package var settingValue: SettingValue { .word(rawValue) }
    package static var form: SettingForm { .word(allCases.map(\.rawValue)) }
}
