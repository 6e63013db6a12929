import Coordination

/// What outlives a coordinator in a session: what its journal tells, what the launcher has seen, and whether another one
/// is to follow it.
struct Succession: Sendable {
    /// The incarnation of the coordinator that was begun last.
    var fencing: UInt64
    /// Coordinators that took over.
    var takeovers = 0
    /// After how many more actions the coordinator dies, for how long there is none, and whether it wakes up later.
    var endsAfter: (actions: Int, absence: Duration, wakes: Bool)?
    /// Processes before this index belong to a start of which nothing was left.
    var firstProcess = 0
    /// Whether another one is on its way.
    var isPending = false
    /// The coordinator that was stopped and not killed.
    var stopped: CoordinatorMachine?
    var reattachment: Reattachment?
    var progress: RunProgress? {
        get { reattachment?.progress ?? early }
        set {
            early = newValue
            reattachment?.progress = newValue
        }
    }
    private var early: RunProgress?
    private var nextNumber: WorkerNumber = 0
    private var lost: Set<WorkerNumber> = []
    /// Ends of processes while there was no coordinator.
    private var exits: [CoordinatorMachine.Event] = []

    init(fencing: UInt64) { self.fencing = fencing }

    mutating func note(_ event: CoordinatorMachine.Event) {
        if isPending, case .processExited = event { exits.append(event) }
    }

    /// One that was put out is no member any more, whether or not the others were told.
    mutating func noteLoss(of number: WorkerNumber) {
        lost.insert(number)
        reattachment?.lost.insert(number)
        reattachment?.membership.members.removeAll { $0.worker == number }
        reattachment?.incarnations[number] = nil
    }

    mutating func note(_ membership: Membership, _ incarnations: [UInt64], _ keys: [String]) {
        let numbers = membership.members.map(\.worker)
        nextNumber = max(nextNumber, (numbers.max() ?? 0) + 1)
        reattachment = Reattachment(
            membership: membership,
            incarnations: Dictionary(zip(numbers, incarnations), uniquingKeysWith: { $1 }),
            keys: Dictionary(zip(numbers, keys), uniquingKeysWith: { $1 }),
            lost: lost,
            nextNumber: nextNumber,
            progress: progress
        )
    }

    /// A coordinator goes on at `steps`: what was noted of validation after that is void.
    mutating func began(at steps: UInt64) {
        if let known = progress, known.completedSteps > steps { progress = nil }
    }

    /// Everything is started anew, with new numbers.
    mutating func forget() {
        reattachment = nil
        lost = []
    }

    mutating func takeExits() -> [CoordinatorMachine.Event] {
        defer { exits = [] }
        return exits
    }
}

extension SimulatedWorld {
    /// Whether the coordinator dies before its next action.
    mutating func endsNow() -> Bool {
        guard isCoordinatorAlive else { return true }
        guard let end = succession.endsAfter else { return false }
        if end.actions > 0 {
            succession.endsAfter?.actions -= 1
            return false
        }
        succession.endsAfter = nil
        succession.isPending = true
        isCoordinatorAlive = false
        coordinatorTimer = nil
        coordinatorStoppedUntil = nil
        open = nil
        lastFaultAt = now
        if end.wakes {
            succession.stopped = coordinator
        } else {
            for index in workers.indices where !random.oneIn(4) {
                queue.add(.worker(index, .connectionLost), at: now + random.duration(.zero ... .milliseconds(20)))
            }
        }
        queue.add(.takeover, at: now + end.absence)
        // While there is none, and until it has heard of everybody, nobody is put out.
        let known = now + end.absence + session.timing.reattaching + session.timing.workerSilence + .seconds(4)
        for worker in mustKnowBy.keys { mustKnowBy[worker] = known }
        return true
    }

    /// Another coordinator begins, with what the journal and the disk tell.
    mutating func takeOver() throws(SimulationFailure) {
        succession.isPending = false
        succession.fencing += 1
        succession.takeovers += 1
        isCoordinatorAlive = true
        coordinator = Self.coordinator(of: run, session, fencing: succession.fencing)
        // Those whose patience was shorter than the absence.
        for index in workers.indices {
            if case .coordinatorLost = workers[index].outcome?.kind { culprits.insert(index) }
        }
        let resume = disk.resumePoint
        if succession.reattachment?.membership.members.isEmpty ?? true {
            succession.forget()
            expelled = []
            published = [:]
            // Nothing had begun, or nobody is left: the launcher starts everything anew.
            committed = Array(0..<(resume?.progress.completedSteps ?? 0))
            for index in workers.indices { kill(index) }
            succession.firstProcess = workers.count
            for threads in session.threads { queue.add(.spawn(threads: threads), at: now) }
        }
        succession.reattachment?.recordedSteps = UInt64(committed.count)
        try deliver(.start(resume: resume, reattachment: succession.reattachment))
        for event in succession.takeExits() { try deliver(event) }
        sendImpostors()
        for index in workers.indices where workers[index].isAlive && workers[index].hasStarted {
            queue.add(.worker(index, .started), at: now + random.duration(.milliseconds(1) ... .milliseconds(120)))
        }
        if succession.stopped != nil {
            queue.add(.wake, at: now + random.duration(.zero ... .milliseconds(400)))
        }
    }

    /// The coordinator that was stopped goes on: it finds its deadlines passed, and says so to everybody.
    mutating func wake() throws(SimulationFailure) {
        guard var stopped = succession.stopped else { return }
        succession.stopped = nil
        for action in stopped.handle(.tick, at: coordinatorClock.reading(at: now)) {
            switch action {
            case .send(let peer, let message): sendLate(message, to: peer)
            case .broadcast(let peers, let message): for peer in peers { sendLate(message, to: peer) }
            // It may put out whoever has not heard of its successor.
            case .evict(_, let peer, _, _): culprits.insert(SimulatedWorker.index(of: peer))
            default: break  // The launcher has ended it before it could touch the disk.
            }
        }
    }

    private mutating func sendLate(_ message: CoordinatorMessage, to peer: PeerID) {
        let index = SimulatedWorker.index(of: peer)
        guard workers.indices.contains(index), workers[index].isAlive else { return }
        var link = linksToWorkers[index]
        transmit(.worker(index, .message(message)), over: &link, of: index)
        linksToWorkers[index] = link
    }
}
