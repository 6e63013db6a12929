/// A message from a worker to the coordinator.
package struct WorkerMessage: Hashable, Sendable {
    /// The token of the sending process: drawn at random, or given by the launcher that started it.
    package var incarnation: UInt64
    package var body: Body

    package init(incarnation: UInt64, body: Body) {
        self.incarnation = incarnation
        self.body = body
    }

    /// What a worker can say.
    ///
    /// Indirect: a message is made once, and handed on many times.
    package indirect enum Body: Hashable, Sendable {
        case hello(Hello)
        case ready(Ready)
        case heartbeat(Heartbeat)
        case reduced(ReducedReport)
        /// The digest is that of the state now, where the commit asked for it.
        case applied(completedSteps: UInt64, stateDigest: Digest?)
        case validated(ValidationResult)
        case checkpointPiece(CheckpointPiece)
        case failure(FailureReport)
        case leaving(reason: String)
    }
}

/// The first message of a worker; repeated until it is answered.
package struct Hello: Hashable, Sendable {
    package var protocolVersion: UInt32
    package var programVersion: String
    package var hostName: String
    /// Boot id and memory namespace: workers with equal identities can share memory.
    package var hostIdentity: String
    package var processID: Int32
    /// Compute threads.
    package var threads: UInt32
    /// The numerics profiles that this machine can honour.
    package var numericsProfiles: [String]
    /// The job the worker wants to serve; nil serves any.
    package var job: String?
    /// Where the worker's data plane listens.
    package var endpoints: [String]
    /// The digest of the data set that the worker sees, where it knows one already.
    package var datasetDigest: String?
    /// The seat that the worker holds from an earlier incarnation of the coordinator.
    package var seat: Seat?

    package init(
        protocolVersion: UInt32,
        programVersion: String,
        hostName: String,
        hostIdentity: String,
        processID: Int32,
        threads: UInt32,
        numericsProfiles: [String],
        job: String?,
        endpoints: [String],
        datasetDigest: String?,
        seat: Seat?
    ) {
        self.protocolVersion = protocolVersion
        self.programVersion = programVersion
        self.hostName = hostName
        self.hostIdentity = hostIdentity
        self.processID = processID
        self.threads = threads
        self.numericsProfiles = numericsProfiles
        self.job = job
        self.endpoints = endpoints
        self.datasetDigest = datasetDigest
        self.seat = seat
    }
}

/// What a worker holds from an earlier incarnation of the coordinator: with it a new one goes on where that one died.
package struct Seat: Hashable, Sendable {
    package var worker: WorkerNumber
    /// The highest incarnation of a coordinator that the worker has heard of.
    package var fencing: UInt64
    /// Steps that are applied to the worker's state.
    package var completedSteps: UInt64
    /// Whether the worker has been a member; one that has not has loaded its data, or still does.
    package var isMember: Bool
    /// Whether step `completedSteps` is committed, and is just being applied.
    package var isApplying: Bool
    /// The highest attempt at its next step that the worker was assigned; 0 where it was assigned none.
    package var generation: UInt32
    /// What the worker reported last, at most two steps, the older one first.
    package var reports: [ReducedReport]

    package init(
        worker: WorkerNumber,
        fencing: UInt64,
        completedSteps: UInt64,
        isMember: Bool = true,
        isApplying: Bool = false,
        generation: UInt32 = 0,
        reports: [ReducedReport] = []
    ) {
        self.worker = worker
        self.fencing = fencing
        self.completedSteps = completedSteps
        self.isMember = isMember
        self.isApplying = isApplying
        self.generation = generation
        self.reports = reports
    }

    /// The steps that are known to be committed.
    package var committedSteps: UInt64 { isApplying ? completedSteps + 1 : completedSteps }

    /// Whether the worker stands before `step` and holds the sums of it.
    package func holdsSums(of step: UInt64) -> Bool {
        completedSteps == step && reports.contains { $0.step == step }
    }
}

/// The worker has loaded its data and state.
package struct Ready: Hashable, Sendable {
    package var completedSteps: UInt64
    /// The digest of weights, buffers and optimizer state.
    package var stateDigest: Digest
    package var datasetDigest: String
    /// The digest of the network's parameter names and shapes.
    package var networkDigest: String
    /// Where the worker's data plane can be reached, now that its memory is there; replaces what its hello said.
    package var endpoints: [String]

    package init(
        completedSteps: UInt64,
        stateDigest: Digest,
        datasetDigest: String,
        networkDigest: String,
        endpoints: [String] = []
    ) {
        self.completedSteps = completedSteps
        self.stateDigest = stateDigest
        self.datasetDigest = datasetDigest
        self.networkDigest = networkDigest
        self.endpoints = endpoints
    }
}

/// A sign of life, sent every interval whatever the worker is doing.
package struct Heartbeat: Hashable, Sendable {
    package var phase: WorkerPhase
    /// The step that the phase belongs to.
    package var step: UInt64
    /// A counter that moves whenever the worker gets on: a worker that stands still keeps it.
    package var progress: UInt64
    /// How long the worker has been in the phase.
    package var inPhase: Duration

    package init(phase: WorkerPhase, step: UInt64, progress: UInt64, inPhase: Duration) {
        self.phase = phase
        self.step = step
        self.progress = progress
        self.inPhase = inPhase
    }
}

