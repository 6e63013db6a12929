import Numerics
package import Settings

/// minimum + (base - minimum)(1 + cos(π t / period)) / 2, t and the period in epochs; periodic as PyTorch's `CosineAnnealingLR`.
package struct CosineRate: ScheduleRule {
    package static let word = "cosine"
    package static let summary = "it falls as a half wave."

    /// Epochs from the top to the minimum; 0 for the run's length.
    package var periodEpochs: Int
    package var minimum: Double
    /// False takes whole epochs for t, as PyTorch does when it is asked once an epoch.
    package var everyStep: Bool

    package init() { self.init(periodEpochs: 0, minimum: 1e-6) }

    package init(periodEpochs: Int, minimum: Double = 0, everyStep: Bool = true) {
        self.periodEpochs = periodEpochs
        self.minimum = minimum
        self.everyStep = everyStep
    }

    package static let settings: [Setting<CosineRate>] = [
        minimumSetting(\.minimum),
        Setting(
            "period_epochs",
            \.periodEpochs,
            .within(0...1_000_000),
            "Epochs from the top to the minimum; after them it rises again. 0 falls over the whole run."
        ),
        everyStepSetting(\.everyStep),
    ]

    package var floor: Double? { minimum }

    package func validate(base: Double) throws(OptimizationError) {
        try require("schedule.period_epochs", Double(periodEpochs), "a number of epochs ≥ 0") { $0 >= 0 }
        try requireFloor(base)
    }

    package func rate(at time: ScheduleTime, base: Double, state: LearningRateSchedule.State) -> Double {
        let epoch = everyStep ? time.epochs : time.epochs.rounded(.down)
        let period = periodEpochs > 0 ? Double(periodEpochs) : time.length
        // The cosine has period 2; taking it off first keeps the argument small in long runs.
        let phase = (epoch / period).truncatingRemainder(dividingBy: 2)
        return minimum + (base - minimum) * (1 + Mathematics.cos(Double.pi * phase)) / 2
    }
}

extension ScheduleName {
    package static let cosine = ScheduleName(CosineRate.self)
}
