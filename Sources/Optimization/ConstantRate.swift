package import Settings

/// The base rate.
package struct ConstantRate: ScheduleRule {
    package static let word = "constant"
    package static let summary = "the learning rate stays."
    package static let settings: [Setting<ConstantRate>] = []

    package init() {}

    package func rate(at time: ScheduleTime, base: Double, state: LearningRateSchedule.State) -> Double { base }
}

extension ScheduleName {
    package static let constant = ScheduleName(ConstantRate.self)
}
