extension CoordinatorMachine {
    /// Where the run stands.
    enum Stage: Sendable {
        case idle
        /// Waits for the expected workers to join and to be ready.
        case gathering
        /// An attempt at a step.
        case stepping(StepInFlight)
        /// Waits until all members have applied the last commit.
        case settling
        case validating(ValidationInFlight)
        /// The validation was the best so far; its checkpoint waits for the one in flight, and the next step for it.
        case holding
        /// Waits for the last checkpoint of a run that ends in order.
        case saving
        /// Something has gone wrong; waits for certain evidence.
        case blaming(Blame)
        /// The fault is known; the survivors' state is being saved.
        case rescuing(Rescue)
        case ended(RunOutcome)
    }

    struct StepInFlight: Sendable {
        var assignment: Assignment
        /// Members that have not reported their sums.
        var missing: Int
        var since: Instant
    }

    struct ValidationInFlight: Sendable {
        var round: UInt32
        /// The first sample that nobody has been asked for.
        var next: UInt32
        /// Samples whose counts have come.
        var received: UInt32
        var counts: [UInt32]
        var since: Instant
    }

    struct Blame: Sendable {
        var evidence: [Fault]
        var decideBy: Instant
    }

    struct Rescue: Sendable {
        var fault: Fault
        var sentence: String
        var until: Instant
    }

    struct Ending: Sendable {
        var kind: RunOutcome.Kind
        var reason: String
    }

    struct Refusal: Sendable {
        var reason: String
        /// Whether the worker was only one too many.
        var isSurplus: Bool
    }

    struct SavedState: Sendable, Equatable {
        var completedSteps: UInt64
        var transition: UInt64
    }

    struct CheckpointInFlight: Sendable {
        var order: CheckpointOrder
        /// Whether piece i has been handed over.
        var isStreamed: [Bool]
        /// When the last piece came.
        var lastProgress: Instant

        var completedSteps: UInt64 { order.completedSteps }
        var isComplete: Bool { !isStreamed.contains(false) }
    }

    /// What a wait is for; a new key starts a new wait.
    enum WaitKey: Hashable, Sendable {
        case joining
        case preparing
        case step(UInt64, UInt32, behind: UInt64, WorkerPhase)
        case settling(UInt64)
        case validation(UInt32)
        case holding(UInt64)
        case saving(UInt64)
        case blaming
        case rescuing
    }

    /// What the coordinator knows of a member.
    struct MemberState: Sendable {
        let number: WorkerNumber
        var peer: PeerID
        let incarnation: UInt64
        var hello: Hello
        let joined: Instant
        var isReady = false
        var isLost = false
        /// As the worker last told, in a heartbeat or by what it reported.
        var phase = WorkerPhase.preparing
        var phaseStep: UInt64 = 0
        var phaseSince: Instant
        var counter: UInt64 = 0
        var lastHeard: Instant
        /// When the worker last got on.
        var lastProgress: Instant
        /// The steps that the worker has applied.
        var completedSteps: UInt64 = 0
        var stateDigest: Digest?
        /// The report of the step in flight.
        var report: ReducedReport?
        /// Validation requests that it has not answered.
        var requests: [ValidationRequest] = []

        init(number: WorkerNumber, peer: PeerID, incarnation: UInt64, hello: Hello, now: Instant) {
            self.number = number
            self.peer = peer
            self.incarnation = incarnation
            self.hello = hello
            joined = now
            phaseSince = now
            lastHeard = now
            lastProgress = now
        }

        mutating func enter(_ phase: WorkerPhase, step: UInt64, at now: Instant) {
            lastProgress = now
            if self.phase == phase && phaseStep == step { return }
            self.phase = phase
            phaseStep = step
            phaseSince = now
        }

        var member: Member {
            Member(
                worker: number,
                hostName: hello.hostName,
                hostIdentity: hello.hostIdentity,
                threads: hello.threads,
                endpoints: hello.endpoints
            )
        }
    }

    /// Removes a worker that never began, so that another can take its place.
    mutating func remove(_ position: Int) {
        members.remove(at: position)
        positions = [:]
        for (position, member) in members.enumerated() { positions[member.peer] = position }
    }
}
