/// How the learning rate moves over a run: a rule as data, and a value that remembers validations.
///
/// Times warm-up, a linear ramp over the first steps. Everything is computed in `Double` with deterministic functions,
/// by the coordinator.
package struct LearningRateSchedule: Sendable {
    package var base: Double
    /// The rule after warm-up.
    package var rule: any ScheduleRule
    /// The run's length in epochs.
    package var length: Double
    /// Whether a larger metric of validation is a better one.
    package var higherIsBetter: Bool
    /// Steps of warm-up, 0 for none.
    package var warmUpSteps: Int
    /// The factor at step 0; it grows linearly to 1 at step `warmUpSteps`.
    package var warmUpStart: Double

    package init(
        base: Double,
        rule: any ScheduleRule = ConstantRate(),
        length: Double = 1,
        higherIsBetter: Bool = true,
        warmUpSteps: Int = 0,
        warmUpStart: Double = 0.001
    ) {
        self.base = base
        self.rule = rule
        self.length = length
        self.higherIsBetter = higherIsBetter
        self.warmUpSteps = warmUpSteps
        self.warmUpStart = warmUpStart
    }

    /// What the schedule remembers between validations; part of checkpoints.
    package struct State: Hashable, Sendable, Codable {
        /// The base rate times the reductions so far.
        package var rate: Double
        /// The best metric so far, nil before the first validation.
        package var best: Double?
        /// Validations since the best one or the last reduction.
        package var badValidations: Int

        package init(rate: Double, best: Double? = nil, badValidations: Int = 0) {
            self.rate = rate
            self.best = best
            self.badValidations = badValidations
        }
    }

    /// The state at the start of a run.
    package var initialState: State { State(rate: base) }

    /// Checks the constants.
    package func validate() throws(OptimizationError) {
        try require("optimizer.learning_rate", base, "a number > 0") { $0 > 0 }
        try require("schedule.warm_up_steps", Double(warmUpSteps), "a number ≥ 0") { $0 >= 0 }
        try require("schedule.warm_up_start", warmUpStart, "0 ≤ start ≤ 1") { $0 >= 0 && $0 <= 1 }
        try require("training.epochs", length, "a number of epochs > 0") { $0 > 0 }
        try rule.validate(base: base)
    }

    /// The learning rate of a step, counted from 0 over the run, before which `epochs` epochs are over: whole ones and
    /// the share of the step's own.
    package func learningRate(step: Int, epochs: Double, state: State) -> Double {
        precondition(step >= 0 && epochs >= 0, "step \(step) after \(epochs) epochs")
        var rate = rule.rate(at: ScheduleTime(epochs: epochs, length: length), base: base, state: state)
        if step < warmUpSteps {
            rate *= warmUpStart + (1 - warmUpStart) * (Double(step) / Double(warmUpSteps))
        }
        return rate
    }

    /// The state after a validation with this metric: a pure transition in which NaN is no improvement.
    package func state(after metric: Double, from state: State) -> State {
        rule.state(after: metric, higherIsBetter: higherIsBetter, from: state)
    }
}