/// The worker holds the sums of a step.
package struct ReducedReport: Hashable, Sendable {
    package var step: UInt64
    package var generation: UInt32
    /// The digest of all sums.
    package var sumsDigest: Digest
    /// The digest of the state before the step, where the assignment asked for it.
    package var stateDigest: Digest?
    /// The losses of the global batch: the total, then its parts in the configuration's order.
    package var losses: [Float]
    /// The norm of the gradient before clipping.
    package var gradientNorm: Double
    /// Where a sum is not finite: which one, in words.
    package var nonFinite: String?
    /// The first microbatch of the worker's own whose gradient is not finite; `nonFinite` then says where in it.
    package var nonFiniteMicrobatch: UInt32?
    /// The audited microbatches that the worker has computed, for the sum or beside it, ascending.
    package var audits: [AuditDigest]
    package var timings: StepTimings

    package init(
        step: UInt64,
        generation: UInt32,
        sumsDigest: Digest,
        stateDigest: Digest?,
        losses: [Float],
        gradientNorm: Double,
        nonFinite: String?,
        nonFiniteMicrobatch: UInt32? = nil,
        audits: [AuditDigest] = [],
        timings: StepTimings
    ) {
        self.step = step
        self.generation = generation
        self.sumsDigest = sumsDigest
        self.stateDigest = stateDigest
        self.losses = losses
        self.gradientNorm = gradientNorm
        self.nonFinite = nonFinite
        self.nonFiniteMicrobatch = nonFiniteMicrobatch
        self.audits = audits
        self.timings = timings
    }
}

/// What one worker found the gradient of an audited microbatch to be.
package struct AuditDigest: Hashable, Sendable {
    package var microbatch: UInt32
    /// Of its gradient, statistics and losses, before they are added to anything.
    package var digest: Digest

    package init(microbatch: UInt32, digest: Digest) {
        self.microbatch = microbatch
        self.digest = digest
    }
}

/// Where a worker's time of one step went, and what it did in it.
package struct StepTimings: Hashable, Sendable {
    package var data: Duration
    package var compute: Duration
    package var communication: Duration
    /// The part of the communication that ran while microbatches were computed.
    package var hiddenCommunication: Duration
    package var wait: Duration
    /// From the beginning of the attempt until the worker's own microbatches were computed.
    package var computing: Duration
    /// The other worker whose nodes or sums came last.
    package var waitedFor: WorkerNumber?
    /// Samples that the worker computed.
    package var samples: UInt32
    /// Floating-point operations of the worker's microbatches.
    package var operations: UInt64
    package var residentBytes: UInt64

    package init(
        data: Duration = .zero,
        compute: Duration = .zero,
        communication: Duration = .zero,
        hiddenCommunication: Duration = .zero,
        wait: Duration = .zero,
        computing: Duration = .zero,
        waitedFor: WorkerNumber? = nil,
        samples: UInt32 = 0,
        operations: UInt64 = 0,
        residentBytes: UInt64 = 0
    ) {
        self.data = data
        self.compute = compute
        self.communication = communication
        self.hiddenCommunication = hiddenCommunication
        self.wait = wait
        self.computing = computing
        self.waitedFor = waitedFor
        self.samples = samples
        self.operations = operations
        self.residentBytes = residentBytes
    }
}

/// The counts of some validation samples.
package struct ValidationResult: Hashable, Sendable {
    package var round: UInt32
    /// Indices into the validation samples, in their order.
    package var samples: Range<UInt32>
    /// `samples.count` rows of the configuration's `countsPerSample` integers.
    package var counts: [UInt32]

    package init(round: UInt32, samples: Range<UInt32>, counts: [UInt32]) {
        self.round = round
        self.samples = samples
        self.counts = counts
    }
}

/// A worker's part of a checkpoint has been handed over, or cannot be.
package struct CheckpointPiece: Hashable, Sendable {
    package var completedSteps: UInt64
    package var share: CheckpointShare
    /// Bytes handed over.
    package var byteCount: UInt64
    /// Why the part could not be handed over; nil where it was.
    package var failure: String?

    package init(completedSteps: UInt64, share: CheckpointShare, byteCount: UInt64, failure: String?) {
        self.completedSteps = completedSteps
        self.share = share
        self.byteCount = byteCount
        self.failure = failure
    }
}

/// A worker cannot go on with what it was asked to do.
package struct FailureReport: Hashable, Sendable {
    package var step: UInt64
    package var phase: WorkerPhase
    /// What went wrong, as a sentence for users.
    package var message: String
    /// The worker whose fault it looks like, where it is not the reporter's own.
    package var suspect: WorkerNumber?

    package init(step: UInt64, phase: WorkerPhase, message: String, suspect: WorkerNumber?) {
        self.step = step
        self.phase = phase
        self.message = message
        self.suspect = suspect
    }
}
