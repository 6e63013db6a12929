import Coordination
import Testing

/// Who is started anew and when, when a coordinator is followed by another one, and what each of them hears.
@Suite struct LauncherTests {
    /// A launcher, and the moments that a test gives it by hand.
    struct Rig {
        var machine: LauncherMachine
        var now = Instant(nanoseconds: 0)

        init(
            respawns: Int = 10,
            isRemote: Bool = false,
            reattaches: Bool = false,
            savedSteps: UInt64? = nil,
            workers: Int = 0
        ) {
            machine = LauncherMachine(
                LauncherMachine.Configuration(
                    respawns: respawns,
                    isRemote: isRemote,
                    silence: .seconds(5),
                    standstill: .seconds(60),
                    reattaches: reattaches,
                    savedSteps: savedSteps
                )
            )
            for seat in 0..<workers { _ = handle(.seatFilled(seat, incarnation: 100 + UInt64(seat))) }
        }

        mutating func handle(
            _ event: LauncherMachine.Event,
            after delay: Duration = .zero
        ) -> [LauncherMachine.Action] {
            now = now + delay
            return machine.handle(event, at: now)
        }

        /// The worker of the seat lives for so long and ends; what is done, but for the telling.
        mutating func lose(
            _ seat: Int,
            _ cause: ExitCause = .signal(9),
            after life: Duration = .seconds(1),
            wasReached: Bool = true
        ) -> [LauncherMachine.Action] {
            let end = LauncherMachine.WorkerEnd(
                incarnation: 100 + UInt64(seat),
                process: 4000 + Int32(seat),
                cause: cause,
                wasReached: wasReached
            )
            return handle(.workerEnded(end, seat: seat), after: life)
        }

        /// The same, and another one is started at once where one is wanted; after what delay.
        mutating func replace(
            _ seat: Int,
            _ cause: ExitCause = .signal(9),
            after life: Duration = .seconds(1),
            wasReached: Bool = true
        ) -> Duration? {
            guard let delay = lose(seat, cause, after: life, wasReached: wasReached).respawn else { return nil }
            _ = handle(.seatFilled(seat, incarnation: 100 + UInt64(seat)), after: delay)
            return delay
        }

        /// Half seconds pass.
        mutating func pass(_ duration: Duration) -> [LauncherMachine.Action] {
            let end = now + duration
            var actions: [LauncherMachine.Action] = []
            while now < end { actions += handle(.tick, after: .milliseconds(500)) }
            return actions
        }
    }

    private static func led(by process: Int32 = 70, hasBegun: Bool = true) -> Rig {
        var rig = Rig(savedSteps: 3)
        _ = rig.handle(.coordinatorStarted(process: process, fencing: 1))
        if hasBegun { _ = rig.handle(.coordinatorSaid(.began, process: process)) }
        return rig
    }

    private static let outcome = RunOutcome(kind: .completed, message: "done", completedSteps: 9, savedSteps: 9)

    // MARK: Who is started anew

