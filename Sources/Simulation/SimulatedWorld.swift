package import Coordination
import Reduction
import Sampling

/// A coordinator and its workers in one session, from its start until nothing of it is left.
///
/// The machines are the real ones; network, disk, clock, processes and arithmetic are simulated. After every event the
/// invariants are checked; the first that does not hold is thrown. A class, and no value: it is large, and is played once.
package final class SimulatedWorld {
    /// One session: who takes part and what goes wrong.
    package struct Session: Sendable {
        package var seed: UInt64
        /// Compute threads of each worker.
        package var threads: [UInt32]
        package var checkpoints: CheckpointPolicy
        package var faults: [TimedFault]
        package var fencing: UInt64
        /// The fewest workers that the run goes on with.
        package var minimumWorkers = 1
        /// How many processes the launcher may start in the place of others.
        package var respawns = 0
        package var timing = CoordinatorTiming()
        package var tracing = false

        package init(
            seed: UInt64,
            threads: [UInt32],
            checkpoints: CheckpointPolicy,
            faults: [TimedFault] = [],
            fencing: UInt64 = 1,
            minimumWorkers: Int = 1,
            respawns: Int = 0
        ) {
            self.minimumWorkers = minimumWorkers
            self.respawns = respawns
            self.seed = seed
            self.threads = threads
            self.checkpoints = checkpoints
            self.faults = faults
            self.fencing = fencing
        }
    }

    /// What a session came to.
    package struct Result: Sendable {
        /// Nil where the coordinator was killed.
        package var outcome: RunOutcome?
        package var endedAt: Instant
        package var workers: [WorkerOutcome?]
        package var events: Int
        package var log: [String]
        package var committed: [UInt64]
        /// The workers that were put out, by the index of their process, each with its sentence.
        package var lost: [Int: String]
        /// Workers that joined the run under way.
        package var joined: Int
        /// Coordinators that went on from their workers' memory.
        package var takeovers: Int
        /// Faults that did something, and how many did what; one fault can do several things.
        package var faults: Int
        package var effects: [SimulatedEffect: Int]
    }

    enum Happening: Sendable {
        case coordinator(CoordinatorMachine.Event)
        case coordinatorTimer
        case worker(Int, WorkerMachine.Event)
        /// The launcher starts a process at the seat.
        case spawn(seat: Int)
        /// The launcher sees a process end.
        case processEnded(Int, ExitCause)
        /// What the launcher tells the coordinator of that incarnation.
        case told(CoordinatorMachine.Event, fencing: UInt64)
        case launcherTick
        /// Whether the launcher sees the coordinator's process stand still, or go on.
        case coordinatorStopped(Bool, fencing: UInt64)
        case workerTimer(Int)
        case fault(SimulatedFault)
        case connectionBroken(worker: Int)
        case piece(session: Int, index: Int, SymbolicValue)
        case diskDone(session: Int, fails: Bool)
        case takeover
        case wake
    }

    struct OpenCheckpoint: Sendable {
        var order: CheckpointOrder
        var number: Int
        var pieces: [SymbolicValue?]
    }

    /// The node values of one attempt that workers have handed to their peers.
    struct Published: Sendable {
        let step: UInt64
        let generation: UInt32
        var workers: [WorkerNumber] = []
        var nodes: [(contribution: ReductionPlan.Contribution, value: SymbolicValue)] = []

        func value(of contribution: ReductionPlan.Contribution) -> SymbolicValue? {
            nodes.first { $0.contribution == contribution }?.value
        }
    }

    // One thread plays a world, and nothing changes a property while it is being changed: where that is checked at each
    // access (which it is everywhere else), the checks take a tenth of the time.

    let run: SimulatedRun
    let session: Session
    var disk: SimulatedDisk
    @exclusivity(unchecked) var random: SimulatedRandom
    @exclusivity(unchecked) var queue = SimulatedQueue<Happening>()
    @exclusivity(unchecked) var now = Instant(nanoseconds: 0)

    @exclusivity(unchecked) var coordinator: CoordinatorMachine
    @exclusivity(unchecked) var isCoordinatorAlive = true
    /// The launcher, with every process of the session.
    var launcher: LauncherMachine
    /// What the run's journal tells.
    var history: RunHistory
    /// The end of a coordinator that is to be followed by another.
    @exclusivity(unchecked) var succession: Succession
    var coordinatorClock: SimulatedClock
    /// Until when the coordinator's process stands still.
    @exclusivity(unchecked) var coordinatorStoppedUntil: Instant?
    @exclusivity(unchecked) var coordinatorTimer: SimulatedTimer?
    var outcome: RunOutcome?
    var endedAt: Instant?
    @exclusivity(unchecked) var workers: [SimulatedWorker]
    /// What was published last, the newest attempt at the end.
    @exclusivity(unchecked) var published: [Published] = []
    var open: OpenCheckpoint?
    var openedCheckpoints = 0
    var fullDiskUntil = Instant(nanoseconds: 0)
    var slowDiskUntil = Instant(nanoseconds: 0)
    var diskLatency = Duration.zero
    /// The steps of the checkpoint that the session goes on from.
    package internal(set) var resumedFrom: UInt64 = 0
    package internal(set) var committed: [UInt64] = []
    /// From and to each worker.
    @exclusivity(unchecked) var linksToWorkers: [SimulatedLink] = []
    @exclusivity(unchecked) var linksToCoordinator: [SimulatedLink] = []
    /// Workers that cannot reach each other, and of which neither has been put out.
    var unreachable: [(first: Int, second: Int)] = []
    /// Workers that were put out: they never take part again.
    var expelled: Set<WorkerNumber> = []
    @exclusivity(unchecked) var events = 0
    var log: [String] = []
    var trace: [String] = []
    /// The faults of workers of which the coordinator must know, and by when.
    var mustKnowBy: [Int: Instant] = [:]
    var culprits: Set<Int> = []
    package internal(set) var lost: [Int: String] = [:]
    /// One more, beside those of the world.
    var invariant: Simulation.Invariant?
    var members: Set<WorkerNumber> = []
    var joined = 0
    var faults = 0
    var effects: [SimulatedEffect: Int] = [:]
    /// Effects that faults may have and have not had yet, each with the number of its fault.
    @exclusivity(unchecked) var pendingEffects: [PendingEffect: Int] = [:]
    var injected = 0
    var effective: Set<Int> = []
    var lastFaultAt = Instant(nanoseconds: 0)
    var impostors = Impostors()
    /// Whether a worker's state has been changed under it: what is saved is then right only in the end.
    var isCorrupted = false
    /// How often a change of a worker's state has been put off, because nothing could have found it.
    var corruptionsPutOff = 0
    /// The assignment whose plan was found right last.
    var soundAssignment: Assignment?
    var isDisturbed = false

    package init(run: SimulatedRun, session: Session, disk: SimulatedDisk) {
        self.run = run
        self.session = session
        self.disk = disk
        random = SimulatedRandom(seed: session.seed, stream: UInt32(truncatingIfNeeded: session.fencing))
        succession = Succession(fencing: session.fencing)
        launcher = Self.launcher(of: session, disk)
        history = RunHistory()
        coordinator = Self.coordinator(of: run, session, fencing: session.fencing)
        coordinatorClock = SimulatedClock(seed: session.seed, process: 0)
        workers = []
        for seat in session.threads.indices { addWorker(at: seat) }
    }

    /// A launcher that has started nothing.
    static func launcher(of session: Session, _ disk: SimulatedDisk) -> LauncherMachine {
        LauncherMachine(
            LauncherMachine.Configuration(
                respawns: session.respawns,
                silence: session.timing.coordinatorSilence,
                standstill: session.timing.computing,
                savedSteps: disk.newest?.progress.completedSteps
            )
        )
    }

    /// A coordinator that has seen nothing yet.
    static func coordinator(of run: SimulatedRun, _ session: Session, fencing: UInt64) -> CoordinatorMachine {
        var configuration = CoordinatorConfiguration(
            job: "simulation",
            fencing: fencing,
            protocolVersion: 1,
            programVersion: "1",
            numericsProfile: "fp32",
            datasetDigest: "data",
            networkDigest: "network",
            resolvedConfiguration: "",
            expectedWorkers: session.threads.count,
            minimumWorkers: session.minimumWorkers,
            schedule: run.schedule,
            validation: run.validation,
            checkpoints: session.checkpoints,
            earlyStopPatience: run.patience
        )
        configuration.timing = session.timing
        configuration.audits = AuditPolicy(rate: 0.25, seed: session.seed)
        return CoordinatorMachine(configuration: configuration, policy: SimulatedPolicy())
    }

    /// Another process, which has not started yet; returns its index.
    @discardableResult
    func addWorker(at seat: Int) -> Int {
        let index = workers.count
        let threads = session.threads[seat]
        let incarnation = session.fencing << 32 | UInt64(index)
        linksToWorkers.append(SimulatedLink())
        linksToCoordinator.append(SimulatedLink())
        workers.append(
            SimulatedWorker(
                clock: SimulatedClock(seed: session.seed, process: 1 + index),
                peer: PeerID(UInt64(index)),
                seat: seat,
                threads: Int(threads),
                machine: WorkerMachine(
                    configuration: WorkerConfiguration(
                        protocolVersion: 1,
                        programVersion: "1",
                        hostName: "host\(index)",
                        hostIdentity: "boot\(index)",
                        processID: Int32(1000 + index),
                        threads: threads,
                        numericsProfiles: ["fp32"],
                        job: nil,
                        incarnation: incarnation,
                        endpoints: ["inproc://\(index)"],
                        datasetDigest: nil,
                        coordinator: "inproc://coordinator"
                    )
                )
            )
        )
        _ = launcher.handle(.seatFilled(seat, incarnation: incarnation), at: now)
        return index
    }

    /// Plays the session to its end.
    ///
    /// - Returns: what it came to, and the disk as it leaves it.
    /// - Throws: `SimulationFailure` at the first invariant that does not hold.
    package func play() throws(SimulationFailure) -> (Result, SimulatedDisk) {
        do throws(SimulationFailure) {
            return try playEvents()
        } catch {
            throw located(error)
        }
    }

    private func playEvents() throws(SimulationFailure) -> (Result, SimulatedDisk) {
        let resume = disk.resumePoint
        resumedFrom = resume?.progress.completedSteps ?? 0
        committed = Array(0..<resumedFrom)
        queue.add(.coordinator(.start(resume: resume)), at: now)
        _ = launcher.handle(.coordinatorStarted(process: succession.process, fencing: succession.fencing), at: now)
        for index in workers.indices {
            let delay = random.duration(.zero ... .milliseconds(20))
            queue.add(.worker(index, .started), at: now + delay)
        }
        for fault in session.faults { queue.add(.fault(fault.fault), at: now + fault.at) }
        while let (at, happening) = queue.takeFirst() {
            now = at
            events += 1
            if session.tracing { note("\(happening)") }
            try handle(happening)
            switch happening {
            case .coordinator, .coordinatorTimer, .diskDone, .told: try check()
            case .worker(let index, _):
                try require(
                    !workers[index].isAlive || !workers[index].hasStarted || workers[index].timer != nil,
                    "worker \(index) waits without a timer"
                )
            default: break
            }
            if !isLed && workers.allSatisfy({ !$0.isAlive }) { break }
        }
        for (steps, saved) in disk.saved {
            let reference = run.reference[Int(steps)]
            try require(
                saved.weights == reference.weights
                    && (saved.progress == reference.before || saved.progress == reference.after),
                "the checkpoint of step \(steps) is not that of the undisturbed run"
            )
        }
        try require(!isCoordinatorAlive, "events ran out while the coordinator was waiting: no wait without a deadline")
        for (index, worker) in workers.enumerated() where worker.isAlive {
            try require(false, "events ran out while worker \(index) was waiting in \(worker.machine.phase)")
        }
        return (
            Result(
                outcome: outcome,
                endedAt: endedAt ?? now,
                workers: workers.map(\.outcome),
                events: events,
                log: log,
                committed: committed,
                lost: lost,
                joined: joined,
                takeovers: succession.takeovers,
                faults: faults,
                effects: effects
            ), disk
        )
    }

    /// The same outside of a session's events.
    func verify(_ holds: Bool, _ invariant: @autoclosure () -> String) throws(SimulationFailure) {
        if !holds { throw located(SimulationFailure(seed: 0, invariant: invariant(), at: now, trace: [])) }
    }

    /// The failure with where and when.
    private func located(_ failure: SimulationFailure) -> SimulationFailure {
        SimulationFailure(
            seed: session.seed,
            invariant: failure.invariant,
            at: now,
            trace: Array(trace.suffix(60))
        )
    }

    func note(_ line: String) {
        trace.append("\(now.nanoseconds / 1000) µs \(line.prefix(200))")
        if trace.count > 400 { trace.removeFirst(200) }
    }

    // MARK: Invariants

    /// What must hold after every event of the coordinator.
    private func check() throws(SimulationFailure) {
        if let invariant {
            let broken = invariant(self)
            try require(broken == nil, broken ?? "")
        }
        if isCoordinatorAlive, !isCoordinatorStopped {
            try checkWaits()
            for (worker, instant) in mustKnowBy {
                try require(
                    now <= instant,
                    "worker \(worker) should have been put out by \(instant): \(session.faults)"
                )
            }
            try require(
                now <= lastFaultAt + .seconds(400),
                "the run does not end, long after its last fault: \(session.faults)"
            )
        }
    }

    /// The coordinator's machine, in its place: to read a property of it copies the whole.
    private func look<Value>(_ look: (inout CoordinatorMachine) -> Value) -> Value { look(&coordinator) }

    /// The coordinator never waits without a timer and a deadline.
    private func checkWaits() throws(SimulationFailure) {
        let (isIdle, waitDeadline) = look { ($0.isIdle, $0.waitDeadline) }
        if isIdle { return }
        guard let timer = coordinatorTimer else {
            try require(false, "the coordinator waits without a timer")
            return
        }
        let time = coordinatorClock.reading(at: now)
        let interval = session.timing.heartbeatInterval
        try require(timer.reading <= time + interval, "the coordinator's timer is too far ahead")
        // After it stood still, or its clock jumped, the next tick puts its deadlines right.
        if timer.reading + interval < time { return }
        guard let deadline = waitDeadline else {
            try require(false, "the coordinator waits for nothing, in \(coordinator.stageText)")
            return
        }
        if deadline <= time + .seconds(200) && deadline + .seconds(2) >= time { return }
        try require(
            false,
            "the coordinator waits until \(deadline) for \(coordinator.wait?.sentence ?? "nothing"), at \(time)"
        )
    }
}

