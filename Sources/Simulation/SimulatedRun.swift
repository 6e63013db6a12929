package import Coordination
import Reduction
package import Sampling

/// What is trained in a simulation: the same for all sessions of one seed, whoever computes it.
package struct SimulatedRun: Sendable {
    package let seed: UInt64
    package let sampler: Sampler
    package let schedule: RunSchedule
    package let validation: ValidationSchedule
    package let patience: UInt32?
    /// Of how many of the best rounds of validation checkpoints are kept.
    package let best: Int
    /// The epochs' plans, made once.
    let plans: [EpochPlan]
    /// Entry k is the undisturbed run's state when k steps are complete.
    package let reference: [ReferenceState]

    /// The undisturbed run at one state.
    package struct ReferenceState: Hashable, Sendable {
        package var weights: SymbolicValue
        /// The sum of the step that begins here; nil at the end.
        var sum: SymbolicValue?
        /// Before and after the validation that is due here; equal where none is.
        package var before: RunProgress
        package var after: RunProgress
    }

    /// A run over `epochs` epochs of `samples` samples, and what becomes of it when nothing goes wrong.
    package init(
        seed: UInt64,
        samples: Int,
        epochs: Int,
        microbatches: Int,
        microbatchSize: Int,
        validation: ValidationSchedule,
        patience: UInt32? = nil,
        best: Int = 1,
        maximumSteps: UInt64? = nil
    ) throws(SamplingError) {
        self.seed = seed
        sampler = try Sampler(
            rule: PositivesAndShare(0.5, last: 0.3),
            seed: seed,
            samples: Array(0..<samples),
            isPositive: (0..<samples).map { $0 % 3 != 1 },
            // As if another epoch followed: the share never comes to its end.
            epochs: epochs + 1
        )
        let sampler = sampler
        func schedule(steps: UInt64?) -> RunSchedule {
            RunSchedule(
                epochSampleCounts: (0..<epochs).map(sampler.sampleCount),
                microbatches: microbatches,
                microbatchSize: microbatchSize,
                steps: steps
            )
        }
        let length = schedule(steps: nil).totalSteps
        let schedule = schedule(steps: min(length, maximumSteps ?? length))
        self.schedule = schedule
        self.validation = validation
        self.patience = patience
        self.best = best
        let plans = (0..<epochs).map {
            sampler.plan(of: $0, microbatches: microbatches, microbatchSize: microbatchSize)
        }
        self.plans = plans
        let policy = SimulatedPolicy()
        var progress = RunProgress.fresh(scheduleState: policy.initialScheduleState)
        var weights = SymbolicValue.initial(seed: seed)
        var states: [ReferenceState] = []
        while true {
            let before = progress
            if validation.isDue(after: progress.completedSteps, of: schedule) {
                let counts = (0..<validation.sampleCount).flatMap { weights.counts(ofSample: $0) }
                _ = progress.conclude(
                    policy.score(counts, countsPerSample: validation.countsPerSample),
                    policy: policy,
                    patience: patience,
                    keeping: best
                )
            }
            if progress.stoppedEarly || progress.completedSteps == schedule.totalSteps {
                states.append(ReferenceState(weights: weights, sum: nil, before: before, after: progress))
                break
            }
            let step = progress.completedSteps
            let location = schedule.location(of: step)
            let at = weights
            let tree = SumTree(leafCount: location.batch.microbatchCount)
            let sum = SymbolicValue.fold(tree.root, of: tree) { index in
                .gradient(
                    weights: at,
                    step: step,
                    index: index,
                    microbatch: plans[location.epoch].microbatch(index, ofStep: location.stepInEpoch)
                )
            }
            states.append(ReferenceState(weights: weights, sum: sum, before: before, after: progress))
            weights = weights.applying(
                sum,
                policy.hyperparameters(of: step, at: location, schedule: progress.scheduleState)
            )
            progress.completedSteps += 1
        }
        reference = states
    }

    /// The steps of the undisturbed run.
    package var lastStep: UInt64 { UInt64(reference.count - 1) }

    /// The gradient of microbatch `index` of `step` at `weights`.
    func gradient(_ index: Int, ofStep step: UInt64, weights: SymbolicValue) -> SymbolicValue {
        let location = schedule.location(of: step)
        return .gradient(
            weights: weights,
            step: step,
            index: index,
            microbatch: plans[location.epoch].microbatch(index, ofStep: location.stepInEpoch)
        )
    }
}

/// A policy whose learning rate depends on step, epoch and all rounds of validation so far.
struct SimulatedPolicy: TrainingPolicy {
    var initialScheduleState: [UInt64] { [1] }

    func hyperparameters(of step: UInt64, at location: StepLocation, schedule: [UInt64]) -> StepHyperparameters {
        let rate = 1 / Float(1 + step) + Float(location.epoch) + Float(schedule[0] % 1024)
        return StepHyperparameters(
            learningRate: rate,
            optimizer: [(rate * 2).bitPattern, (1 / Float(2 + step)).bitPattern]
        )
    }

    func score(_ counts: [UInt32], countsPerSample: Int) -> ValidationScore {
        // The order of additions matters here as it does in floating point.
        var score = 0.0
        for (index, count) in counts.enumerated() { score = score * 0.999 + Double(count) / Double(index + 1) }
        return ValidationScore(score: score, metrics: [.init(name: "score", value: score)])
    }

    func scheduleState(after score: ValidationScore, round: UInt32, schedule: [UInt64]) -> [UInt64] {
        [SymbolicValue(kind: 7, schedule[0], score.score.bitPattern, UInt64(round)).bits]
    }
}
