import Reduction

/// The protocol side of a worker as a pure state machine: events in, actions out.
///
/// The shell owns the only copy, delivers one event at a time and runs the returned actions in order. What takes time
/// (preparing, computing, applying, validating, streaming) the shell does elsewhere and reports by an event.
///
///     joining ─welcome─► preparing ─► waiting ─assign─► working ─commit─► applying ─► working …
///
/// The machine obeys the highest fencing incarnation it has seen. It applies a step only on its commit, and begins the
/// next one only at the state that it stands on. After a failure that is not its own it keeps its state and its work, and
/// waits for the coordinator to share the step anew. Every wait has a deadline; it is found at the ticks.
package struct WorkerMachine: Sendable {
    package let configuration: WorkerConfiguration

    /// The number the coordinator gave, once it has.
    package internal(set) var number: WorkerNumber?
    /// The job that the worker has joined: a coordinator of another one that listens at the same address is a stranger.
    var job: String?
    /// Steps that are applied to the state.
    package internal(set) var completedSteps: UInt64 = 0
    /// What the worker is doing, and in which step.
    package internal(set) var phase = WorkerPhase.joining
    package internal(set) var phaseStep: UInt64 = 0
    /// Messages that were ignored: of a lower incarnation, or too late.
    package internal(set) var ignoredMessages: UInt64 = 0

    var fencing: UInt64 = 0
    var timing: WorkerTiming
    var membership: Membership?
    /// The attempt that is computed or reduced at present.
    var work: StepWork?
    /// Which microbatches of `work` are not computed, in the same order, and how many they are.
    var isUncomputed: [Bool] = []
    var uncomputed = 0
    /// The attempt whose sums have been reported and wait for their commit.
    var reported: Assignment?
    /// What waits until the running apply is done.
    var next: Assignment?
    /// The highest attempt at the next step that was assigned.
    var lastAttempt: (step: UInt64, generation: UInt32)?
    /// What was said last of sums and of being ready, for a coordinator that takes over.
    var lastReports: [ReducedReport] = []
    var lastReady: Ready?
    var requests: [CheckpointRequest] = []
    /// The state of which a share was handed over last.
    var handedOver: UInt64?
    /// The commit that is being applied.
    var applying: UInt64?
    var pendingValidations = 0
    /// When the worker was first asked to end.
    var leavingSince: Instant?

    var now = Instant(nanoseconds: .min)
    var startedAt = Instant(nanoseconds: 0)
    var phaseSince = Instant(nanoseconds: 0)
    var lastHeard = Instant(nanoseconds: 0)
    var coordinatorGoneSince: Instant?
    /// Until when a worker that has failed waits for the coordinator's last word.
    var exitBy: (instant: Instant, outcome: WorkerOutcome)?
    var progress: UInt64 = 0
    /// The shell's count at the last tick.
    var lastCount: UInt64 = 0
    var timer: Instant?
    var actions: [Action] = []
    var isOver = false

    /// A worker that has seen no event; the first is `.started`.
    package init(configuration: WorkerConfiguration) {
        self.configuration = configuration
        // Until the welcome says otherwise.
        timing = WorkerTiming(
            heartbeatInterval: configuration.helloInterval,
            coordinatorSilence: configuration.joining,
            gracePeriod: .zero
        )
    }

    /// Takes one event at moment `time` and returns what to do.
    ///
    /// After `.exit` it returns nothing.
    package mutating func handle(_ event: Event, at time: Instant) -> [Action] {
        if isOver { return [] }
        now = max(now, time)
        var isTick = false
        switch event {
        case .started: start()
        case .message(let message): receive(message)
        case .prepared(let ready): prepared(ready)
        case .microbatchComputed(let step, let generation, let index):
            computed(index, step: step, generation: generation)
        case .reduced(let report): reduced(report)
        case .applied(let steps, let digest): applied(steps, digest)
        case .validated(let result): validated(result)
        case .snapshotStreamed(let piece):
            progress &+= 1
            send(.checkpointPiece(piece))
        case .failed(let message, let suspect): failed(message, suspect: suspect)
        case .leaveRequested(let reason): leave(reason: reason)
        case .connectionLost: coordinatorGone(since: now)
        case .tick(let count):
            isTick = true
            tick(count)
        }
        if isOver {
            timer = nil
        } else {
            armTimer(renew: isTick)
        }
        let result = actions
        actions = []
        return result
    }

    // MARK: Joining

    private mutating func start() {
        if number != nil {
            // The connection is back: at its other end there may be another coordinator.
            if exitBy == nil { sayHello() }
            return
        }
        guard phase == .joining, timer == nil else { return }
        startedAt = now
        phaseSince = now
        lastHeard = now
        sayHello()
    }

    mutating func sayHello() {
        send(
            .hello(
                Hello(
                    protocolVersion: configuration.protocolVersion,
                    programVersion: configuration.programVersion,
                    hostName: configuration.hostName,
                    hostIdentity: configuration.hostIdentity,
                    processID: configuration.processID,
                    threads: configuration.threads,
                    numericsProfiles: configuration.numericsProfiles,
                    job: job ?? configuration.job,
                    endpoints: lastReady.map(\.endpoints) ?? configuration.endpoints,
                    datasetDigest: configuration.datasetDigest,
                    seat: seat
                )
            )
        )
    }

    /// What the worker holds, once it has a number.
    private var seat: Seat? {
        guard let number else { return nil }
        let attempt = lastAttempt.flatMap { $0.step == completedSteps ? $0.generation : nil }
        return Seat(
            worker: number,
            fencing: fencing,
            completedSteps: completedSteps,
            isMember: membership != nil,
            isApplying: applying != nil,
            generation: attempt ?? 0,
            reports: lastReports
        )
    }

    private mutating func prepared(_ ready: Ready) {
        guard phase == .preparing else { return }
        progress &+= 1
        completedSteps = ready.completedSteps
        enter(.waiting, step: completedSteps)
        var ready = ready
        // The state may be loaded again; where the worker listens it says once.
        if ready.endpoints.isEmpty, let before = lastReady { ready.endpoints = before.endpoints }
        lastReady = ready
        send(.ready(ready))
    }

    // MARK: Steps

    private mutating func computed(_ index: Int, step: UInt64, generation: UInt32) {
        guard let work, work.assignment.step == step, work.assignment.generation == generation else { return }
        progress &+= 1
        if let position = work.position(of: index), isUncomputed[position] {
            isUncomputed[position] = false
            uncomputed -= 1
        }
        if uncomputed == 0 { enter(.reducing, step: step) }
    }

    private mutating func reduced(_ report: ReducedReport) {
        guard let work, work.assignment.step == report.step, work.assignment.generation == report.generation else {
            return
        }
        self.work = nil
        reported = work.assignment
        let before = lastReports.last { $0.step + 1 == report.step }
        lastReports = before.map { [$0, report] } ?? [report]
        progress &+= 1
        enter(.reduced, step: report.step)
        send(.reduced(report))
    }

    private mutating func applied(_ steps: UInt64, _ digest: Digest?) {
        guard let step = applying, steps == step + 1 else { return }
        applying = nil
        completedSteps = steps
        progress &+= 1
        enter(exitBy == nil ? .waiting : .halted, step: steps)
        send(.applied(completedSteps: steps, stateDigest: digest))
        // Snapshots first: they must be taken before anything changes the state again.
        let due = requests.filter { $0.completedSteps <= steps }
        requests.removeAll { $0.completedSteps <= steps }
        for request in due { stream(request) }
        if let next = self.next {
            self.next = nil
            begin(next)
        }
    }

    private mutating func validated(_ result: ValidationResult) {
        progress &+= 1
        pendingValidations = max(0, pendingValidations - 1)
        send(.validated(result))
        if pendingValidations == 0 && phase == .validating { enter(.waiting, step: completedSteps) }
    }

    /// Hands a checkpoint share over, or says that its state is gone.
    mutating func stream(_ request: CheckpointRequest) {
        if request.completedSteps == completedSteps && applying == nil {
            handedOver = request.completedSteps
            actions.append(.streamSnapshot(request))
        } else {
            send(
                .checkpointPiece(
                    CheckpointPiece(
                        completedSteps: request.completedSteps,
                        share: request.share,
                        byteCount: 0,
                        failure: "its state stands at step \(completedSteps)."
                    )
                )
            )
        }
    }

    mutating func begin(_ assignment: Assignment) {
        if let membership, membership.version > assignment.membership {
            // Overtaken while the step before was applied: the assignment to the new members is on its way.
            ignoredMessages += 1
            return
        }
        guard let number, let membership, membership.version == assignment.membership else {
            failed(
                "Step \(assignment.step) names membership \(assignment.membership), which this worker does not have.",
                suspect: nil
            )
            return
        }
        if let defect = assignment.plan.defect {
            failed("The plan of step \(assignment.step) is wrong: \(defect).", suspect: nil)
            return
        }
        if !assignment.plan.members.contains(number) {
            failed("The plan of step \(assignment.step) leaves this worker out.", suspect: nil)
            return
        }
        let work = StepWork(
            assignment: assignment,
            membership: membership,
            worker: number,
            microbatches: assignment.microbatches(of: number)
        )
        self.work = work
        lastAttempt = (assignment.step, assignment.generation)
        reported = nil
        uncomputed = work.microbatches.count
        isUncomputed = Array(repeating: true, count: uncomputed)
        enter(uncomputed == 0 ? .reducing : .computing, step: assignment.step)
        actions.append(.beginStep(work))
    }

    // MARK: Failures and ends

    mutating func failed(_ message: String, suspect: WorkerNumber?) {
        guard number != nil else {
            exit(.failed, message)
            return
        }
        guard exitBy == nil else { return }
        send(.failure(FailureReport(step: phaseStep, phase: phase, message: message, suspect: suspect)))
        // With a peer's fault it goes on: the coordinator begins the step anew without one of the two.
        guard suspect == nil || suspect == number else { return }
        work = nil
        next = nil
        enter(.halted, step: phaseStep)
        exitBy = (now + min(.seconds(1), timing.gracePeriod), WorkerOutcome(kind: .failed, message: message))
    }

    private mutating func leave(reason: String) {
        guard number != nil else {
            exit(.left, "The worker was asked to end: \(reason).")
            return
        }
        if let since = leavingSince {
            // Two requests that come together are one, as they are for the coordinator.
            if now - since >= configuration.secondRequest {
                exit(.left, "The worker was asked to end for the second time: \(reason).")
            }
        } else {
            leavingSince = now
            send(.leaving(reason: reason))
        }
    }

    mutating func exit(_ kind: WorkerOutcome.Kind, _ message: String) {
        guard !isOver else { return }
        isOver = true
        actions.append(.exit(WorkerOutcome(kind: kind, message: message)))
    }

    // MARK: Small helpers

    mutating func send(_ body: WorkerMessage.Body) {
        actions.append(.send(WorkerMessage(incarnation: configuration.incarnation, body: body)))
    }

    mutating func log(_ level: LogLevel, _ sentence: String) { actions.append(.log(level, sentence)) }

    mutating func enter(_ phase: WorkerPhase, step: UInt64) {
        if self.phase == phase && phaseStep == step { return }
        self.phase = phase
        phaseStep = step
        phaseSince = now
    }
}
