import Coordination
import Testing

/// Who speaks to a coordinator that takes over and has no right to, or does not tell the truth.
@Suite struct ImpostorTests {
    /// Members 0 ..< `count` with incarnations from 100 on and keys of their own.
    private static func reattachment(_ count: UInt32 = 2, recorded: UInt64? = 3) -> Reattachment {
        let members = (0..<count).map {
            Member(worker: $0, hostName: "host\($0)", hostIdentity: "", threads: 1, endpoints: [])
        }
        let numbers = members.map(\.worker)
        return Reattachment(
            membership: Membership(version: 4, members: members),
            incarnations: Dictionary(uniqueKeysWithValues: numbers.map { ($0, 100 + UInt64($0)) }),
            keys: Dictionary(uniqueKeysWithValues: numbers.map { ($0, key($0)) }),
            nextNumber: 9,
            progress: nil,
            recordedSteps: recorded
        )
    }

    private static func key(_ worker: UInt32) -> String { "worker-\(worker + 1)" }

    private static func takingOver(_ count: UInt32 = 2, recorded: UInt64? = 3) -> CoordinatorRig {
        var rig = CoordinatorRig(workers: Int(count))
        _ = rig.handle(.start(resume: nil, reattachment: reattachment(count, recorded: recorded)))
        return rig
    }

    private static func report(of step: UInt64, sums: UInt64 = 1) -> ReducedReport {
        ReducedReport(
            step: step,
            generation: 0,
            sumsDigest: Digest(high: sums, low: 1),
            stateDigest: nil,
            losses: [0.5],
            gradientNorm: 1,
            nonFinite: nil,
            timings: StepTimings()
        )
    }

    private static func seat(
        _ worker: UInt32,
        _ steps: UInt64,
        fencing: UInt64 = 7,
        holds reports: [ReducedReport] = []
    ) -> Seat {
        Seat(worker: worker, fencing: fencing, completedSteps: steps, reports: reports)
    }

    /// The hello of a worker with that seat, over the connection of the same number and under its key.
    private static func hello(_ seat: Seat, change: (inout Hello) -> Void = { _ in }) -> WorkerMessage.Body {
        var hello = CoordinatorRig.hello(UInt64(min(seat.worker, 1000)))
        hello.seat = seat
        change(&hello)
        return .hello(hello)
    }

    private static func comesBack(_ seat: Seat, to rig: inout CoordinatorRig) -> [CoordinatorMachine.Action] {
        rig.say(UInt64(seat.worker), hello(seat), key: key(seat.worker))
    }

    private static let silence = Duration.milliseconds(5500)

    // MARK: Who may speak

    @Test func aWorkerOfAnotherJobIsToldSoWhateverElseItSays() {
        var rig = Self.takingOver()
        let actions = rig.say(
            50,
            Self.hello(Self.seat(0, 900, fencing: 1 << 40)) { hello in
                hello.job = "another"
                hello.programVersion = "9.9"
                hello.protocolVersion = 9
            },
            as: 100,
            key: "worker-7"
        )
        #expect(actions.outcome == nil && actions.refusal?.contains("The worker serves job another") == true)
        // Those whom it has spoken for come back all the same.
        _ = Self.comesBack(Self.seat(0, 3), to: &rig)
        let back = Self.comesBack(Self.seat(1, 3), to: &rig)
        #expect(back.log.contains { $0.contains("goes on at step 3 of 10 with the 2 workers") })
    }

    @Test func aStrangerWhoObeysALaterCoordinatorEndsNothing() {
        var rig = Self.takingOver()
        let wrong = rig.say(
            77,
            Self.hello(Self.seat(77, 0, fencing: 1 << 40)) { $0.programVersion = "whatever" },
            key: "worker-5"
        )
        #expect(wrong.outcome == nil && wrong.refusal?.contains("program version") == true)
        let right = rig.say(78, Self.hello(Self.seat(78, 0, fencing: 1 << 40)), key: "worker-5")
        #expect(right.outcome == nil && right.refusal?.contains("comes back too late") == true)
    }

