/// Values of settings by their names; what is not there is at its default.
///
/// Holds those of all entries of a registry at once: a choice among them changes nobody's values.
package struct SettingValues: Hashable, Sendable {
    private var values: [String: SettingValue] = [:]

    package init() {}

    /// The value of a setting that is not at its default; nil puts it back there.
    package subscript(_ name: String) -> SettingValue? {
        get { values[name] }
        set { values[name] = newValue }
    }

    /// The names of the settings that have a value.
    package var names: [String] { values.keys.sorted() }

    /// The values whose names begin with `prefix` and a point, by the rest of the name.
    package func section(_ prefix: String) -> SettingValues {
        var section = SettingValues()
        for (name, value) in values where name.hasPrefix(prefix + ".") {
            section.values[String(name.dropFirst(prefix.count + 1))] = value
        }
        return section
    }

    /// An entry with those of the values that it declares.
    package func make<Entry: SettingOwner>(_: Entry.Type) throws(SettingError) -> Entry {
        let declared = Set(Entry.settings.map(\.name))
        return try Entry(values.filter { declared.contains($0.key) })
    }
}
