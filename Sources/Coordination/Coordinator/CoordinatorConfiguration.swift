package import Sampling

/// What the coordinator machine is given once, at its start.
package struct CoordinatorConfiguration: Sendable {
    package var job: String
    /// The incarnation of this coordinator; higher than that of any earlier one of the job.
    package var fencing: UInt64
    package var protocolVersion: UInt32
    /// The version of the program; workers of another version are refused, because their kernels may round otherwise.
    package var programVersion: String
    package var numericsProfile: String
    package var datasetDigest: String
    package var networkDigest: String
    /// The resolved configuration as text, for the workers.
    package var resolvedConfiguration: String
    /// The run starts when so many workers are ready.
    package var expectedWorkers: Int
    /// The run goes on as long as it has so many workers; with fewer it saves its state and waits for others.
    package var minimumWorkers: Int
    /// No more workers than this take part at once.
    package var maximumWorkers: Int
    package var schedule: RunSchedule
    package var validation: ValidationSchedule
    package var checkpoints: CheckpointPolicy
    /// Rounds of validation without a better score after which the run stops; nil never stops it.
    package var earlyStopPatience: UInt32?
    package var onNonFinite: NonFinitePolicy
    package var audits: AuditPolicy
    /// The digest of the state is compared before every so many steps; 0 compares it at the start only.
    package var stateDigestInterval: UInt64
    /// Where workers hand checkpoints over and fetch files.
    package var bulkEndpoint: String
    package var timing: CoordinatorTiming
    /// From which the tokens of checkpoints are drawn (`CheckpointShare.token`); nobody else may know it.
    package var tokenSeed: UInt64

    package init(
        job: String,
        fencing: UInt64,
        protocolVersion: UInt32,
        programVersion: String,
        numericsProfile: String,
        datasetDigest: String,
        networkDigest: String,
        resolvedConfiguration: String,
        expectedWorkers: Int,
        minimumWorkers: Int = 1,
        maximumWorkers: Int? = nil,
        schedule: RunSchedule,
        validation: ValidationSchedule,
        checkpoints: CheckpointPolicy,
        earlyStopPatience: UInt32? = nil,
        onNonFinite: NonFinitePolicy = .stop,
        audits: AuditPolicy = .none,
        stateDigestInterval: UInt64 = 1,
        bulkEndpoint: String = "",
        timing: CoordinatorTiming = CoordinatorTiming(),
        tokenSeed: UInt64 = 0
    ) {
        precondition(expectedWorkers > 0, "a run needs a worker")
        self.job = job
        self.fencing = fencing
        self.tokenSeed = tokenSeed
        self.protocolVersion = protocolVersion
        self.programVersion = programVersion
        self.numericsProfile = numericsProfile
        self.datasetDigest = datasetDigest
        self.networkDigest = networkDigest
        self.resolvedConfiguration = resolvedConfiguration
        self.expectedWorkers = expectedWorkers
        self.minimumWorkers = max(1, min(minimumWorkers, expectedWorkers))
        self.maximumWorkers = max(expectedWorkers, maximumWorkers ?? expectedWorkers)
        self.schedule = schedule
        self.validation = validation
        self.checkpoints = checkpoints
        self.earlyStopPatience = earlyStopPatience
        self.onNonFinite = onNonFinite
        self.audits = audits
        self.stateDigestInterval = stateDigestInterval
        self.bulkEndpoint = bulkEndpoint
        self.timing = timing
    }
}

/// What to do with a step whose sums are not finite.
package enum NonFinitePolicy: UInt8, Hashable, Sendable {
    /// End the run.
    case stop
    /// Count the step, but leave the weights alone.
    case skip
}

/// When the run validates, and on what.
package struct ValidationSchedule: Hashable, Sendable {
    /// How often a round is due.
    package enum Interval: Hashable, Sendable {
        case never
        /// After every so many epochs, and at the end of the run.
        case epochs(Int)
        /// After every so many steps, and at the end of the run.
        case steps(UInt64)
    }

    package var interval: Interval
    /// Validation samples; 0 never validates.
    package var sampleCount: UInt32
    /// Integers that a worker returns for each sample.
    package var countsPerSample: Int
    /// Samples of one request; who computes a request does not change the result.
    package var samplesPerRequest: UInt32

    package init(
        interval: Interval,
        sampleCount: UInt32,
        countsPerSample: Int = 3,
        samplesPerRequest: UInt32 = 8
    ) {
        precondition(countsPerSample > 0 && samplesPerRequest > 0, "validation without counts or samples")
        self.interval = interval
        self.sampleCount = sampleCount
        self.countsPerSample = countsPerSample
        self.samplesPerRequest = samplesPerRequest
    }

    /// A run without validation.
    package static let never = ValidationSchedule(interval: .never, sampleCount: 0)

    /// Whether a round is due when `steps` steps of `schedule` are complete.
    package func isDue(after steps: UInt64, of schedule: RunSchedule) -> Bool {
        guard sampleCount > 0, steps > 0 else { return false }
        switch interval {
        case .never: return false
        case .steps(let interval): return steps == schedule.totalSteps || steps % max(1, interval) == 0
        case .epochs(let interval):
            if steps == schedule.totalSteps { return true }
            return schedule.epochEnding(after: steps).map { ($0 + 1) % max(1, interval) == 0 } ?? false
        }
    }
}

