package import Reduction

/// A message from the coordinator to a worker.
package struct CoordinatorMessage: Hashable, Sendable {
    /// The incarnation of the coordinator: workers obey the highest they have seen and ignore lower ones.
    package var fencing: UInt64
    package var body: Body

    package init(fencing: UInt64, body: Body) {
        self.fencing = fencing
        self.body = body
    }

    /// What the coordinator can say.
    ///
    /// Indirect: a message is made once, and handed on many times.
    package indirect enum Body: Hashable, Sendable {
        case welcome(Welcome)
        case refuse(reason: String)
        case membership(Membership)
        case assign(Assignment)
        case commit(Commit)
        case abandon(step: UInt64, generation: UInt32, reason: String)
        case validate(ValidationRequest)
        case checkpoint(CheckpointRequest)
        case drain(reason: String)
        case heartbeat
        case finish(Finish)
    }
}

/// The worker is part of the job.
package struct Welcome: Hashable, Sendable {
    package var job: String
    package var worker: WorkerNumber
    /// The resolved configuration of the run, as text.
    package var configuration: String
    package var datasetDigest: String
    package var numericsProfile: String
    /// Where the state comes from; nil draws fresh weights from the configuration's seed.
    package var resume: ResumeSource?
    package var timing: WorkerTiming
    /// Where the worker hands checkpoints over and fetches files.
    package var bulkEndpoint: String

    package init(
        job: String,
        worker: WorkerNumber,
        configuration: String,
        datasetDigest: String,
        numericsProfile: String,
        resume: ResumeSource?,
        timing: WorkerTiming,
        bulkEndpoint: String = ""
    ) {
        self.job = job
        self.worker = worker
        self.configuration = configuration
        self.datasetDigest = datasetDigest
        self.numericsProfile = numericsProfile
        self.resume = resume
        self.timing = timing
        self.bulkEndpoint = bulkEndpoint
    }
}

/// The checkpoint that a run goes on from.
package struct ResumeSource: Hashable, Sendable {
    package var completedSteps: UInt64
    /// The checkpoint's file name.
    package var file: String
    /// The folder it stands in; workers that cannot open it there fetch it.
    package var folder: String

    package init(completedSteps: UInt64, file: String, folder: String) {
        self.completedSteps = completedSteps
        self.file = file
        self.folder = folder
    }
}

/// The intervals that a worker keeps.
package struct WorkerTiming: Hashable, Sendable {
    /// How often the worker gives a sign of life.
    package var heartbeatInterval: Duration
    /// After how long without a message the coordinator counts as gone.
    package var coordinatorSilence: Duration
    /// Seconds that a worker waits for its coordinator to come back before it exits.
    package var gracePeriod: Duration

    package init(heartbeatInterval: Duration, coordinatorSilence: Duration, gracePeriod: Duration) {
        self.heartbeatInterval = heartbeatInterval
        self.coordinatorSilence = coordinatorSilence
        self.gracePeriod = gracePeriod
    }
}

/// Who computes what in one attempt at a step.
package struct Assignment: Hashable, Sendable {
    /// The cover of the step's sum; it names step and generation.
    package var plan: ReductionPlan
    /// The version of the membership whose members the plan names.
    package var membership: UInt32
    /// Whether the workers report the digest of their state before this step.
    package var wantsStateDigest: Bool
    /// Microbatches whose gradient a second worker computes too, or a third one where two do not agree.
    package var audits: [Audit]

    package init(plan: ReductionPlan, membership: UInt32, wantsStateDigest: Bool, audits: [Audit] = []) {
        self.plan = plan
        self.membership = membership
        self.wantsStateDigest = wantsStateDigest
        self.audits = audits
    }

    /// A microbatch and a worker that computes it beside its own, outside of the sum.
    package struct Audit: Hashable, Sendable {
        package var microbatch: Int
        package var worker: WorkerNumber

        package init(microbatch: Int, worker: WorkerNumber) {
            self.microbatch = microbatch
            self.worker = worker
        }
    }

    package var step: UInt64 { plan.step }
    package var generation: UInt32 { plan.generation }

    /// The microbatches that `worker` computes, ascending; empty where it only adds.
    package func microbatches(of worker: WorkerNumber) -> [Int] {
        var result: [Int] = []
        for contribution in plan.contributions where contribution.owner == worker {
            result += plan.tree.leaves(of: contribution.node)
        }
        return result
    }
}

