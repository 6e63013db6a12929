import Coordination

/// The end of a coordinator in a session, and what is on its way after it.
struct Succession: Sendable {
    /// The incarnation of the coordinator that was begun last.
    var fencing: UInt64
    /// Coordinators that took over.
    var takeovers = 0
    /// After how many more actions the coordinator dies, how long the next one takes to begin, and whether it wakes up later.
    var endsAfter: (actions: Int, absence: Duration, wakes: Bool)?
    /// How long the next one takes to begin.
    var absence = Duration.zero
    /// Processes before this index belong to a start of which nothing was left.
    var firstProcess = 0
    /// Whether another one is on its way, and whether everything is started anew with it.
    var isPending = false
    var isStartedAnew = false
    /// The coordinator that was stopped and not killed, and the actions that it had not done.
    var stopped: CoordinatorMachine?
    var unsaid: [CoordinatorMachine.Action] = []
    /// Whether the last action was a broadcast of which `unsaid` holds the rest.
    var hasBroadcast = false

    init(fencing: UInt64) { self.fencing = fencing }

    /// The coordinator's process, as the launcher knows it.
    var process: Int32 { Int32(truncatingIfNeeded: fencing) }
}

extension SimulatedWorld {
    /// Whether a coordinator leads the session, or is on its way.
    var isLed: Bool { isCoordinatorAlive || succession.isPending }

    // MARK: The launcher

    /// Hands an event to the launcher and does what it decides.
    func launch(_ event: LauncherMachine.Event) throws(SimulationFailure) {
        for action in launcher.handle(event, at: now) {
            if session.tracing { note("  launcher: \(action)") }
            switch action {
            case .startWorker(let seat, let delay):
                let pause = random.duration(.milliseconds(1) ... .milliseconds(random.oneIn(3) ? 600 : 60))
                queue.add(.spawn(seat: seat), at: now + delay + pause)
            case .killWorker(let incarnation):
                let index = Int(truncatingIfNeeded: incarnation & 0xFFFF_FFFF)
                guard workers.indices.contains(index), workers[index].isAlive else { continue }
                culprits.insert(index)
                kill(index)
                noticeExit(of: index, .signal(9), after: random.duration(.microseconds(200) ... .milliseconds(20)))
            case .startCoordinator(let fencing, let delay):
                succession.fencing = history.nextFencing(above: fencing)
                let start = now + delay + succession.absence
                queue.add(.takeover, at: start)
                // While there is none, and until it has heard of everybody, nobody is put out.
                let known = start + session.timing.reattaching + session.timing.workerSilence + .seconds(4)
                for worker in mustKnowBy.keys { mustKnowBy[worker] = known }
            case .killCoordinator:
                if isCoordinatorAlive {
                    try endCoordinator(absence: random.duration(.zero ... .seconds(1)), wakes: false)
                }
            case .tell(let order): tell(order)
            case .say(let sentence), .warn(let sentence): log.append(sentence)
            case .end(let end): try ended(end)
            }
        }
    }

    /// What the launcher tells arrives with the coordinator that leads; the next one is told again.
    private func tell(_ order: LauncherMachine.Order) {
        guard isCoordinatorAlive else { return }
        switch order {
        case .drain(let reason):
            queue.add(.told(.drainRequested(reason: reason), fencing: succession.fencing), at: now)
        case .workerEnded(let end, let isReplaced):
            let event = CoordinatorMachine.Event.processExited(
                incarnation: end.incarnation,
                processID: end.process,
                end.cause,
                replaced: isReplaced
            )
            queue.add(.told(event, fencing: succession.fencing), at: now)
        }
    }

    private func ended(_ end: LauncherMachine.End) throws(SimulationFailure) {
        switch end {
        case .outcome(let told):
            try require(told == outcome, "the launcher knows another outcome than its coordinator said")
            // Others ask it to fill no seat from now on.
            _ = launcher.handle(.closed, at: now)
        case .lost(let lost) where lost.kind == .stopped:
            // It was asked twice, and its coordinator did not hear.
            succession.isPending = false
            endedAt = now
            _ = launcher.handle(.closed, at: now)
        case .lost:
            // `launch` goes on by itself, as after every loss of all workers: with new ones, from what is saved.
            succession.isStartedAnew = true
            queue.add(.takeover, at: now + succession.absence)
        case .failure(let message, _): try require(false, "a coordinator could not lead: \(message)")
        }
    }

    func processEnded(_ index: Int, _ cause: ExitCause) throws(SimulationFailure) {
        guard index >= succession.firstProcess else { return }
        try launch(
            .workerEnded(
                LauncherMachine.WorkerEnd(
                    incarnation: workers[index].machine.configuration.incarnation,
                    process: Int32(1000 + index),
                    cause: cause
                ),
                seat: workers[index].seat
            )
        )
    }

