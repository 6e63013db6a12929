import Configuration
package import Coordination
import Kernels
import Optimization
import Radiography
package import Sampling

extension RunSetup {
    /// Rounds of validation without a better score after which the run stops; nil never stops it.
    package var earlyStopPatience: UInt32? { configuration.training.earlyStopPatience.map(UInt32.init) }

    /// Whether nothing is left to compute at a state.
    package func isComplete(_ progress: RunProgress) -> Bool {
        var progress = progress
        progress.reconsider(patience: earlyStopPatience)
        if progress.stoppedEarly { return true }
        guard progress.completedSteps >= schedule.totalSteps else { return false }
        let validates = configuration.validates && !folds.validation.isEmpty
        return !validates || progress.validatedAt == progress.completedSteps
    }
}

/// The coordinator's pure decisions for a run, over the module `Optimization`.
package struct RunPolicy: TrainingPolicy {
    private let setup: RunSetup

    package init(_ setup: RunSetup) { self.setup = setup }

    package var initialScheduleState: [UInt64] { Self.words(setup.learningRate.initialState) }

    package func hyperparameters(
        of step: UInt64,
        at location: StepLocation,
        schedule: [UInt64]
    ) -> StepHyperparameters {
        let rate = setup.learningRate.learningRate(
            step: Int(step),
            epochs: setup.schedule.epochs(before: location),
            state: state(schedule)
        )
        let number = Int(step) + 1
        let clip = setup.configuration.optimizer.clipNorm
        return StepHyperparameters(
            learningRate: Float(rate),
            clipNorm: clip > 0 ? Float(clip) : .infinity,
            averageWeight: setup.average?.weight(number) ?? 0,
            optimizer: setup.optimizer.words(step: number, rate: rate)
        )
    }

    package func score(_ counts: [UInt32], countsPerSample: Int) -> ValidationScore {
        let dice = DiceScore(
            stride(from: 0, to: counts.count, by: countsPerSample).map {
                ImageCounts(
                    intersection: Int64(counts[$0]),
                    predicted: Int64(counts[$0 + 1]),
                    truth: Int64(counts[$0 + 2])
                )
            }
        )
        // The loss of a validation sample travels as the bits of a `Float`.
        var loss = 0.0
        let samples = max(1, counts.count / countsPerSample)
        for first in stride(from: 0, to: counts.count, by: countsPerSample) {
            loss += Double(Float(bitPattern: counts[first + 3]))
        }
        loss /= Double(samples)
        // A figure over no image is none.
        let (mean, positive) = (dice.meanDice ?? .nan, dice.positiveDice ?? .nan)
        let metric = setup.configuration.checkpoint.metric
        let score =
            switch metric {
            case .meanDice: mean
            case .positiveDice: positive
            case .loss: loss
            }
        return ValidationScore(
            score: metric.score(score),
            metrics: [
                .init(name: "mean_dice", value: mean), .init(name: "positive_dice", value: positive),
                .init(name: "negative_dice", value: dice.negativeDice ?? .nan), .init(name: "loss", value: loss),
                .init(name: "images", value: Double(dice.images)),
                .init(name: "positives", value: Double(dice.positives)),
            ]
        )
    }

    package func scheduleState(after score: ValidationScore, round: UInt32, schedule: [UInt64]) -> [UInt64] {
        let name = setup.configuration.scheduleMetric.rawValue
        func value(_ name: String) -> Double? {
            score.metrics.first { $0.name == name }?.value
        }
        // Where there are no positives, their figure is none, and that of all images is watched.
        let metric = value(name).flatMap { $0.isNaN ? nil : $0 } ?? value("mean_dice") ?? score.score
        return Self.words(setup.learningRate.state(after: metric, from: state(schedule)))
    }

    /// Integers of one validation sample: intersection, predicted, truth, and the bits of its loss.
    package static let countsPerSample = 4

    private static func words(_ state: LearningRateSchedule.State) -> [UInt64] {
        [
            state.rate.bitPattern, state.best == nil ? 0 : 1, (state.best ?? 0).bitPattern,
            UInt64(state.badValidations),
        ]
    }

    /// A state that an older program stored otherwise starts afresh.
    private func state(_ words: [UInt64]) -> LearningRateSchedule.State {
        guard words.count == 4 else { return setup.learningRate.initialState }
        return LearningRateSchedule.State(
            rate: Double(bitPattern: words[0]),
            best: words[1] == 0 ? nil : Double(bitPattern: words[2]),
            badValidations: Int(truncatingIfNeeded: words[3])
        )
    }
}