/// When checkpoints are taken.
///
/// The run always ends with one, where it ends in order.
package struct CheckpointPolicy: Hashable, Sendable {
    /// After every so many steps; nil does not count steps.
    ///
    package var everySteps: UInt64?
    /// As soon as so much time has passed since the last; nil does not watch the time.
    package var every: Duration?
    /// After each round of validation that is then one of so many best; 0 saves none for that.
    package var best: Int
    /// Among how many workers a checkpoint's tensors are divided at most.
    package var streams: Int
    /// The folder of the checkpoints, for workers on the same file system.
    package var folder: String

    package init(
        everySteps: UInt64? = nil,
        every: Duration? = nil,
        best: Int = 0,
        streams: Int = 4,
        folder: String = ""
    ) {
        precondition(streams > 0, "a checkpoint needs a stream")
        precondition(best >= 0, "fewer than no checkpoints cannot be kept")
        self.everySteps = everySteps
        self.every = every
        self.best = best
        self.streams = streams
        self.folder = folder
    }
}

/// How long the coordinator waits for what.
package struct CoordinatorTiming: Hashable, Sendable {
    /// How often coordinator and workers give a sign of life; also the finest grain of deadlines.
    package var heartbeatInterval: Duration = .milliseconds(250)
    /// A worker without a sign of life for so long is lost.
    package var workerSilence: Duration = .seconds(5)
    /// A coordinator without a sign of life for so long is gone, in the eyes of a worker.
    package var coordinatorSilence: Duration = .seconds(5)
    /// How long a worker waits for a coordinator that is gone.
    package var gracePeriod: Duration = .seconds(10)
    /// How long the run waits for workers to join.
    package var joining: Duration = .seconds(60)
    /// How long a coordinator that has taken over waits for the workers of the one before to come back.
    package var reattaching: Duration = .seconds(5)
    /// How long a worker may load data and state.
    package var preparing: Duration = .seconds(120)
    /// How long a worker may stand still in a phase: time without progress, not the phase's whole length.
    package var computing: Duration = .seconds(120)
    package var reducing: Duration = .seconds(30)
    package var applying: Duration = .seconds(30)
    package var validating: Duration = .seconds(120)
    /// How long a checkpoint may be without a further piece, and how long the disk may take for it.
    package var streaming: Duration = .seconds(60)
    package var saving: Duration = .seconds(120)
    /// How long uncertain signs of a fault wait for the process's exit or another certain one.
    package var blameWindow: Duration = .milliseconds(300)
    /// How long a run with fewer workers than its minimum waits for others.
    package var pausing: Duration = .seconds(60)
    /// The pause before a checkpoint that the run waits for is tried again: doubled with each attempt, up to the second.
    package var saveRetry: Duration = .seconds(1)
    /// For how long nobody is admitted, at most, after a checkpoint for those who join could not be written.
    package var admissionRetry: Duration = .seconds(10)
    /// How often the last checkpoint of a run is tried, and how long after its first attempt another one may begin; two
    /// attempts are made in any case.
    package var lastSaves = 5
    package var lastSaving: Duration = .seconds(30)
    /// How long after the first request to end another one counts as the second, which stops at once.
    package var secondRequest: Duration = .seconds(1)
    /// After how long a wait is worth a line in the log.
    package var notice: Duration = .seconds(5)

    package init() {}

    /// How long a worker may stand still in `phase`.
    package func limit(of phase: WorkerPhase) -> Duration {
        switch phase {
        case .joining: joining
        case .preparing: preparing
        case .computing: computing
        case .reducing: reducing
        case .validating: validating
        case .applying, .waiting, .reduced, .halted: applying
        }
    }

    /// What workers are told of it.
    package var forWorkers: WorkerTiming {
        WorkerTiming(
            heartbeatInterval: heartbeatInterval,
            coordinatorSilence: coordinatorSilence,
            gracePeriod: gracePeriod
        )
    }
}