    @Test func aWorkerThatWasKilledIsReplacedAndTheCoordinatorHearsIt() {
        var rig = Rig(workers: 2)
        let actions = rig.lose(1)
        #expect(actions.first == .startWorker(seat: 1, after: .zero))
        #expect(
            actions.orders == [
                .workerEnded(
                    LauncherMachine.WorkerEnd(incarnation: 101, process: 4001, cause: .signal(9)),
                    isReplaced: true
                )
            ]
        )
    }

    /// A status of 75 says that another attempt may succeed: worth one where the worker got further than its beginning.
    @Test(arguments: [
        (ExitCause.exited(75), Duration.seconds(6), true), (.exited(75), .seconds(5), false),
        (.exited(0), .seconds(60), false), (.exited(65), .seconds(60), false), (.exited(255), .seconds(60), false),
        (.signal(11), .zero, true),
    ])
    func whatAnEndMeans(cause: ExitCause, life: Duration, isReplaced: Bool) {
        var rig = Rig(workers: 1)
        let actions = rig.lose(0, cause, after: life)
        #expect((actions.respawn != nil) == isReplaced)
        #expect(actions.orders.count == 1)
    }

    @Test func deathsOneSoonAfterTheOtherAreWaitedAfter() {
        var rig = Rig(respawns: 20, workers: 1)
        let delays = (0..<8).map { _ in rig.replace(0) }
        #expect(
            delays == [
                .zero, .seconds(1), .seconds(2), .seconds(4), .seconds(8), .seconds(16), .seconds(30), .seconds(30),
            ]
        )
        // One that has lived for a while is as good as the first.
        #expect(rig.replace(0, after: .seconds(11)) == .zero)
        #expect(rig.replace(0) == .zero && rig.replace(0) == .seconds(1))
    }

    @Test func aWaitIsSaid() {
        var rig = Rig(workers: 1)
        _ = rig.replace(0)
        #expect(rig.lose(0).contains(.say("a worker is started anew in 1.0 s")))
    }

    @Test func respawnsAreCounted() {
        var rig = Rig(respawns: 2, workers: 3)
        #expect(rig.lose(0).respawn != nil && rig.lose(1).respawn != nil)
        let third = rig.lose(2)
        #expect(third.respawn == nil && rig.machine.respawned == 2)
        guard case .workerEnded(_, let isReplaced)? = third.orders.first else {
            Issue.record("the coordinator was told nothing")
            return
        }
        #expect(!isReplaced)
    }

    @Test func aWorkerThatCouldNotBeStartedIsTriedAgain() {
        var rig = Rig(respawns: 2, workers: 1)
        #expect(rig.lose(0).respawn == .zero)
        #expect(rig.handle(.seatNotFilled(0)).respawn == .seconds(1))
        #expect(rig.handle(.seatNotFilled(0)).respawn == nil)
    }

    @Test func nobodyIsStartedAfterTheEnd() {
        var rig = Rig(workers: 1)
        _ = rig.handle(.closed)
        #expect(rig.lose(0).respawn == nil)
    }

    @Test func whoIsPutOutIsKilled() {
        var rig = Rig(workers: 2)
        #expect(rig.handle(.evicted(incarnation: 101)) == [.killWorker(incarnation: 101)])
        #expect(rig.lose(1).respawn == .zero)
    }

    // MARK: Other hosts

    @Test func aHostThatWasReachedIsTriedAgainWithoutEnd() {
        var rig = Rig(respawns: 1, isRemote: true, workers: 2)
        // Never reached: its name is wrong, or its key.
        #expect(rig.lose(0, LauncherMachine.unreachable, wasReached: false).respawn == nil)
        #expect(rig.replace(1, after: .seconds(20)) == .zero && rig.machine.respawned == 1)
        var other = Rig(respawns: 1, isRemote: true, workers: 1)
        _ = other.lose(0, .exited(0))
        for _ in 0..<5 {
            #expect(other.replace(0, LauncherMachine.unreachable, wasReached: false) != nil)
        }
        #expect(other.machine.respawned == 0)
    }

    @Test func whoIsPutOutOnAnotherHostComesBackLaterEachTime() {
        var rig = Rig(respawns: 20, isRemote: true, workers: 1)
        var delays: [Duration?] = []
        for _ in 0..<8 {
            _ = rig.handle(.evicted(incarnation: 100))
            delays.append(rig.replace(0))
        }
        #expect(delays == [5, 10, 20, 40, 80, 160, 300, 300].map { .seconds($0) })
    }

    // MARK: Succession

    @Test func aCoordinatorThatDiesIsFollowedByAnother() {
        var rig = Self.led()
        _ = rig.handle(.coordinatorSaid(.alive(completedSteps: 5), process: 70))
        let actions = rig.handle(.coordinatorEnded(.signal(9), process: 70))
        #expect(
            actions == [
                .warn(
                    "The coordinator (process 70) was killed by signal 9 (SIGKILL) after step 5; another one takes over."
                ),
                .startCoordinator(above: 1, after: .zero),
            ]
        )
        // Of one that was followed nothing counts any more.
        _ = rig.handle(.coordinatorStarted(process: 71, fencing: 2))
        #expect(rig.handle(.coordinatorEnded(.signal(9), process: 70)).isEmpty)
        #expect(rig.handle(.coordinatorSaid(.ended(Self.outcome), process: 70)).isEmpty)
        #expect(rig.handle(.coordinatorEnded(.signal(9), process: 71)).starts == [.seconds(1)])
    }

    @Test func beforeTheRunHasBegunNobodyFollows() {
        var rig = Self.led(hasBegun: false)
        let ended = rig.handle(.coordinatorEnded(.signal(9), process: 70)).end
        #expect(
            ended
                == .lost(
                    RunOutcome(
                        kind: .workerLost,
                        message: "The coordinator (process 70) was killed by signal 9 (SIGKILL) before the run began.",
                        completedSteps: 3,
                        savedSteps: nil
                    )
                )
        )
        // One that goes on with the workers of an earlier launch has a run to lose.
        var back = Rig(reattaches: true)
        _ = back.handle(.coordinatorStarted(process: 70, fencing: 4))
        #expect(back.handle(.coordinatorEnded(.signal(9), process: 70)).starts == [.zero])
    }

    @Test func theFifthDeathWithoutAStepBetweenIsTheLast() {
        var rig = Self.led()
        var delays: [Duration] = []
        var process: Int32 = 70
        for _ in 0..<4 {
            delays += rig.handle(.coordinatorEnded(.signal(6), process: process)).starts
            process += 1
            _ = rig.handle(.coordinatorStarted(process: process, fencing: UInt64(process)))
            // What it repeats is no step.
            _ = rig.handle(.coordinatorSaid(.alive(completedSteps: 0), process: process))
        }
        #expect(delays == [.zero, .seconds(1), .seconds(2), .seconds(4)])
        guard case .lost(let outcome)? = rig.handle(.coordinatorEnded(.signal(6), process: process)).end else {
            Issue.record("the run did not end")
            return
        }
        #expect(outcome.kind == .workerLost && outcome.message.contains("the 5th one without a step between"))
    }

    @Test func aStepBetweenForgivesTheDeathsBefore() {
        var rig = Self.led()
        var process: Int32 = 70
        for step: UInt64 in 1...20 {
            _ = rig.handle(.coordinatorSaid(.alive(completedSteps: step), process: process))
            #expect(rig.handle(.coordinatorEnded(.signal(6), process: process)).starts == [.zero])
            process += 1
            _ = rig.handle(.coordinatorStarted(process: process, fencing: UInt64(process)))
        }
    }

    @Test func eachSuccessorHearsAllThatWasTold() {
        var rig = Rig(workers: 2)
        _ = rig.handle(.coordinatorStarted(process: 70, fencing: 1))
        _ = rig.handle(.coordinatorSaid(.began, process: 70))
        let told = rig.lose(0).orders + rig.handle(.drainRequested(reason: "SIGINT")).orders
        _ = rig.handle(.coordinatorEnded(.signal(9), process: 70))
        // Told while nobody leads.
        let between = rig.lose(1).orders
        #expect(told.count == 2 && between.count == 1)
        #expect(rig.handle(.coordinatorStarted(process: 71, fencing: 2)).orders == told + between)
    }

    @Test func aLastWordIsTheEnd() {
        var rig = Self.led()
        #expect(rig.handle(.coordinatorSaid(.ended(Self.outcome), process: 70)).isEmpty)
        #expect(rig.handle(.coordinatorEnded(.exited(0), process: 70)).end == .outcome(Self.outcome))
        var failed = Self.led()
        _ = failed.handle(.coordinatorSaid(.failed("no such shard", status: 65), process: 70))
        #expect(failed.handle(.coordinatorEnded(.exited(65), process: 70)).end == .failure("no such shard", status: 65))
    }

    // MARK: Deadlines

    @Test func aCoordinatorThatIsStoppedIsKilledWhenWorkersGiveItUp() {
        var rig = Self.led()
        _ = rig.handle(.coordinatorStopped(true, process: 70))
        #expect(rig.pass(.seconds(5)).kills.isEmpty)
        let late = rig.pass(.seconds(1))
        #expect(late.kills == [70])
        #expect(
            late.contains {
                if case .warn(let text) = $0 { text.contains("has been stopped for 5.5 s") } else { false }
            }
        )
        #expect(rig.handle(.coordinatorEnded(.signal(9), process: 70)).starts == [.zero])
    }

    @Test func oneThatGoesOnInTimeIsLeftAlone() {
        var rig = Self.led()
        _ = rig.handle(.coordinatorStopped(true, process: 70))
        _ = rig.pass(.seconds(4))
        _ = rig.handle(.coordinatorStopped(false, process: 70))
        #expect(rig.pass(.seconds(20)).isEmpty)
    }

    @Test func aLoopThatStandsStillIsKilledOnceTheRunHasBegun() {
        var rig = Self.led()
        #expect(rig.pass(.seconds(60)).kills.isEmpty)
        #expect(rig.pass(.seconds(1)).kills == [70])
        // Before that, it waits for workers to load for as long as they take.
        var early = Self.led(hasBegun: false)
        #expect(early.pass(.seconds(600)).isEmpty)
    }

    /// Ctrl-Z stops the launcher and not the coordinator, which was not heard meanwhile.
    @Test func itsOwnStandingStillIsNobodyElsesFault() {
        var rig = Self.led()
        _ = rig.pass(.seconds(50))
        #expect(rig.handle(.tick, after: .seconds(3600)).isEmpty)
        #expect(rig.pass(.seconds(59)).isEmpty)
        #expect(rig.pass(.seconds(2)).kills == [70])
    }

    @Test func oneThatDoesNotStopAtTheSecondRequestIsGivenUp() {
        var rig = Self.led()
        _ = rig.handle(.drainRequested(reason: "SIGINT"))
        // Two that come together are one.
        _ = rig.handle(.drainRequested(reason: "SIGTERM"), after: .milliseconds(400))
        #expect(rig.pass(.seconds(30)).kills.isEmpty)
        _ = rig.handle(.drainRequested(reason: "SIGINT"))
        _ = rig.handle(.coordinatorSaid(.ended(Self.outcome), process: 70))
        #expect(rig.pass(.seconds(5)).kills.isEmpty)
        #expect(rig.pass(.seconds(1)).kills == [70])
        // It has said its last word, and hung behind it.
        #expect(rig.handle(.coordinatorEnded(.signal(9), process: 70)).end == .outcome(Self.outcome))
    }

    @Test func oneThatIsGivenUpWithoutAWordStopsTheRun() {
        var rig = Self.led()
        _ = rig.handle(.drainRequested(reason: "SIGINT"))
        _ = rig.handle(.drainRequested(reason: "SIGINT"), after: .seconds(2))
        #expect(rig.pass(.seconds(6)).kills == [70])
        guard case .lost(let outcome)? = rig.handle(.coordinatorEnded(.signal(9), process: 70)).end else {
            Issue.record("the run did not end")
            return
        }
        #expect(outcome.kind == .stopped && outcome.message.contains("did not within 5.0 s and was ended"))
    }
}

