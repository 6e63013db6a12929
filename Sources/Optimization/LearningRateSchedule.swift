import Numerics

/// How the learning rate moves over a run: a rule as data, and a value that remembers validations.
///
/// Times warm-up, a linear ramp over the first steps. Everything is computed in `Double` with deterministic functions,
/// by the coordinator.
package struct LearningRateSchedule: Hashable, Sendable, Codable {
    /// The rule after warm-up.
    package enum Rule: Hashable, Sendable, Codable {
        case constant
        /// minimum + (base - minimum)(1 + cos(π t / period)) / 2, t and `period` in epochs; periodic as PyTorch's
        /// `CosineAnnealingLR`. t is whole epochs unless `everyStep`.
        case cosine(period: Double, minimum: Double, everyStep: Bool)
        /// Times `factor` after `patience` + 1 validations in a row without a new best, never below `minimum`:
        /// PyTorch's `ReduceLROnPlateau` with its relative threshold.
        case plateau(factor: Double, patience: Int, minimum: Double, threshold: Double, higherIsBetter: Bool)
    }

    package var base: Double
    package var rule: Rule
    /// Steps of warm-up, 0 for none.
    package var warmUpSteps: Int
    /// The factor at step 0; it grows linearly to 1 at step `warmUpSteps`.
    package var warmUpStart: Double

    package init(base: Double, rule: Rule = .constant, warmUpSteps: Int = 0, warmUpStart: Double = 0.001) {
        self.base = base
        self.rule = rule
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
        switch rule {
        case .constant: break
        case .cosine(let period, let minimum, _):
            try require("schedule.period", period, "a number of epochs > 0") { $0 > 0 }
            try require("schedule.minimum", minimum, "0 ≤ minimum ≤ learning rate") { $0 >= 0 && $0 <= base }
        case .plateau(let factor, let patience, let minimum, let threshold, _):
            try require("schedule.factor", factor, "0 < factor < 1") { $0 > 0 && $0 < 1 }
            try require("schedule.patience", Double(patience), "a number ≥ 0") { $0 >= 0 }
            try require("schedule.minimum", minimum, "0 ≤ minimum ≤ learning rate") { $0 >= 0 && $0 <= base }
            try require("schedule.threshold", threshold, "a number ≥ 0") { $0 >= 0 }
        }
    }

    /// The learning rate of a step, counted from 0 over the run, before which `epochs` epochs are over: whole ones and
    /// the share of the step's own.
    package func learningRate(step: Int, epochs: Double, state: State) -> Double {
        precondition(step >= 0 && epochs >= 0, "step \(step) after \(epochs) epochs")
        var rate: Double
        switch rule {
        case .constant:
            rate = base
        case .cosine(let period, let minimum, let everyStep):
            let epoch = everyStep ? epochs : epochs.rounded(.down)
            // The cosine has period 2; taking it off first keeps the argument small in long runs.
            let phase = (epoch / period).truncatingRemainder(dividingBy: 2)
            rate = minimum + (base - minimum) * (1 + Mathematics.cos(Double.pi * phase)) / 2
        case .plateau:
            rate = state.rate
        }
        if step < warmUpSteps {
            rate *= warmUpStart + (1 - warmUpStart) * (Double(step) / Double(warmUpSteps))
        }
        return rate
    }

    /// The state after a validation with this metric: a pure transition in which NaN is no improvement.
    package func state(after metric: Double, from state: State) -> State {
        guard case .plateau(let factor, let patience, let minimum, let threshold, let higherIsBetter) = rule else {
            return state
        }
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
