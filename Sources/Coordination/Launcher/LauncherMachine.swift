/// What starts a run's processes, as a pure state machine: events in, actions out; no process, socket, clock or file inside.
///
/// The shell owns the only copy, delivers one event at a time and runs the returned actions in order. Equal sequences of
/// events give equal sequences of actions.
///
///     a seat of a worker    filled ─ended, and another may do better─► vacant ─after its delay─► filled …
///                             │ ▲                                        │
///                   put out:  ▼ │ its end                                ▼ no respawn is left
///                            killed                                    empty for good
///
///     the coordinator       leading ─last word, and its end─► ended
///                             │ ▲
///          ended without one, │ │ the next one, told everything that its predecessors were told
///          or killed: stopped ▼ │
///          or stuck         followed ─four followed each other without a step─► lost
///
/// It decides who is started anew and when, when a coordinator is followed by another one, and what each coordinator must
/// hear. A worker that was killed, or that failed after a while in a way that may pass, is replaced as long as there are
/// respawns, the later the more often those of its seat die; on other hosts also the later the more often they were put
/// out, since each return costs all others a wait. A coordinator that is stopped for longer than workers wait for it, or
/// whose loop stands still, is killed; its end is then an event like any other. One that does not stop when it is asked
/// for the second time is killed for good. Deadlines are found at the ticks, which come twice a second.
///
/// A coordinator in the launcher's own process is not followed by any: then only the seats are this machine's.
package struct LauncherMachine: Sendable {
    /// What the machine is told once.
    package struct Configuration: Hashable, Sendable {
        /// How many workers may be started in the place of others.
        package var respawns: Int
        /// Whether workers are started on other hosts, which may be out of reach for a while.
        package var isRemote: Bool
        /// How long a coordinator may be stopped (SIGSTOP) before another one takes over.
        package var silence: Duration
        /// How long its loop may stand still.
        package var standstill: Duration
        /// Whether the first coordinator itself takes over from one of an earlier launch.
        package var reattaches: Bool
        /// The steps of the checkpoint that the run goes on from.
        package var savedSteps: UInt64?

        package init(
            respawns: Int,
            isRemote: Bool = false,
            silence: Duration = .seconds(5),
            standstill: Duration = .seconds(120),
            reattaches: Bool = false,
            savedSteps: UInt64? = nil
        ) {
            self.respawns = respawns
            self.isRemote = isRemote
            self.silence = silence
            self.standstill = standstill
            self.reattaches = reattaches
            self.savedSteps = savedSteps
        }
    }

    /// A worker's place in the run, which one process after the other fills.
    private struct Seat: Sendable {
        var started = Instant(nanoseconds: 0)
        /// The process that sits there, and whether it was put out of the run.
        var incarnation: UInt64 = 0
        var isPutOut = false
        /// Deaths of this seat's workers, one soon after the other.
        var deaths = 0
        /// Whether its host was ever reached, and may be again.
        var wasReached = false
        /// How often the seat's workers were put out.
        var evictions = 0
    }

    /// The coordinator that leads at present, or led last.
    private struct Coordinator: Sendable {
        var process: Int32
        var fencing: UInt64
        /// When it was last heard of, and since when it is stopped.
        var lastBeat: Instant
        var stoppedSince: Instant?
        /// Its last word, which comes before its end.
        var lastWord: End?
        var hasEnded = false
        /// Whether it was killed because it did not stop when it was told to.
        var isGivenUp = false
    }

    /// The end of a seat's worker whose host was not reached, or to which the connection broke: ssh's own status.
    package static let unreachable = ExitCause.exited(255)
    /// The status of a process that says that another attempt may succeed.
    private static let temporary: Int32 = 75
    /// How long a worker must have lived for its own failure to be worth another one: one that cannot even begin is not.
    private static let leastLife = Duration.seconds(5)
    /// How long a worker must have lived for the deaths before it to be forgotten.
    private static let longLife = Duration.seconds(10)
    /// A later request to end counts as a second one, as the coordinator's machine has it.
    private static let secondRequest = Duration.seconds(1)
    /// How long a coordinator may take to stop at once; then it does not hear, and is ended.
    private static let stopPatience = Duration.seconds(5)
    /// A longer time between two ticks is the launcher's own standing still, as by Ctrl-Z, and not the coordinator's.
    private static let longestLook = Duration.seconds(3)
    /// Deaths of coordinators, one after the other without a step between, after which the run ends.
    private static let barrenDeathsAtMost = 4

    package let configuration: Configuration

    /// Whether the run has begun: its workers hold it in their memory.
    package private(set) var hasBegun = false
    /// The most steps that a coordinator has told of.
    package private(set) var completedSteps: UInt64 = 0
    /// How many workers were started in the place of others.
    package private(set) var respawned = 0

    private var seats: [Seat] = []
    private var isClosed = false
    private var coordinator: Coordinator?
    /// Deaths of coordinators since the last step.
    private var barrenDeaths = 0
    /// What every coordinator of the run must hear.
    private var told: [Order] = []
    /// The first request to end, and the first of those that came a second or more later.
    private var firstRequest: Instant?
    private var laterRequest: Instant?
    private var lastLook: Instant?

    private var now = Instant(nanoseconds: .min)
    private var actions: [Action] = []

    /// A launcher that has started nothing.
    package init(_ configuration: Configuration) { self.configuration = configuration }

    /// Takes one event at moment `time` and returns what to do.
    package mutating func handle(_ event: Event, at time: Instant) -> [Action] {
        now = max(now, time)
        switch event {
        case .seatFilled(let seat, let incarnation): filled(seat, incarnation)
        case .seatNotFilled(let seat): retire(seat, counts: true)
        case .workerEnded(let end, let seat): workerEnded(end, at: seat)
        case .evicted(let incarnation): evicted(incarnation)
        case .closed: isClosed = true
        case .coordinatorStarted(let process, let fencing): started(process, fencing)
        case .coordinatorSaid(let word, let process): said(word, process)
        case .coordinatorStopped(let isStopped, let process): stopped(isStopped, process)
        case .coordinatorEnded(let cause, let process): coordinatorEnded(cause, process)
        case .drainRequested(let reason): drainRequested(reason)
        case .tick: tick()
        }
        let result = actions
        actions = []
        return result
    }

    private mutating func tell(_ order: Order) {
        told.append(order)
        actions.append(.tell(order))
    }

    // MARK: Seats

    private mutating func filled(_ seat: Int, _ incarnation: UInt64) {
        guard seat >= 0 else { return }
        while seats.count <= seat { seats.append(Seat()) }
        seats[seat].started = now
        seats[seat].incarnation = incarnation
        seats[seat].isPutOut = false
    }

    /// Ends a worker that was put out of the run: it may be stopped, and would never end by itself.
    private mutating func evicted(_ incarnation: UInt64) {
        if let seat = seats.firstIndex(where: { $0.incarnation == incarnation }) { seats[seat].isPutOut = true }
        actions.append(.killWorker(incarnation: incarnation))
    }

    private mutating func workerEnded(_ end: WorkerEnd, at seat: Int) {
        guard seats.indices.contains(seat) else { return }
        if end.wasReached { seats[seat].wasReached = true }
        let isReplaced =
            isWorthAnother(end.cause, seat)
            && retire(seat, counts: end.wasReached || end.cause != Self.unreachable)
        tell(.workerEnded(end, isReplaced: isReplaced))
    }

    /// Whether a worker that ended so may do better the next time: one that was killed, or that says so after a while;
    /// not one that left as asked, that cannot even begin, or whose data or configuration is wrong.
    ///
    /// A host that was reached before is tried again while it cannot be.
    private func isWorthAnother(_ cause: ExitCause, _ seat: Int) -> Bool {
        switch cause {
        case .signal: true
        case Self.unreachable: configuration.isRemote && seats[seat].wasReached
        case .exited(let status): status == Self.temporary && now - seats[seat].started > Self.leastLife
        }
    }

    /// Has the seat filled again, the later the more often its workers die; false where no more are to be started.
    ///
    /// `counts`: whether it is one of the respawns. A host that cannot be reached is tried until the run ends.
    @discardableResult
    private mutating func retire(_ seat: Int, counts: Bool) -> Bool {
        guard seats.indices.contains(seat), !isClosed, respawned < configuration.respawns else { return false }
        if counts { respawned += 1 }
        let delay: Duration
        if configuration.isRemote, seats[seat].isPutOut {
            // The network between hosts may be broken still: each return costs all the others a wait.
            seats[seat].evictions += 1
            delay = .seconds(min(300, 5 << min(6, seats[seat].evictions - 1)))
        } else {
            let lived = now - seats[seat].started
            seats[seat].deaths = lived > Self.longLife ? 0 : seats[seat].deaths + 1
            let deaths = seats[seat].deaths
            delay = deaths <= 1 ? .zero : .seconds(min(30, 1 << min(5, deaths - 2)))
        }
        actions.append(.startWorker(seat: seat, after: delay))
        if delay > .zero { actions.append(.say("a worker is started anew in \(delay.inWords)")) }
        return true
    }

    // MARK: The coordinator

    private mutating func started(_ process: Int32, _ fencing: UInt64) {
        coordinator = Coordinator(process: process, fencing: fencing, lastBeat: now)
        lastLook = lastLook ?? now
        for order in told { actions.append(.tell(order)) }
    }

    private mutating func said(_ word: Word, _ process: Int32) {
        guard coordinator?.process == process else { return }
        coordinator?.lastBeat = now
        switch word {
        case .began: hasBegun = true
        case .alive(let steps):
            if steps > completedSteps { barrenDeaths = 0 }
            completedSteps = max(completedSteps, steps)
        case .ended(let outcome): coordinator?.lastWord = .outcome(outcome)
        case .failed(let message, let status): coordinator?.lastWord = .failure(message, status: status)
        }
    }

    private mutating func stopped(_ isStopped: Bool, _ process: Int32) {
        guard coordinator?.process == process else { return }
        coordinator?.stoppedSince = isStopped ? now : nil
        coordinator?.lastBeat = now
    }

    private mutating func coordinatorEnded(_ cause: ExitCause, _ process: Int32) {
        guard let ended = coordinator, ended.process == process, !ended.hasEnded else { return }
        coordinator?.hasEnded = true
        if let word = ended.lastWord {
            actions.append(.end(word))
        } else if ended.isGivenUp {
            lose(
                .stopped,
                "The run was asked to stop at once; its coordinator (process \(process)) did not within "
                    + "\(Self.stopPatience.inWords) and was ended."
            )
        } else {
            follow(ended, cause)
        }
    }

    /// Has another coordinator started in the place of one that has died.
    private mutating func follow(_ ended: Coordinator, _ cause: ExitCause) {
        let who = "The coordinator (process \(ended.process)) \(cause)"
        guard hasBegun || configuration.reattaches else {
            lose(.workerLost, "\(who) before the run began.")
            return
        }
        barrenDeaths += 1
        guard barrenDeaths <= Self.barrenDeathsAtMost else {
            lose(.workerLost, "\(who), the \(barrenDeaths)th one without a step between.")
            return
        }
        let delay: Duration = barrenDeaths <= 1 ? .zero : .seconds(1 << (barrenDeaths - 2))
        let place = completedSteps > 0 ? " after step \(completedSteps)" : ""
        actions.append(
            .warn("\(who)\(place); another one takes over\(delay > .zero ? " in \(delay.inWords)" : "").")
        )
        actions.append(.startCoordinator(above: ended.fencing, after: delay))
    }

    private mutating func lose(_ kind: RunOutcome.Kind, _ sentence: String) {
        let steps = max(completedSteps, configuration.savedSteps ?? 0)
        actions.append(
            .end(.lost(RunOutcome(kind: kind, message: sentence, completedSteps: steps, savedSteps: nil)))
        )
    }

    // MARK: Requests and deadlines

    private mutating func drainRequested(_ reason: String) {
        tell(.drain(reason: reason))
        guard let first = firstRequest else {
            firstRequest = now
            return
        }
        if now - first >= Self.secondRequest { laterRequest = laterRequest ?? now }
    }

    private mutating func tick() {
        if let lastLook, now - lastLook > Self.longestLook {
            coordinator?.lastBeat = now
            if coordinator?.stoppedSince != nil { coordinator?.stoppedSince = now }
        }
        lastLook = now
        checkDeadlines()
    }

    /// Ends a coordinator that is stopped or stuck.
    private mutating func checkDeadlines() {
        guard let leader = coordinator, !leader.hasEnded else { return }
        if let laterRequest, now - laterRequest > Self.stopPatience, !leader.isGivenUp {
            // Even with its last words said it may hang, on a disk for one.
            coordinator?.isGivenUp = true
            actions.append(.killCoordinator(process: leader.process))
            return
        }
        guard leader.lastWord == nil else { return }
        let reason: String
        if let since = leader.stoppedSince {
            guard now - since > configuration.silence else { return }
            reason = "has been stopped for \((now - since).inWords)"
        } else {
            guard hasBegun, now - leader.lastBeat > configuration.standstill else { return }
            reason = "has stood still for \((now - leader.lastBeat).inWords)"
        }
        actions.append(
            .warn(
                "The coordinator (process \(leader.process)) \(reason) at step \(completedSteps); it is ended, and another "
                    + "one takes over."
            )
        )
        coordinator?.stoppedSince = nil
        coordinator?.lastBeat = now
        actions.append(.killCoordinator(process: leader.process))
    }
}