/// What a journal means.
@Suite struct RunHistoryTests {
    private static func membership(_ workers: [UInt32], version: UInt32 = 1) -> JournalEntry {
        .membership(
            Membership(
                version: version,
                members: workers.map {
                    Member(worker: $0, hostName: "host\($0)", hostIdentity: "", threads: 1, endpoints: [])
                }
            ),
            incarnations: workers.map { 100 + UInt64($0) },
            keys: workers.map { "worker-\($0)" }
        )
    }

    private static func progress(_ steps: UInt64) -> RunProgress {
        var progress = RunProgress.fresh(scheduleState: [])
        progress.completedSteps = steps
        return progress
    }

    @Test func aRunWithoutMembersLeavesNobody() {
        #expect(RunHistory().reattachment == nil)
        #expect(RunHistory([.began(fencing: 3, completedSteps: 0)]).reattachment == nil)
        let ended = RunOutcome(kind: .drained, message: "", completedSteps: 4, savedSteps: 4)
        #expect(RunHistory([Self.membership([0, 1]), .ended(ended)]).reattachment == nil)
    }

    @Test func theLastMembershipCountsWithoutThoseThatWereLostSince() {
        let history = RunHistory([
            .began(fencing: 3, completedSteps: 0), Self.membership([0, 1, 2]),
            Self.membership([0, 1, 2, 5], version: 2),
            .lost(worker: 1, sentence: ""),
        ])
        let known = history.reattachment
        #expect(known?.membership.members.map(\.worker) == [0, 2, 5] && known?.membership.version == 2)
        #expect(known?.incarnations == [0: 100, 2: 102, 5: 105] && known?.keys[5] == "worker-5")
        #expect(known?.lost == [1] && known?.nextNumber == 6)
    }

