package import Settings

/// How the learning rate moves after warm-up: constants as data, and a pure function of time and of the validations so far.
///
/// A rule is one file with a type of this protocol, and its entry in `scheduleRules`. Its settings are fields of the section `schedule` of
/// configurations; two rules may share one, which then has one range and one default.
package protocol ScheduleRule: RegistryEntry, Hashable {
    /// Whether it follows the metric of validations.
    var followsValidation: Bool { get }
    /// The lowest rate that the rule goes to, nil where it has none of its own.
    var floor: Double? { get }

    /// Checks the constants against a base rate.
    func validate(base: Double) throws(OptimizationError)

    /// The rate of a step at `time`, without warm-up.
    func rate(at time: ScheduleTime, base: Double, state: LearningRateSchedule.State) -> Double

    /// The state after a validation with this metric; NaN is no improvement.
    func state(
        after metric: Double,
        higherIsBetter: Bool,
        from state: LearningRateSchedule.State
    ) -> LearningRateSchedule.State
}

extension ScheduleRule {
    package var followsValidation: Bool { false }
    package var floor: Double? { nil }
    package func validate(base: Double) throws(OptimizationError) {}

    package func state(
        after metric: Double,
        higherIsBetter: Bool,
        from state: LearningRateSchedule.State
    ) -> LearningRateSchedule.State { state }

    func requireFloor(_ base: Double) throws(OptimizationError) {
        try require("schedule.minimum", floor ?? 0, "0 ≤ minimum ≤ learning rate") { $0 >= 0 && $0 <= base }
    }
}

/// Where a step stands in its run, in epochs.
package struct ScheduleTime: Hashable, Sendable {
    /// Epochs that are over before the step: whole ones, and the share of its own.
    package var epochs: Double
    /// The run's length.
    package var length: Double

    package init(epochs: Double, length: Double) {
        self.epochs = epochs
        self.length = length
    }
}

/// The rules, in the order in which users read them.
package let scheduleRules: [any ScheduleRule.Type] = [
    ConstantRate.self, CosineRate.self, CosineRestarts.self, StepwiseRate.self, PlateauRate.self,
]

/// The word of a rule, as `schedule.name` has it.
package struct ScheduleName: RegistryWord {
    package let rule: any ScheduleRule.Type

    package init(_ rule: any ScheduleRule.Type) { self.rule = rule }

    package var rawValue: String { rule.word }
    package static var entries: [any ScheduleRule.Type] { scheduleRules }
}

extension ScheduleRule {
    /// The setting `minimum`, which rules share; its default is 1e-6.
    static func minimumSetting(_ keyPath: any WritableKeyPath<Self, Double> & Sendable) -> Setting<Self> {
        Setting("minimum", keyPath, .within(0...1000), "The lowest learning rate.")
    }

    /// The setting `factor`, which rules share; its default is 0.1.
    static func factorSetting(_ keyPath: any WritableKeyPath<Self, Double> & Sendable) -> Setting<Self> {
        Setting("factor", keyPath, .above(0, below: 1), "The factor of each fall.")
    }

    /// The setting `every_step`, which rules share; its default is true.
    static func everyStepSetting(_ keyPath: any WritableKeyPath<Self, Bool> & Sendable) -> Setting<Self> {
        Setting("every_step", keyPath, .any, "true moves the rate at every step, false at the start of an epoch.")
    }
}
