package import Settings

/// Times a factor after `patience` + 1 validations in a row without a new best, never below the minimum: PyTorch's
/// `ReduceLROnPlateau` with its relative threshold.
package struct PlateauRate: ScheduleRule {
    package static let word = "plateau"
    package static let summary = "it falls when validation gets no better."

    package var factor: Double
    package var patience: Int
    package var minimum: Double
    package var threshold: Double

    package init() { self.init(factor: 0.1, minimum: 1e-6) }

    package init(factor: Double, patience: Int = 2, minimum: Double = 0, threshold: Double = 1e-4) {
        self.factor = factor
        self.patience = patience
        self.minimum = minimum
        self.threshold = threshold
    }

    package static let settings: [Setting<PlateauRate>] = [
        minimumSetting(\.minimum), factorSetting(\.factor),
        Setting(
            "patience",
            \.patience,
            .within(0...1_000_000),
            "Validations without improvement that are let pass before a fall."
        ),
        Setting(
            "threshold",
            \.threshold,
            .within(0...1_000_000),
            "The smallest change of checkpoint.metric that counts as improvement, as a share of the best so far."
        ),
    ]

    package var followsValidation: Bool { true }
    package var floor: Double? { minimum }

    package func validate(base: Double) throws(OptimizationError) {
        try require("schedule.factor", factor, "0 < factor < 1") { $0 > 0 && $0 < 1 }
        try require("schedule.patience", Double(patience), "a number ≥ 0") { $0 >= 0 }
        try requireFloor(base)
        try require("schedule.threshold", threshold, "a number ≥ 0") { $0 >= 0 }
    }

    package func rate(at time: ScheduleTime, base: Double, state: LearningRateSchedule.State) -> Double { state.rate }

    package func state(
        after metric: Double,
        higherIsBetter: Bool,
        from state: LearningRateSchedule.State
    ) -> LearningRateSchedule.State {
        var next = state
        let isBetter =
            state.best.map { best in
                higherIsBetter
                    ? metric > best + abs(best) * threshold : metric < best - abs(best) * threshold
            } ?? !metric.isNaN
        if isBetter {
            next.best = metric
            next.badValidations = 0
        } else {
            next.badValidations += 1
        }
        if next.badValidations > patience {
            let reduced = max(state.rate * factor, minimum)
            // PyTorch ignores changes below its eps of 10⁻⁸.
            if state.rate - reduced > 1e-8 { next.rate = reduced }
            next.badValidations = 0
        }
        return next
    }
}

extension ScheduleName {
    package static let plateau = ScheduleName(PlateauRate.self)
}