    @Test func whatWasNotedOfLaterStepsIsVoidWhereARunGoesOnFromBefore() {
        var history = RunHistory([Self.membership([0]), .transition(Self.progress(8))])
        #expect(history.reattachment?.progress?.completedSteps == 8)
        history.take(.began(fencing: 4, completedSteps: 8))
        #expect(history.reattachment?.progress?.completedSteps == 8)
        history.take(.began(fencing: 5, completedSteps: 7))
        #expect(history.reattachment != nil && history.reattachment?.progress == nil)
    }

    /// A run that was started anew gives the numbers of lost workers again.
    @Test func numbersCountAnewWithTheRun() {
        let history = RunHistory([
            Self.membership([0, 1]), .lost(worker: 0, sentence: ""), .lost(worker: 1, sentence: ""),
            Self.membership([0, 1]),
        ])
        #expect(history.reattachment?.lost.isEmpty == true && history.reattachment?.membership.members.count == 2)
    }

    @Test func theNextCoordinatorIsAboveAllThatWereThere() {
        let history = RunHistory([.began(fencing: 9, completedSteps: 0), .began(fencing: 4, completedSteps: 0)])
        #expect(history.nextFencing(above: 2) == 10 && history.nextFencing(above: 30) == 31)
    }

    @Test func aMembershipThatCannotBeReadLeavesNobody() {
        let history = RunHistory([
            Self.membership([0, 1]), .membership(Membership(version: 0, members: []), incarnations: [], keys: []),
        ])
        #expect(history.reattachment == nil)
    }
}

extension [LauncherMachine.Action] {
    fileprivate var respawn: Duration? {
        for case .startWorker(_, let delay) in self { return delay }
        return nil
    }

    fileprivate var orders: [LauncherMachine.Order] {
        compactMap { action in
            if case .tell(let order) = action { order } else { nil }
        }
    }

    fileprivate var starts: [Duration] {
        compactMap { action in
            if case .startCoordinator(_, let delay) = action { delay } else { nil }
        }
    }

    fileprivate var kills: [Int32] {
        compactMap { action in
            if case .killCoordinator(let process) = action { process } else { nil }
        }
    }

    fileprivate var end: LauncherMachine.End? {
        for case .end(let end) in self { return end }
        return nil
    }
}
