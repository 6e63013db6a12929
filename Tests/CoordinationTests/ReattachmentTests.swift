import Coordination
import Testing

/// The machine of a coordinator that takes over.
@Suite struct ReattachmentTests {
    private static let members = (0..<2).map {
        Member(worker: $0, hostName: "host\($0)", hostIdentity: "", threads: 1, endpoints: [])
    }
    private static let reattachment = Reattachment(
        membership: Membership(version: 4, members: members),
        incarnations: [0: 100, 1: 101],
        nextNumber: 5,
        progress: nil
    )

    private static func back(_ worker: UInt64, _ seat: Seat) -> WorkerMessage.Body {
        var hello = CoordinatorRig.hello(worker)
        hello.seat = seat
        return .hello(hello)
    }

    private static func report(of step: UInt64) -> ReducedReport {
        ReducedReport(
            step: step,
            generation: 0,
            sumsDigest: Digest(high: 1, low: 1),
            stateDigest: nil,
            losses: [0.5],
            gradientNorm: 1,
            nonFinite: nil,
            timings: StepTimings()
        )
    }

    /// The journal of a coordinator that dies between two of its lines.
    @Test func whereverTheJournalBreaksOffASuccessorKnowsTheMembersOfARunThatHasBegun() throws {
        func lines(_ actions: [CoordinatorMachine.Action]) -> [JournalEntry] {
            actions.compactMap { if case .journal(let entry) = $0 { entry } else { nil } }
        }
        func expectMembers(
            _ incarnations: [WorkerNumber: UInt64],
            after before: [JournalEntry],
            _ lines: [JournalEntry]
        ) {
            #expect(lines.contains { if case .began = $0 { true } else { false } })
            for end in lines.indices {
                guard case .began = lines[end] else { continue }
                let history = RunHistory(before + lines[...end])
                #expect(history.reattachment?.incarnations == incarnations, "\(lines)")
            }
        }
        var rig = CoordinatorRig()
        var actions = rig.handle(.start(resume: nil, reattachment: nil))
        for worker: UInt64 in 0..<2 { actions += rig.say(worker, .hello(CoordinatorRig.hello(worker))) }
        for worker: UInt64 in 0..<2 { actions += rig.say(worker, .ready(CoordinatorRig.ready())) }
        expectMembers([0: 100, 1: 101], after: [], lines(actions))

        // One that takes over with one of the two that the journal knows.
        let before: [JournalEntry] = [
            .membership(Membership(version: 4, members: Self.members), incarnations: [100, 101], keys: ["", ""]),
            .began(fencing: 3, completedSteps: 0),
        ]
        rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil, reattachment: Self.reattachment))
        actions = rig.say(1, Self.back(1, Seat(worker: 1, fencing: 7, completedSteps: 0, reports: [])))
        actions += rig.handle(.processExited(incarnation: 100, processID: 4000, .signal(9), replaced: false))
        actions += rig.handle(.tick, after: .seconds(60))
        expectMembers([1: 101], after: before, lines(actions))
    }

    @Test func aStepThatOneHasAppliedIsCommittedForAll() throws {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil, reattachment: Self.reattachment))
        _ = rig.say(0, Self.back(0, Seat(worker: 0, fencing: 7, completedSteps: 3, reports: [Self.report(of: 2)])))
        let actions = rig.say(
            1,
            Self.back(1, Seat(worker: 1, fencing: 7, completedSteps: 2, reports: [Self.report(of: 2)]))
        )
        let commits = actions.compactMap { action -> ([PeerID], Commit)? in
            guard case .broadcast(let peers, let message) = action, case .commit(let commit) = message.body else {
                return nil
            }
            return (peers, commit)
        }
        #expect(commits.count == 1 && commits.first?.0.count == 1 && commits.first?.1.step == 2)
        // Its line is kept, whether or not the coordinator before had kept it.
        #expect(actions.contains { if case .record(let record) = $0 { record.step == 2 } else { false } })
        let next = rig.say(1, .applied(completedSteps: 3, stateDigest: nil))
        let assigned = next.compactMap { action -> Assignment? in
            guard case .broadcast(_, let message) = action, case .assign(let assignment) = message.body else {
                return nil
            }
            return assignment
        }
        // Higher than any attempt of the coordinator before.
        #expect(assigned.first?.step == 3 && (assigned.first?.generation ?? 0) > 0)
    }

    @Test func strangersWithASeatAreRefused() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil, reattachment: Self.reattachment))
        let actions = rig.say(3, Self.back(3, Seat(worker: 1, fencing: 7, completedSteps: 3)))
        #expect(actions.refusal?.contains("comes back too late") == true)
    }

    /// A joiner's first hello is read by the next coordinator, when the one before has welcomed it already.
    @Test func aJoinerKeepsTheNumberThatItHas() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil, reattachment: Self.reattachment))
        let late = rig.say(4, .hello(CoordinatorRig.hello(4)))
        #expect(late.log.contains { $0.contains("worker 5 on host host4") })
        let told = rig.say(4, Self.back(4, Seat(worker: 6, fencing: 7, completedSteps: 0, isMember: false)))
        let welcomes = told.compactMap { action -> Welcome? in
            guard case .send(PeerID(4), let message) = action, case .welcome(let welcome) = message.body else {
                return nil
            }
            return welcome
        }
        #expect(welcomes.map(\.worker) == [6] && rig.machine.workers.map(\.worker) == [6])
    }

    @Test func aJoinerWithAnotherNumberThanTheRunsIsTurnedDown() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        _ = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
        _ = rig.say(4, .hello(CoordinatorRig.hello(4)))
        let told = rig.say(4, Self.back(4, Seat(worker: 9, fencing: 7, completedSteps: 0, isMember: false)))
        #expect(told.refusal?.contains("Start the worker anew") == true)
        #expect(rig.machine.workers.map(\.worker) == [0])
    }
}
