import Numerics
package import Settings

/// Times a factor at the start of each listed epoch: PyTorch's `MultiStepLR`.
package struct StepwiseRate: ScheduleRule {
    package static let word = "steps"
    package static let summary = "it falls at the epochs that are listed."

    package var factor: Double
    /// Epochs, counted from 0, rising.
    package var milestones: [Int]

    package init() { self.init(milestones: [], factor: 0.1) }

    package init(milestones: [Int], factor: Double) {
        self.milestones = milestones
        self.factor = factor
    }

    package static let settings: [Setting<StepwiseRate>] = [
        factorSetting(\.factor),
        Setting(
            "milestones",
            \.milestones,
            SettingRange(text: "a list of rising numbers of epochs of 1 to 1000000, 100 at most", saysType: true) {
                list in
                list.count <= 100 && list.allSatisfy { (1...1_000_000).contains($0) }
                    && zip(list, list.dropFirst()).allSatisfy(<)
            },
            "The epochs after which the learning rate falls, as in [30, 60]."
        ),
    ]

    package func validate(base: Double) throws(OptimizationError) {
        try require("schedule.factor", factor, "0 < factor < 1") { $0 > 0 && $0 < 1 }
        if milestones.isEmpty {
            throw OptimizationError(
                setting: "schedule.milestones",
                problem: "schedule.name is steps, and no epoch is listed at which the learning rate falls."
            )
        }
    }

    package func rate(at time: ScheduleTime, base: Double, state: LearningRateSchedule.State) -> Double {
        var rate = base
        for milestone in milestones where time.epochs >= Double(milestone) { rate *= factor }
        return rate
    }
}

extension ScheduleName {
    package static let steps = ScheduleName(StepwiseRate.self)
}
