package import Sampling

/// What the configuration decides about a run's course: learning rates, scores and schedules.
///
/// A value whose methods are pure functions, so that the coordinator machine stays one: equal histories give equal
/// bits. The shell builds one over the module `Optimization`.
package protocol TrainingPolicy: Sendable {
    /// The state of the schedule before the first step, as words that a checkpoint stores.
    var initialScheduleState: [UInt64] { get }

    /// The hyperparameters of `step`, which stands at `location`.
    func hyperparameters(of step: UInt64, at location: StepLocation, schedule: [UInt64]) -> StepHyperparameters

    /// The score of one round of validation, from the counts of all its samples in sample order.
    ///
    /// - Parameter counts: the configuration's `countsPerSample` integers for each sample, in sample order.
    func score(_ counts: [UInt32], countsPerSample: Int) -> ValidationScore

    /// The state of the schedule after a round of validation.
    func scheduleState(after score: ValidationScore, round: UInt32, schedule: [UInt64]) -> [UInt64]
}

/// The outcome of a round of validation.
package struct ValidationScore: Hashable, Sendable {
    /// The number that best checkpoints and early stopping go by; higher is better.
    package var score: Double
    /// Named values for the metrics, in the order in which they are shown.
    package var metrics: [Metric]

    package init(score: Double, metrics: [Metric]) {
        self.score = score
        self.metrics = metrics
    }

    /// A named value.
    package struct Metric: Hashable, Sendable {
        package var name: String
        package var value: Double

        package init(name: String, value: Double) {
            self.name = name
            self.value = value
        }
    }
}

/// What changes in a run besides weights and optimizer state; a checkpoint stores it, a resumed run starts from it.
package struct RunProgress: Hashable, Sendable {
    /// Committed steps, over the whole run.
    package var completedSteps: UInt64
    /// The number of the last transition by validation; each round of validation is one.
    package var transition: UInt64
    /// The completed steps at the last validation; a run that is resumed between a step after which validation is due
    /// and its end validates first.
    package var validatedAt: UInt64?
    /// The best rounds of validation so far, as many as the run keeps checkpoints of and one at least: the best first, of
    /// equal scores the earlier one.
    package var ranking: [Best]
    package var roundsSinceBest: UInt32
    /// Whether early stopping has ended the run.
    package var stoppedEarly: Bool
    /// The state of the policy's schedule.
    package var scheduleState: [UInt64]

    package init(
        completedSteps: UInt64,
        transition: UInt64,
        validatedAt: UInt64?,
        ranking: [Best],
        roundsSinceBest: UInt32,
        stoppedEarly: Bool,
        scheduleState: [UInt64]
    ) {
        self.completedSteps = completedSteps
        self.transition = transition
        self.validatedAt = validatedAt
        self.ranking = ranking
        self.roundsSinceBest = roundsSinceBest
        self.stoppedEarly = stoppedEarly
        self.scheduleState = scheduleState
    }

    /// The progress of a run that has not begun.
    package static func fresh(scheduleState: [UInt64]) -> RunProgress {
        RunProgress(
            completedSteps: 0,
            transition: 0,
            validatedAt: nil,
            ranking: [],
            roundsSinceBest: 0,
            stoppedEarly: false,
            scheduleState: scheduleState
        )
    }

    /// The best round of validation so far.
    package var best: Best? { ranking.first }

    /// Whether the last round of validation, at this very state, is among the best.
    package var isAtBest: Bool {
        validatedAt == completedSteps && ranking.contains { $0.transition == transition }
    }

    /// One of the best rounds of validation.
    package struct Best: Hashable, Sendable {
        package var transition: UInt64
        package var completedSteps: UInt64
        package var score: Double

        package init(transition: UInt64, completedSteps: UInt64, score: Double) {
            self.transition = transition
            self.completedSteps = completedSteps
            self.score = score
        }
    }

    /// Decides anew whether early stopping has ended the run: a run that is resumed may have another patience.
    package mutating func reconsider(patience: UInt32?) {
        stoppedEarly = patience.map { roundsSinceBest >= $0 } ?? false
    }

    /// Moves ranking, early stopping and schedule by one round of validation, all at once.
    ///
    /// - Parameters:
    ///   - patience: rounds without a better score after which the run stops; nil never stops it.
    ///   - count: how many of the best rounds are remembered; the best one is in any case.
    /// - Returns: the round's place among those, from 0 for the best so far; nil where it is none of them.
    package mutating func conclude(
        _ score: ValidationScore,
        policy: any TrainingPolicy,
        patience: UInt32?,
        keeping count: Int = 1
    ) -> Int? {
        transition += 1
        validatedAt = completedSteps
        let place = enter(score.score, keeping: max(1, count))
        if place == 0 { roundsSinceBest = 0 } else { roundsSinceBest += 1 }
        reconsider(patience: patience)
        scheduleState = policy.scheduleState(
            after: score,
            round: UInt32(truncatingIfNeeded: transition),
            schedule: scheduleState
        )
        return place
    }

    /// Puts the round into the ranking, behind those that are as good: they came before it.
    private mutating func enter(_ score: Double, keeping count: Int) -> Int? {
        // A score that is not a number is never better, so a broken round cannot become the best.
        guard !score.isNaN else { return nil }
        let place = ranking.firstIndex { score > $0.score } ?? ranking.count
        ranking.insert(Best(transition: transition, completedSteps: completedSteps, score: score), at: place)
        if ranking.count > count { ranking.removeSubrange(count...) }
        return place < ranking.count ? place : nil
    }
}
