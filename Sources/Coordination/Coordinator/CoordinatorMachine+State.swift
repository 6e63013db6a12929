extension CoordinatorMachine {
    /// Where the run stands.
    enum Stage: Sendable {
        case idle
        /// Waits for the expected workers to join and to be ready.
        case gathering
        /// Waits for the members of a coordinator that has died.
        case reattaching(Reattaching)
        /// An attempt at a step.
        case stepping(StepInFlight)
        /// Waits until all members have applied the last commit; whether they tell the digests of their states then.
        case settling(comparing: Bool)
        case validating(ValidationInFlight)
        /// The validation is among the best; its checkpoint waits for the one in flight, and the next step for it.
        case holding
        /// Waits for the last checkpoint of a run that ends in order.
        case saving
        /// Workers that join load the present state, which all members stand at.
        case admitting
        /// There are fewer workers than the run may go on with; the state is saved and others are waited for.
        case pausing
        case ended(RunOutcome)
    }

    /// Who speaks: a process, as the key proves that its connection was made with.
    ///
    /// Incarnations are no secrets: all members hear them, and command lines show them.
    struct Sender: Hashable, Sendable {
        var incarnation: UInt64
        /// The verified name of the key; empty in a run without keys.
        var key: String
    }

    struct Reattaching: Sendable {
        var reattachment: Reattachment
        /// Members that have not come back, and may.
        var missing: Set<WorkerNumber>
        var until: Instant
        /// Why others do not come back.
        var faults: [Fault] = []
        /// The members that say that they obey a later coordinator, and its incarnation.
        var followers: [WorkerNumber: UInt64] = [:]
        /// How the members that are back contradict each other, where none of them has a majority.
        var disagreement: String?
    }

    struct StepInFlight: Sendable {
        var assignment: Assignment
        /// Members that have not reported their sums.
        var missing: Int
        var since: Instant
    }

    /// What a member has reported of the step in flight.
    struct MemberReport: Sendable {
        var worker: WorkerNumber
        var report: ReducedReport
    }

    struct ValidationInFlight: Sendable {
        var round: UInt32
        /// The first sample that nobody has been asked for.
        var next: UInt32
        /// Samples whose counts have come.
        var received: UInt32
        /// Samples that were asked of workers that are lost.
        var returned: [Range<UInt32>] = []
        var counts: [UInt32]
        var since: Instant
    }

    /// Something has gone wrong; certain evidence is waited for a moment, while the run goes on as far as it can.
    struct Blame: Sendable {
        var evidence: [Fault]
        var decideBy: Instant
    }

    /// The run lacks workers.
    struct Pause: Sendable {
        /// Why there are too few.
        var reason: String
        /// What took the last one, where this coordinator has seen it.
        var fault: Fault?
        var since: Instant
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
        /// The checkpoint's file name; not part of what the state is.
        var file = ""

        static func == (a: SavedState, b: SavedState) -> Bool {
            a.completedSteps == b.completedSteps && a.transition == b.transition
        }
    }

    struct CheckpointInFlight: Sendable {
        var order: CheckpointOrder
        /// Whether piece i has been handed over.
        var isStreamed: [Bool]
        /// When it was begun.
        var since: Instant
        /// When the last piece came.
        var lastProgress: Instant

        var completedSteps: UInt64 { order.completedSteps }
        var isComplete: Bool { !isStreamed.contains(false) }
    }

    /// Attempts at a checkpoint without which the run cannot go on, or would end and lose steps.
    struct FailedSaves: Sendable {
        var completedSteps: UInt64
        var count: Int
        /// When the first of them was begun.
        var since: Instant
    }

    /// What a wait is for; a new key starts a new wait.
    enum WaitKey: Hashable, Sendable {
        case joining
        case preparing
        case reattaching
        case step(UInt64, UInt32, behind: UInt64, WorkerPhase)
        case settling(UInt64)
        case validation(UInt32)
        case holding(UInt64)
        case saving(UInt64)
        case admitting(UInt64)
        case pausing
    }

    /// What the coordinator knows of a member.
    struct MemberState: Sendable {
        let number: WorkerNumber
        var peer: PeerID
        let sender: Sender
        var hello: Hello
        let joined: Instant
        /// It has loaded its data; a member, its state too.
        var isReady = false
        /// It has asked to leave.
        var isLeaving = false
        /// What it held when it came back to this coordinator from one before.
        var seat: Seat?
        /// Of one that joins: the state that it was sent to load.
        var restoring: UInt64?
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
        var report: ReducedReport? { didSet { hasReported = report != nil } }
        /// Whether it is there; to compare a report with nil copies it.
        private(set) var hasReported = false
        /// Shares of checkpoints in a row that it could not hand over.
        var failedShares = 0
        /// Validation requests that it has not answered.
        var requests: [ValidationRequest] = []

        /// The token of the process.
        var incarnation: UInt64 { sender.incarnation }

        init(number: WorkerNumber, peer: PeerID, sender: Sender, hello: Hello, now: Instant) {
            self.number = number
            self.peer = peer
            self.sender = sender
            self.hello = hello
            joined = now
            phaseSince = now
            lastHeard = now
            lastProgress = now
        }

        mutating func take(_ heartbeat: Heartbeat, at now: Instant) {
            if heartbeat.progress != counter {
                counter = heartbeat.progress
                lastProgress = now
            }
            if heartbeat.phase != phase || heartbeat.step != phaseStep {
                enter(heartbeat.phase, step: heartbeat.step, at: now)
                // The worker knows better since when; held within what this coordinator has seen of it.
                phaseSince = max(joined, now - max(.zero, heartbeat.inPhase))
            }
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

    /// Takes a member off the list.
    mutating func remove(_ position: Int) {
        members.remove(at: position)
        indexMembers()
    }

    mutating func indexMembers() {
        positions = [:]
        for (position, member) in members.enumerated() { positions[member.peer] = position }
    }
}