    @Test func theSeatOfAnotherKeyIsRefusedAndItsOwnerComesBack() {
        var rig = Self.takingOver()
        for fencing: UInt64 in [6, 7, 8] {
            let forged = rig.say(50, Self.hello(Self.seat(0, 3, fencing: fencing)), as: 100, key: "worker-5")
            #expect(
                forged.refusal
                    == "Worker 0 of this run has the key worker-1, this process has worker-5. Only who has joined as a worker "
                    + "may come back as it."
            )
            #expect(forged.outcome == nil)
        }
        // It is heard in nobody's name.
        #expect(rig.say(50, .leaving(reason: "SIGTERM"), as: 100, key: "worker-5").isEmpty)
        _ = Self.comesBack(Self.seat(1, 3), to: &rig)
        let back = Self.comesBack(Self.seat(0, 3), to: &rig)
        #expect(back.log.contains { $0.contains("goes on at step 3 of 10 with the 2 workers") })
        #expect(!back.broadcasts.contains { if case .drain = $0 { true } else { false } })
    }

    @Test func theKeysOfMembersAreJournalled() {
        var rig = CoordinatorRig()
        var actions = rig.handle(.start(resume: nil))
        for worker: UInt64 in 0..<2 {
            actions += rig.say(worker, .hello(CoordinatorRig.hello(worker)), key: Self.key(UInt32(worker)))
        }
        for worker: UInt64 in 0..<2 {
            actions += rig.say(worker, .ready(CoordinatorRig.ready()), key: Self.key(UInt32(worker)))
        }
        let journalled = actions.compactMap { action -> [String]? in
            if case .journal(.membership(_, _, let keys)) = action { keys } else { nil }
        }
        #expect(journalled == [["worker-1", "worker-2"]])
    }

    @Test func anIncarnationUnderAnotherKeyIsNobody() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil))
        _ = rig.say(0, .hello(CoordinatorRig.hello(0)), key: "worker-1")
        // A place that is taken before the run begins stays its owner's.
        let forged = rig.say(50, .hello(CoordinatorRig.hello(0)), as: 100, key: "worker-5")
        #expect(forged.refusal?.contains("the same incarnation, under another key") == true)
        let answer = rig.say(0, .hello(CoordinatorRig.hello(0)), key: "worker-1")
        #expect(
            answer.contains {
                if case .send(PeerID(0), let told) = $0, case .welcome = told.body { true } else { false }
            }
        )
    }

    @Test func aHelloFromBeforeTheTakeoverMakesNobodyASecondTime() {
        var rig = Self.takingOver()
        #expect(rig.say(0, .hello(CoordinatorRig.hello(0)), key: Self.key(0)).isEmpty)
        #expect(rig.say(50, .hello(CoordinatorRig.hello(0)), as: 100, key: "worker-5").refusal != nil)
        _ = Self.comesBack(Self.seat(0, 3), to: &rig)
        let back = Self.comesBack(Self.seat(1, 3), to: &rig)
        #expect(back.log.contains { $0.contains("with the 2 workers") })
    }

    @Test func joinersOfImpossibleNumbersAndWithoutEndAreRefused() {
        var rig = Self.takingOver()
        var seat = Self.seat(.max, 0)
        seat.isMember = false
        #expect(rig.say(60, Self.hello(seat), key: "worker-5").refusal != nil)
        for number: UInt32 in 20..<40 {
            seat.worker = number
            let actions = rig.say(UInt64(number), Self.hello(seat), key: "worker-5")
            #expect((actions.refusal == nil) == (number < 22), "\(number)")
        }
    }

    // MARK: A later coordinator

    @Test func oneMemberAloneDoesNotEndTheRun() {
        var rig = Self.takingOver()
        let claimed = Self.comesBack(Self.seat(1, 3, fencing: 8), to: &rig)
        #expect(claimed.outcome == nil && claimed.contains(.confirmSuccession))
        // Said again, it is asked no more.
        #expect(!Self.comesBack(Self.seat(1, 3, fencing: 8), to: &rig).contains(.confirmSuccession))
        _ = Self.comesBack(Self.seat(0, 3), to: &rig)
        let beat = Heartbeat(phase: .waiting, step: 3, progress: 1, inPhase: .zero)
        var actions: [CoordinatorMachine.Action] = []
        let end = rig.now + Self.silence
        while rig.now < end {
            actions += rig.say(0, .heartbeat(beat), key: Self.key(0))
            actions += rig.handle(.tick, after: .milliseconds(250))
        }
        #expect(actions.outcome == nil && Array(actions.lost.keys) == [1])
        #expect(actions.lost[1]?.contains("coordinator of incarnation 8, of which nobody else knows") == true)
        #expect(actions.log.contains { $0.contains("goes on at step 3") })
    }

    @Test func theJournalOrMostMembersEndIt() {
        var rig = Self.takingOver()
        _ = Self.comesBack(Self.seat(1, 3, fencing: 8), to: &rig)
        let outcome = rig.handle(.succeeded(fencing: 8)).outcome
        #expect(outcome?.kind == .stopped && outcome?.message.contains("the run's journal says so") == true)

        rig = Self.takingOver(3)
        #expect(Self.comesBack(Self.seat(1, 3, fencing: 8), to: &rig).outcome == nil)
        let second = Self.comesBack(Self.seat(2, 3, fencing: 8), to: &rig).outcome
        #expect(second?.kind == .stopped && second?.message.contains("2 of its 3 workers") == true)
        // Of one that is not later nothing follows.
        rig = Self.takingOver()
        #expect(rig.handle(.succeeded(fencing: 7)).outcome == nil)
    }

    // MARK: Steps

    @Test(arguments: [4, 9])
    func whoIsFurtherThanCanBeIsPutOut(claim: UInt64) {
        // Three commits are recorded, so no fourth has been sent.
        var rig = Self.takingOver()
        _ = Self.comesBack(Self.seat(0, claim, holds: [Self.report(of: claim - 1)]), to: &rig)
        let actions = Self.comesBack(Self.seat(1, 3, holds: [Self.report(of: 2)]), to: &rig)
        #expect(actions.outcome == nil && Array(actions.lost.keys) == [0])
        #expect(actions.lost[0]?.contains("stands at step \(claim), and 3 steps are recorded") == true)
        #expect(actions.log.contains { $0.contains("goes on at step 3 of 10 with the 1 worker") })
    }

    @Test func whoIsFurtherThanTheRunIsRefused() {
        var rig = Self.takingOver(2, recorded: nil)
        let actions = Self.comesBack(Self.seat(0, 11), to: &rig)
        #expect(actions.outcome == nil && actions.refusal?.contains("step 11 of a run of 10") == true)
    }

    @Test func whereMostTellTheSameTheRecordIsNotWhole() {
        var rig = Self.takingOver(3)
        for worker: UInt32 in 0..<2 { _ = Self.comesBack(Self.seat(worker, 8), to: &rig) }
        let actions = Self.comesBack(Self.seat(2, 3), to: &rig)
        #expect(actions.log.contains { $0.contains("goes on at step 8 of 10 with the 2 workers") })
        #expect(Array(actions.lost.keys) == [2])
    }

    @Test(arguments: [nil, 3] as [UInt64?])
    func ofThreeTheTwoThatAgreeAreRight(recorded: UInt64?) {
        var rig = Self.takingOver(3, recorded: recorded)
        _ = Self.comesBack(Self.seat(0, 4, holds: [Self.report(of: 3)]), to: &rig)
        // These have not computed the step that the first has applied, it says.
        for worker: UInt32 in 1..<2 { _ = Self.comesBack(Self.seat(worker, 3, holds: [Self.report(of: 2)]), to: &rig) }
        let actions = Self.comesBack(Self.seat(2, 3, holds: [Self.report(of: 2)]), to: &rig)
        #expect(actions.outcome == nil && Array(actions.lost.keys) == [0], "\(actions.log)")
        #expect(actions.log.contains { $0.contains("goes on at step 3 of 10 with the 2 workers") })
    }

    @Test func ofTwoThatContradictEachOtherNeitherIsTrusted() {
        // Without a record of the commits.
        var rig = Self.takingOver(2, recorded: nil)
        _ = Self.comesBack(Self.seat(0, 4, holds: [Self.report(of: 3)]), to: &rig)
        let outcome = Self.comesBack(Self.seat(1, 3, holds: [Self.report(of: 2)]), to: &rig).outcome
        #expect(outcome?.kind == .workerLost)
        #expect(
            outcome?.message.contains(
                "worker 0 on host host0 at step 4, worker 1 on host host1 at step 3. Nobody can say who is right, so neither "
                    + "is trusted"
            ) == true,
            "\(outcome?.message ?? "")"
        )
    }

    /// The commit may have reached nobody: its record tells of it.
    @Test func aStepThatIsRecordedIsCommittedEvenWhereNobodyHasHeardOfIt() {
        var rig = Self.takingOver(2, recorded: 4)
        _ = Self.comesBack(Self.seat(0, 3, holds: [Self.report(of: 3)]), to: &rig)
        let actions = Self.comesBack(Self.seat(1, 3, holds: [Self.report(of: 3)]), to: &rig)
        #expect(actions.log.contains { $0.contains("goes on at step 4 of 10 with the 2 workers") })
        let commits = actions.compactMap { action -> [PeerID]? in
            if case .broadcast(let peers, let message) = action, case .commit = message.body { peers } else { nil }
        }
        #expect(commits == [[PeerID(0), PeerID(1)]])
        // Whoever hides that it holds the sums is the one who goes.
        rig = Self.takingOver(2, recorded: 4)
        _ = Self.comesBack(Self.seat(0, 4, holds: [Self.report(of: 3)]), to: &rig)
        #expect(Array(Self.comesBack(Self.seat(1, 3), to: &rig).lost.keys) == [1])
    }

    @Test func aCommitIsRecordedBeforeItIsSaid() throws {
        var rig = CoordinatorRig()
        _ = rig.begin()
        _ = rig.say(0, .reduced(CoordinatorRig.reduced(0)))
        let actions = rig.say(1, .reduced(CoordinatorRig.reduced(0)))
        let record = try #require(actions.firstIndex { if case .record = $0 { true } else { false } })
        let commit = try #require(actions.firstIndex { if case .broadcast = $0 { true } else { false } })
        #expect(record < commit)
    }

    @Test func sumsThatDifferAreNotApplied() {
        var rig = Self.takingOver(3, recorded: 4)
        _ = Self.comesBack(Self.seat(0, 4, holds: [Self.report(of: 3)]), to: &rig)
        _ = Self.comesBack(Self.seat(1, 3, holds: [Self.report(of: 3, sums: 2)]), to: &rig)
        let actions = Self.comesBack(Self.seat(2, 3, holds: [Self.report(of: 3)]), to: &rig)
        #expect(Array(actions.lost.keys) == [1])
        let commits = actions.compactMap { action -> [PeerID]? in
            if case .broadcast(let peers, let message) = action, case .commit = message.body { peers } else { nil }
        }
        #expect(commits == [[PeerID(2)]])

        rig = Self.takingOver(2, recorded: 4)
        _ = Self.comesBack(Self.seat(0, 4, holds: [Self.report(of: 3)]), to: &rig)
        let outcome = Self.comesBack(Self.seat(1, 3, holds: [Self.report(of: 3, sums: 2)]), to: &rig).outcome
        #expect(outcome?.kind == .workerLost && outcome?.message.contains("none has a majority") == true)
    }

    @Test func anAccusationOfTheTimeBeforeIsNotHeard() {
        var rig = Self.takingOver(3)
        _ = Self.comesBack(Self.seat(0, 3), to: &rig)
        _ = Self.comesBack(Self.seat(1, 3), to: &rig)
        let report = FailureReport(step: 3, phase: .reducing, message: "it is gone.", suspect: 1)
        #expect(rig.say(0, .failure(report), key: Self.key(0)).lost.isEmpty)
    }
}