/// Throws where an invariant does not hold; the session adds when.
///
/// A function and no method: its closure reads the world, which a method would have to copy for it.
@inline(__always)
func require(_ holds: Bool, _ invariant: @autoclosure () -> String) throws(SimulationFailure) {
    if !holds {
        throw SimulationFailure(seed: 0, invariant: invariant(), at: Instant(nanoseconds: 0), trace: [])
    }
}

/// What has been written to disk in all sessions of a run.
package struct SimulatedDisk: Sendable {
    /// A checkpoint.
    package struct Saved: Hashable, Sendable {
        package var progress: RunProgress
        package var weights: SymbolicValue
    }

    package var saved: [UInt64: Saved] = [:]

    package init() {}

    /// What a run goes on from.
    var resumePoint: ResumePoint? {
        newest.map { ResumePoint(progress: $0.progress, file: "step-\($0.progress.completedSteps)") }
    }

    /// The checkpoint with the most steps.
    package var newest: Saved? { saved.values.max { $0.progress.completedSteps < $1.progress.completedSteps } }
}

/// A worker process in a simulated world; a class, so that looking at one copies nothing.
final class SimulatedWorker {
    /// By what the coordinator's shell knows its connection; it forgets that of a worker that it evicts.
    var peer: PeerID
    @exclusivity(unchecked) var machine: WorkerMachine
    @exclusivity(unchecked) var isAlive = true
    var hasStarted = false
    @exclusivity(unchecked) var frozenUntil: Instant?
    var clock: SimulatedClock
    @exclusivity(unchecked) var timer: SimulatedTimer?
    var outcome: WorkerOutcome?
    var weights = SymbolicValue(0)
    /// Its place in the run, as the launcher counts.
    let seat: Int
    let threads: Int
    /// The attempt that is computed, and the sums of the last one reduced.
    @exclusivity(unchecked) var work: StepWork?
    /// The step whose leaves are computed: those that are done, and those under way.
    var step: UInt64 = .max
    @exclusivity(unchecked) var leaves: [SymbolicValue?] = []
    @exclusivity(unchecked) var isUnderWay: [Bool] = []
    @exclusivity(unchecked) var sum: SymbolicValue?
    var isCorruptingSums = false
    /// Until when its shares of checkpoints do not arrive.
    var streamsBreakUntil = Instant(nanoseconds: 0)

    init(clock: SimulatedClock, peer: PeerID, seat: Int, threads: Int, machine: WorkerMachine) {
        self.clock = clock
        self.peer = peer
        self.seat = seat
        self.threads = threads
        self.machine = machine
    }

    private static let workersAtMost: UInt64 = 1 << 16

    /// The name of the key that a worker's connection is made with.
    static func key(of index: Int) -> String { "worker-\(index)" }

    /// The worker behind any of its peers' numbers.
    static func index(of peer: PeerID) -> Int { Int(peer.rawValue % workersAtMost) }
    static func peer(after peer: PeerID) -> PeerID { PeerID(peer.rawValue + workersAtMost) }
}
