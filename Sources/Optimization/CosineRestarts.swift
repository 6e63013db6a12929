import Numerics
package import Settings

/// Half waves from the base rate to the minimum, one after the other, each longer by a factor: PyTorch's
/// `CosineAnnealingWarmRestarts` (Loshchilov and Hutter, "SGDR", 2017).
package struct CosineRestarts: ScheduleRule {
    package static let word = "restarts"
    package static let summary = "half waves one after the other, each from the top."

    /// Epochs of the first wave, T₀.
    package var cycleEpochs: Int
    /// How many times as long as the one before each wave is, T_mult.
    package var cycleGrowth: Int
    package var minimum: Double
    /// False takes whole epochs for the time.
    package var everyStep: Bool

    package init() { self.init(cycleEpochs: 10, minimum: 1e-6) }

    package init(cycleEpochs: Int, cycleGrowth: Int = 1, minimum: Double = 0, everyStep: Bool = true) {
        self.cycleEpochs = cycleEpochs
        self.cycleGrowth = cycleGrowth
        self.minimum = minimum
        self.everyStep = everyStep
    }

    package static let settings: [Setting<CosineRestarts>] = [
        minimumSetting(\.minimum),
        Setting("cycle_epochs", \.cycleEpochs, .within(1...1_000_000), "Epochs of the first wave."),
        Setting(
            "cycle_growth",
            \.cycleGrowth,
            .within(1...1000),
            "How many times as long as the one before each wave is."
        ),
        everyStepSetting(\.everyStep),
    ]

    package var floor: Double? { minimum }

    package func validate(base: Double) throws(OptimizationError) {
        try require("schedule.cycle_epochs", Double(cycleEpochs), "a number of epochs ≥ 1") { $0 >= 1 }
        try require("schedule.cycle_growth", Double(cycleGrowth), "a number ≥ 1") { $0 >= 1 }
        try requireFloor(base)
    }

    package func rate(at time: ScheduleTime, base: Double, state: LearningRateSchedule.State) -> Double {
        let epoch = everyStep ? time.epochs : time.epochs.rounded(.down)
        var length = Double(cycleEpochs)
        var rest = epoch
        if cycleGrowth == 1 {
            rest = rest.truncatingRemainder(dividingBy: length)
        } else {
            // A wave is twice as long as the one before, at least: few turns.
            while rest >= length {
                rest -= length
                length *= Double(cycleGrowth)
            }
        }
        return minimum + (base - minimum) * (1 + Mathematics.cos(Double.pi * (rest / length))) / 2
    }
}

extension ScheduleName {
    package static let restarts = ScheduleName(CosineRestarts.self)
}