    /// The launcher sees the coordinator's process stand still for the duration, as by SIGSTOP.
    func watchStop(for duration: Duration) {
        queue.add(.coordinatorStopped(true, fencing: succession.fencing), at: now)
        var passed = Duration.zero
        while passed < min(duration, session.timing.coordinatorSilence * 2) {
            passed += .milliseconds(500)
            queue.add(.launcherTick, at: now + passed)
        }
        queue.add(.coordinatorStopped(false, fencing: succession.fencing), at: now + duration)
    }

    // MARK: Takeovers

    /// Whether the coordinator dies before its next action.
    func endsNow() throws(SimulationFailure) -> Bool {
        guard isCoordinatorAlive else { return true }
        guard let end = succession.endsAfter else { return false }
        if end.actions > 0 {
            succession.endsAfter?.actions -= 1
            return false
        }
        try endCoordinator(absence: end.absence, wakes: end.wakes)
        return true
    }

    /// The coordinator's process ends; the next one takes so long to begin.
    private func endCoordinator(absence: Duration, wakes: Bool) throws(SimulationFailure) {
        let process = succession.process
        succession.endsAfter = nil
        succession.absence = absence
        succession.isPending = true
        succession.unsaid = []
        isCoordinatorAlive = false
        coordinatorTimer = nil
        coordinatorStoppedUntil = nil
        open = nil
        lastFaultAt = now
        if wakes {
            succession.stopped = coordinator
        } else {
            for index in workers.indices where !random.oneIn(4) {
                queue.add(.worker(index, .connectionLost), at: now + random.duration(.zero ... .milliseconds(20)))
            }
        }
        try launch(.coordinatorEnded(.signal(9), process: process))
    }

    /// Another coordinator begins, with what the journal and the disk tell.
    func takeOver() throws(SimulationFailure) {
        succession.isPending = false
        succession.takeovers += 1
        isCoordinatorAlive = true
        // Those whose patience was shorter than the absence.
        for index in workers.indices {
            if case .coordinatorLost = workers[index].outcome?.kind { culprits.insert(index) }
        }
        if succession.isStartedAnew { startAnew() }
        coordinator = Self.coordinator(of: run, session, fencing: succession.fencing)
        let resume = disk.resumePoint
        if history.reattachment == nil {
            // Nobody is left that could be put out, and numbers are given anew. Whoever has a number of before is refused: no
            // line of the journal knows it as a member.
            for index in workers.indices where workers[index].machine.number != nil { culprits.insert(index) }
            expelled = []
            published = []
            members = []
            mustKnowBy = [:]
            committed = Array(0..<(resume?.progress.completedSteps ?? 0))
        }
        history.recordedSteps = UInt64(committed.count)
        try launch(.coordinatorStarted(process: succession.process, fencing: succession.fencing))
        try deliver(.start(resume: resume, reattachment: history.reattachment))
        sendImpostors()
        for index in workers.indices where workers[index].isAlive && workers[index].hasStarted {
            queue.add(.worker(index, .started), at: now + random.duration(.milliseconds(1) ... .milliseconds(120)))
        }
        if succession.stopped != nil {
            queue.add(.wake, at: now + random.duration(.zero ... .milliseconds(400)))
        }
    }

    /// As `launch` goes on by itself after a run's workers, or its first coordinator, were lost: another launcher with
    /// workers of its own, and a coordinator that counts above all before.
    private func startAnew() {
        succession.isStartedAnew = false
        succession.fencing = history.nextFencing(above: succession.fencing)
        for index in workers.indices { kill(index) }
        succession.firstProcess = workers.count
        launcher = Self.launcher(of: session, disk)
        // Whoever was there before is of no use to it.
        history.take(
            .ended(RunOutcome(kind: .workerLost, message: "", completedSteps: UInt64(committed.count), savedSteps: nil))
        )
        for seat in session.threads.indices { queue.add(.spawn(seat: seat), at: now) }
    }

    /// The coordinator that was stopped goes on: it finds its deadlines passed, and says so to everybody.
    func wake() throws(SimulationFailure) {
        guard var stopped = succession.stopped else { return }
        succession.stopped = nil
        // First what it was about to do when it was stopped, as far as that is said and not written: the launcher ends it
        // before it could touch the disk.
        for action in succession.unsaid {
            switch action {
            case .send, .broadcast, .evict, .startTimer, .log: doLate(action)
            default: return
            }
        }
        for action in stopped.handle(.tick, at: coordinatorClock.reading(at: now)) { doLate(action) }
    }

    private func doLate(_ action: CoordinatorMachine.Action) {
        switch action {
        case .send(let peer, let message): sendLate(message, to: peer)
        case .broadcast(let peers, let message): for peer in peers { sendLate(message, to: peer) }
        // It may put out whoever has not heard of its successor.
        case .evict(_, let peer, _, _): culprits.insert(SimulatedWorker.index(of: peer))
        default: break
        }
    }

    private func sendLate(_ message: CoordinatorMessage, to peer: PeerID) {
        let index = SimulatedWorker.index(of: peer)
        guard workers.indices.contains(index), workers[index].isAlive else { return }
        var link = linksToWorkers[index]
        transmit(.worker(index, .message(message)), over: &link, of: index)
        linksToWorkers[index] = link
    }
}
