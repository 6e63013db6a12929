import Radiography
import Settings
import Yams

// Fields that stand in no table: the settings that the entries of a registry declare.

extension ConfigurationField {
    /// "unet: a U-Net over an encoder. fpn: …": what the words of a registry mean.
    static func inWords(_ entries: [any RegistryEntry.Type]) -> String {
        entries.map { "\($0.word): \($0.summary)" }.joined(separator: " ")
    }

    /// A field for each setting of the entries, in their order; entries that declare the same one share it.
    static func declared(
        by entries: [any RegistryEntry.Type],
        in section: String,
        _ keyPath: any WritableKeyPath<RunConfiguration, SettingValues> & Sendable
    ) -> [ConfigurationField] {
        var names: [String] = []
        var owners: [String: (declaration: SettingDeclaration, words: [String])] = [:]
        for entry in entries {
            for declaration in entry.declarations {
                if owners[declaration.name] == nil { names.append(declaration.name) }
                owners[declaration.name, default: (declaration, [])].words.append(entry.word)
            }
        }
        return names.compactMap { name in
            guard let (declaration, words) = owners[name] else { return nil }
            let summary = declaration.summary.prefix(1).lowercased() + declaration.summary.dropFirst()
            return declared(
                declaration,
                named: "\(section).\(name)",
                key: name,
                keyPath,
                "For \(RunConfiguration.inWords(words)): \(summary)"
            )
        }
    }

    /// `augmentation.WORD.SETTING` for each augmentation.
    static var augmentationSettings: [ConfigurationField] {
        augmentations.flatMap { augmentation in
            augmentation.declarations.map { declaration in
                let key = "\(augmentation.word).\(declaration.name)"
                return declared(
                    declaration,
                    named: "augmentation.\(key)",
                    key: key,
                    \.augmentation.settings,
                    declaration.summary
                )
            }
        }
    }

    /// What each augmentation is for.
    static var augmentationSections: [String: String] {
        Dictionary(
            uniqueKeysWithValues: augmentations.map {
                ("augmentation.\($0.word)", $0.summary.prefix(1).uppercased() + $0.summary.dropFirst())
            }
        )
    }

    private static func declared(
        _ declaration: SettingDeclaration,
        named name: String,
        key: String,
        _ keyPath: any WritableKeyPath<RunConfiguration, SettingValues> & Sendable,
        _ summary: String
    ) -> ConfigurationField {
        ConfigurationField(
            name: name,
            kind: declaration.kind,
            summary: summary,
            isText: false,
            isDeclared: true,
            assign: { node, configuration throws(ValueProblem) in
                let value = try SettingValue(node: node, form: declaration.form)
                guard declaration.accepts(value) else {
                    throw ValueProblem(
                        message: "must be \(declaration.range), found \(shortened(value.text))",
                        mark: node.mark
                    )
                }
                configuration[keyPath: keyPath][key] = value == declaration.defaultValue ? nil : value
            },
            render: { ($0[keyPath: keyPath][key] ?? declaration.defaultValue).text }
        )
    }
}

extension RunConfiguration {
    /// "cosine, restarts and plateau".
    static func inWords(_ words: [String]) -> String {
        guard words.count > 1 else { return words.joined() }
        return words.dropLast().joined(separator: ", ") + " and " + words[words.count - 1]
    }
}
