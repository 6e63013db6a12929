import Coordination
import Simulation
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
}
