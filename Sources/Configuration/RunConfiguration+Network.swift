import Graph
package import Networks
package import Settings

// The settings of a network's family: those that are fields of their own, and those in `network.options`.

extension RunConfiguration.Network {
    /// The settings that have fields of their own.
    private static let fields = ["base_width", "dropout", "encoder"]

    /// What the family takes of the section: fields that it does not declare are not for it.
    private var values: [String: SettingValue] {
        let own: [String: SettingValue] = [
            "base_width": baseWidth.settingValue, "dropout": dropout.settingValue, "encoder": encoder.settingValue,
        ]
        let declared = Set(architecture.family.declarations.map(\.name))
        return own.filter { declared.contains($0.key) }.merging(options) { field, _ in field }
    }

    /// The network that the section describes.
    ///
    /// Throws what the family does not take, which a configuration that was read never has.
    package func family() throws(SettingError) -> any NetworkFamily {
        func make<Family: NetworkFamily>(_: Family.Type) throws(SettingError) -> any NetworkFamily {
            var network = try Family(values)
            network.statistics = normalisation == .train ? .batch : .running
            return network
        }
        return try make(architecture.family)
    }

    /// What the family says against the section and the samples of a microbatch.
    func contradictions(microbatchSize: Int) -> [RunConfiguration.Contradiction] {
        let word = architecture.rawValue
        let declared = Self.options(of: architecture.family)
        let wrong = options.sorted { $0.key < $1.key }.compactMap { name, value -> RunConfiguration.Contradiction? in
            let problem: String
            if let declaration = declared.first(where: { $0.name == name }) {
                if declaration.accepts(value) { return nil }
                problem = "`\(name)` must be \(declaration.kind), found \(value.text)"
            } else if Self.fields.contains(name) {
                problem = "`\(name)` is a field of its own, `network.\(name)`"
            } else {
                let names = declared.map(\.name)
                let near = Spelling.nearest(to: name, in: names).map { "; did you mean `\($0)`?" }
                problem =
                    "\(word) has no option `\(name)`"
                    + (near ?? (names.isEmpty ? "" : "; it has \(names.joined(separator: ", "))"))
            }
            return RunConfiguration.Contradiction(
                fields: ["network.options", "network.architecture"],
                message: "`network.options`: \(problem)"
            )
        }
        guard wrong.isEmpty, let network = try? family() else { return wrong }
        return network.problems(microbatchSize: microbatchSize).map { problem in
            let message = "`network.architecture: \(word)` \(problem.message)"
            switch problem.cause {
            case .encoder:
                return .init(fields: ["network.encoder", "network.architecture"], message: message)
            case .options:
                return .init(fields: ["network.options", "network.architecture"], message: message)
            case .microbatchSize:
                return .init(
                    fields: ["training.microbatch_size", "network.architecture"],
                    message: "\(message); set `training.microbatch_size`, or `network.normalisation: frozen`"
                )
            }
        }
    }

    /// Warnings: fields that were set and mean nothing to the family.
    var remarks: [String] {
        let declared = Set(architecture.family.declarations.map(\.name))
        let defaults = RunConfiguration.Network()
        return [("encoder", encoder != defaults.encoder), ("base_width", baseWidth != defaults.baseWidth)].filter {
            $0.1 && !declared.contains($0.0)
        }.map { name, _ in
            "network.\(name) means nothing to \(architecture.rawValue); it is for \(Self.families(with: name))."
        }
    }

    private static func options(of family: any NetworkFamily.Type) -> [SettingDeclaration] {
        family.declarations.filter { !fields.contains($0.name) }
    }

    // MARK: In words

    /// The options as a configuration has them: "{depth: 3}".
    package var optionsText: String { options.yaml }

    /// "unet and deeplabv3plus": the families that have a setting.
    static func families(with setting: String) -> String {
        RunConfiguration.inWords(
            networkFamilies.filter { $0.declarations.contains { $0.name == setting } }.map { $0.word }
        )
    }

    /// The options of every family, with their ranges and defaults.
    static var optionsInWords: String {
        networkFamilies.compactMap { family in
            let options = options(of: family).map { option in
                let meaning = option.summary.hasSuffix(".") ? String(option.summary.dropLast()) : option.summary
                return "\(option.name) = \(option.defaultValue.text) (\(option.kind)): \(meaning)"
            }
            return options.isEmpty ? nil : "\(family.word): \(options.joined(separator: "; "))."
        }.joined(separator: " ")
    }
}
