package import Diagnostics

/// A property of an entry of a registry that users set: its name, range and meaning, and where it is kept.
package struct Setting<Owner: SettingOwner>: Sendable {
    package let name: String
    package let summary: String
    let form: SettingForm
    /// The type and the range in words.
    let kind: String
    /// The range alone, where it has words of its own.
    let range: String
    let accepts: @Sendable (SettingValue) -> Bool
    let write: @Sendable (SettingValue, inout Owner) -> Void
    let read: @Sendable (Owner) -> SettingValue

    /// - Parameters:
    ///   - name: as configurations write it: "decoder_channels".
    ///   - keyPath: where the value is kept; its value in `Owner()` is the default.
    ///   - summary: what it does, in full sentences.
    package init<Value: SettingConvertible>(
        _ name: String,
        _ keyPath: any WritableKeyPath<Owner, Value> & Sendable,
        _ range: SettingRange<Value> = .any,
        _ summary: String
    ) {
        self.name = name
        self.summary = summary
        form = Value.form
        kind =
            range.saysType
            ? range.text : range.text.isEmpty ? Value.form.text : "\(Value.form.text), \(range.text)"
        self.range = range.text.isEmpty ? kind : range.text
        accepts = { Value($0).map(range.accepts) ?? false }
        write = { value, owner in
            guard let value = Value(value) else { return }
            owner[keyPath: keyPath] = value
        }
        read = { $0[keyPath: keyPath].settingValue }
    }
}

/// What a user reads of a setting, and the test of its values.
package struct SettingDeclaration: Sendable {
    package let name: String
    package let form: SettingForm
    /// The type and the range in words: "a number, 0 to 1".
    package let kind: String
    /// What a refused value must be: "0 to 1".
    package let range: String
    package let defaultValue: SettingValue
    package let summary: String
    private let test: @Sendable (SettingValue) -> Bool

    init(_ setting: Setting<some SettingOwner>, defaultValue: SettingValue) {
        name = setting.name
        form = setting.form
        kind = setting.kind
        range = setting.range
        summary = setting.summary
        self.defaultValue = defaultValue
        test = setting.accepts
    }

    package func accepts(_ value: SettingValue) -> Bool { test(value) }
}

/// A type whose properties users set by name.
package protocol SettingOwner: Sendable {
    /// Every setting at its default.
    init()
    static var settings: [Setting<Self>] { get }
}

extension SettingOwner {
    package static var declarations: [SettingDeclaration] {
        let defaults = Self()
        return settings.map { SettingDeclaration($0, defaultValue: $0.read(defaults)) }
    }

    /// The owner with these values, by the names of settings; what is not named stays at its default.
    ///
    /// Throws for a name that is no setting, and for a value that it does not take.
    package init(_ values: [String: SettingValue]) throws(SettingError) {
        self.init()
        for (name, value) in values.sorted(by: { $0.key < $1.key }) {
            guard let setting = Self.settings.first(where: { $0.name == name }) else {
                throw SettingError(setting: name, problem: "is not known; known are \(Self.names)")
            }
            guard setting.accepts(value) else {
                throw SettingError(setting: name, problem: "must be \(setting.kind), found \(value.text)")
            }
            setting.write(value, &self)
        }
    }

    private static var names: String {
        settings.isEmpty ? "none" : settings.map(\.name).joined(separator: ", ")
    }
}

/// One of several ways to do a thing: a network, a schedule, a sampler, an augmentation. Each is a file, and an entry in the list of
/// its kind.
package protocol RegistryEntry: SettingOwner {
    /// The word of configurations.
    static var word: String { get }
    /// What it is, as it follows the word and a colon: "a U-Net over an encoder."
    static var summary: String { get }
}

/// A value that an entry does not take.
package struct SettingError: ReportableError, Equatable {
    package let setting: String
    /// What follows the setting's name: "must be a number, 0 to 1, found 2".
    package let problem: String

    package init(setting: String, problem: String) {
        self.setting = setting
        self.problem = problem
    }

    package var exitStatus: ExitStatus { .badConfiguration }
    package var description: String { "`\(setting)` \(problem)." }
}
