import Coordination
import Testing

/// A coordinator dies in the middle of what it does, and another one takes over.
@Suite struct TakeoverTests {
    /// The coordinator dies before each of its actions in turn, for as long as the run lasts.
    @Test(arguments: [false, true])
    func aRunGoesOnFromMemoryWhereverItsCoordinatorDies(wakes: Bool) throws {
        let run = try Worlds.run(samples: 60)
        var takeovers = 0
        for moment in stride(from: 80, to: 420, by: 20) {
            for actions in 0..<10 {
                var disk = SimulatedDisk()
                let fault = TimedFault(
                    .takeover(afterActions: actions, .milliseconds(200), wakes: wakes),
                    at: .milliseconds(moment)
                )
                // Without a checkpoint on the way, what goes on from the disk would begin anew.
                let result = try Worlds.play(run, Worlds.session(faults: [fault]), &disk)
                #expect(result.outcome?.kind == .completed)
                #expect(disk.newest?.weights == run.reference.last?.weights)
                #expect(disk.newest?.progress == run.reference.last?.after)
                #expect(result.lost.isEmpty, "\(result.lost)")
                takeovers += result.takeovers
                if result.log.contains(where: { $0.contains("from their memory") }) {
                    #expect(result.log.contains { $0.contains("the 3 workers of the coordinator before") })
                }
            }
        }
        #expect(takeovers > 100)
    }

    @Test func aWorkerThatDiesWithTheCoordinatorIsNamedAndReplaced() throws {
        let run = try Worlds.run(samples: 120)
        var disk = SimulatedDisk()
        var session = Worlds.session(faults: [
            TimedFault(.takeover(afterActions: 0, .milliseconds(300), wakes: false), at: .milliseconds(150)),
            TimedFault(.crash(worker: 1, .processExit, peersNotice: true), at: .milliseconds(149)),
        ])
        session.respawns = 1
        let result = try Worlds.play(run, session, &disk)
        #expect(result.outcome?.kind == .completed, "\(result.log)")
        #expect(result.lost[1]?.contains("was killed by signal 9 (SIGKILL)") == true, "\(result.lost)")
        #expect(disk.newest?.weights == run.reference.last?.weights)
    }

    @Test func withFewerThanTheMinimumItPausesAndWaits() throws {
        let run = try Worlds.run(samples: 120)
        var disk = SimulatedDisk()
        var session = Worlds.session(faults: [
            TimedFault(.takeover(afterActions: 0, .milliseconds(300), wakes: false), at: .milliseconds(150)),
            TimedFault(.crash(worker: 1, .processExit, peersNotice: true), at: .milliseconds(149)),
        ])
        session.minimumWorkers = 3
        session.respawns = 1
        let result = try Worlds.play(run, session, &disk)
        #expect(result.outcome?.kind == .completed, "\(result.outcome?.message ?? "") \(result.log)")
        #expect(result.log.contains { $0.contains("paused at step") })
    }

    @Test func whereNobodyComesBackTheNewestCheckpointIsLeft() throws {
        let run = try Worlds.run(samples: 60)
        var disk = SimulatedDisk()
        let fault = TimedFault(.takeover(afterActions: 0, .seconds(60), wakes: false), at: .milliseconds(200))
        let session = Worlds.session(faults: [fault], checkpoints: CheckpointPolicy(everySteps: 2))
        let result = try Worlds.play(run, session, &disk)
        #expect(result.outcome?.kind == .workerLost && result.outcome?.savedSteps != nil)
        #expect(result.outcome?.message.contains("None of the 3 workers") == true)
        #expect(result.workers.allSatisfy { $0?.kind == .coordinatorLost })
        try Worlds.finish(run, &disk, workers: 2, fencing: 9)
    }

    // MARK: The machine alone

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
}