extension Assignment {
    /// The audited microbatches that `worker` computes, for the sum or beside it, ascending.
    package func auditedMicrobatches(of worker: WorkerNumber) -> [Int] {
        if audits.isEmpty { return [] }
        let own = Set(microbatches(of: worker))
        return Set(audits.filter { own.contains($0.microbatch) || $0.worker == worker }.map(\.microbatch)).sorted()
    }
}

/// A step counts: its sums are applied to the weights.
package struct Commit: Hashable, Sendable {
    package var step: UInt64
    package var hyperparameters: StepHyperparameters
    /// Whether the workers report the digest of their state with `applied`.
    package var wantsStateDigest: Bool
    /// The next step, where nothing stands between: workers begin it as soon as they have applied this one.
    package var next: Assignment?

    package init(
        step: UInt64,
        hyperparameters: StepHyperparameters,
        wantsStateDigest: Bool,
        next: Assignment?
    ) {
        self.step = step
        self.hyperparameters = hyperparameters
        self.wantsStateDigest = wantsStateDigest
        self.next = next
    }
}

/// What the coordinator computes for the optimizers of one step; workers use these bits and compute none themselves.
///
/// Constants of a run (betas, epsilon, momentum) stand in the resolved configuration instead.
package struct StepHyperparameters: Hashable, Sendable {
    /// The schedule's learning rate, for people.
    package var learningRate: Float
    /// The largest norm of the gradient; infinity does not clip.
    package var clipNorm: Float
    /// The weight of the new weights in their moving average; 0 where none is kept.
    package var averageWeight: Float
    /// Whether the step leaves the weights alone, because a sum was not finite.
    package var skipsUpdate: Bool
    /// What the optimizer wrote for itself: nobody else knows what it means.
    package var optimizer: [UInt32]

    package init(
        learningRate: Float,
        clipNorm: Float = .infinity,
        averageWeight: Float = 0,
        skipsUpdate: Bool = false,
        optimizer: [UInt32] = []
    ) {
        self.learningRate = learningRate
        self.clipNorm = clipNorm
        self.averageWeight = averageWeight
        self.skipsUpdate = skipsUpdate
        self.optimizer = optimizer
    }
}

/// Some samples to validate on.
package struct ValidationRequest: Hashable, Sendable {
    package var round: UInt32
    package var completedSteps: UInt64
    /// Indices into the validation samples, in their order; not empty.
    package var samples: Range<UInt32>

    package init(round: UInt32, completedSteps: UInt64, samples: Range<UInt32>) {
        self.round = round
        self.completedSteps = completedSteps
        self.samples = samples
    }
}

/// A worker's part of a checkpoint is asked for.
package struct CheckpointRequest: Hashable, Sendable {
    package var completedSteps: UInt64
    package var share: CheckpointShare

    package init(completedSteps: UInt64, share: CheckpointShare) {
        self.completedSteps = completedSteps
        self.share = share
    }
}

/// Part `part` of `parts` of a checkpoint's tensors.
package struct CheckpointShare: Hashable, Sendable {
    package var part: UInt32
    package var parts: UInt32
    /// What shows who hands tensors over that it was asked for this part, this time: known to it and the coordinator alone.
    package var token: UInt64

    package init(part: UInt32, parts: UInt32, token: UInt64 = 0) {
        self.part = part
        self.parts = parts
        self.token = token
    }

    /// The tensors of this part: a contiguous run of the list, so that the parts have about equal bytes.
    ///
    /// The parts of one list are disjoint and cover it. A tensor belongs to the part in which its middle byte falls.
    package func tensors(byteCounts: [Int]) -> Range<Int> {
        let total = byteCounts.reduce(0, +)
        func boundary(_ part: Int) -> Int {
            if part == 0 { return 0 }
            if part == Int(parts) { return byteCounts.count }
            let limit = total / Int(parts) * part + total % Int(parts) * part / Int(parts)
            var before = 0
            for (index, count) in byteCounts.enumerated() {
                if before + count / 2 >= limit { return index }
                before += count
            }
            return byteCounts.count
        }
        return boundary(Int(part))..<boundary(Int(part) + 1)
    }
}

/// The run is over for the worker.
package struct Finish: Hashable, Sendable {
    package var kind: RunOutcome.Kind
    package var message: String

    package init(kind: RunOutcome.Kind, message: String) {
        self.kind = kind
        self.message = message
    }
}
