package import Optimization
package import Radiography
package import Sampling
package import Settings

// From the words and settings of a section to what they stand for.

extension RunConfiguration.Sampler {
    /// The rule with its settings.
    package func rule() throws(SettingError) -> any SamplingRule {
        func make<Rule: SamplingRule>(_ rule: Rule.Type) throws(SettingError) -> any SamplingRule {
            try settings.make(rule)
        }
        return try make(policy.rule)
    }

    /// Whether the number of epochs decides on the samples of each.
    package var dependsOnLength: Bool { (try? rule())?.dependsOnLength ?? false }
}

extension RunConfiguration.Schedule {
    /// The rule with its settings.
    package func rule() throws(SettingError) -> any ScheduleRule {
        func make<Rule: ScheduleRule>(_ rule: Rule.Type) throws(SettingError) -> any ScheduleRule {
            try settings.make(rule)
        }
        return try make(name.rule)
    }
}

extension RunConfiguration.Augmentation {
    /// What may happen to a training sample; nil where nothing does.
    package func plan() throws(SettingError) -> AugmentationPolicy? {
        guard enabled else { return nil }
        func make<Step: Augmentation>(_ step: Step.Type) throws(SettingError) -> any Augmentation {
            try settings.section(Step.word).make(step)
        }
        var steps: [any Augmentation] = []
        for augmentation in augmentations { steps.append(try make(augmentation)) }
        return AugmentationPolicy(steps, border: border == .reflect ? .reflect101 : .constant(0))
    }
}

extension RunConfiguration {
    /// What the schedule's rule says against its settings, the learning rate, or a run without validation.
    var scheduleContradictions: [Contradiction] {
        guard let rule = try? schedule.rule() else { return [] }
        if let floor = rule.floor, floor > optimizer.learningRate {
            return [
                Contradiction(
                    fields: ["schedule.minimum"],
                    message: "`schedule.minimum` (\(floor.yaml)) is above `optimizer.learning_rate` "
                        + "(\(optimizer.learningRate.yaml))"
                )
            ]
        }
        do {
            try rule.validate(base: optimizer.learningRate)
        } catch {
            return [
                Contradiction(
                    fields: [error.setting, "schedule.name"],
                    message: "`\(error.setting)`: \(error.problem)"
                )
            ]
        }
        guard rule.followsValidation && !validates else { return [] }
        return [
            Contradiction(
                fields: ["schedule.name"],
                message:
                    "`schedule.name: \(schedule.name.rawValue)` follows the validation, and this run has none; set "
                    + "`validation.every_epochs` and `data.folds.validation`"
            )
        ]
    }

    /// Warnings: settings that were set and mean nothing to the rule that was chosen.
    var ruleRemarks: [String] {
        func remarks(
            _ section: String,
            _ chosen: any RegistryEntry.Type,
            _ entries: [any RegistryEntry.Type],
            _ settings: SettingValues
        ) -> [String] {
            let declared = Set(chosen.declarations.map(\.name))
            return settings.names.filter { !declared.contains($0) }.map { name in
                let owners = entries.filter { $0.declarations.contains { $0.name == name } }.map { $0.word }
                return "\(section).\(name) means nothing to \(chosen.word); it is for \(Self.inWords(owners))."
            }
        }
        return remarks("sampler", sampler.policy.rule, samplingRules, sampler.settings)
            + remarks("schedule", schedule.name.rule, scheduleRules, schedule.settings)
    }
}
