import Coordination
import Sampling
import Simulation
import Testing

@Suite struct ScenarioTests {
    @Test(arguments: 1...9, [1, 2, 3, 4, 5, 8, 13])
    func undisturbedRunsComplete(workers: Int, microbatches: Int) throws {
        let run = try Worlds.run(microbatches: microbatches)
        var disk = SimulatedDisk()
        let result = try Worlds.play(run, Worlds.session(workers: workers), &disk)
        #expect(result.outcome?.kind == .completed)
        #expect(result.committed == Array(0..<run.lastStep))
        #expect(disk.newest?.weights == run.reference.last?.weights)
        #expect(result.workers.allSatisfy { $0?.kind == .finished(.completed) })
    }

    /// The worker's number follows the order of joining, so the process id tells who was killed.
    @Test(arguments: SimulatedFault.Notice.allCases, [true, false])
    func aCrashIsSurvivedAndNamesTheCulprit(notice: SimulatedFault.Notice, peersNotice: Bool) throws {
        let run = try Worlds.run()
        var found = 0
        for moment in stride(from: 90, to: 240, by: 10) {
            let crash = TimedFault(
                .crash(worker: 1, notice, peersNotice: peersNotice),
                at: .milliseconds(moment)
            )
            var disk = SimulatedDisk()
            let result = try Worlds.play(run, Worlds.session(faults: [crash]), &disk)
            #expect(result.outcome?.kind == .completed)
            #expect(disk.newest?.weights == run.reference.last?.weights)
            #expect(disk.newest?.progress == run.reference.last?.after)
            #expect(result.committed == Array(0..<run.lastStep))
            // Where the run was over before anybody noticed, nobody is named.
            guard let sentence = result.lost[1] else { continue }
            found += 1
            #expect(result.lost.count == 1 && sentence.contains(" at step "))
            switch notice {
            case .processExit, .connectionThenExit:
                #expect(sentence.contains("was killed by signal 9 (SIGKILL)") || peersNotice)
            case .connection: #expect(sentence.contains("its connection broke") || peersNotice)
            case .silence:
                if !peersNotice { #expect(sentence.contains("no sign of life for 5.")) }
            }
        }
        #expect(found > 10)
    }

    @Test(arguments: [false, true])
    func oneAfterTheOtherDiesAndIsReplaced(isPaused: Bool) throws {
        let run = try Worlds.run(samples: 120)
        var disk = SimulatedDisk()
        let faults = (0..<3).map {
            TimedFault(.crash(worker: $0, .processExit, peersNotice: true), at: .milliseconds(120 + 150 * $0))
        }
        var session = Worlds.session(faults: faults)
        session.respawns = 3
        session.minimumWorkers = isPaused ? 3 : 1
        let result = try Worlds.play(run, session, &disk)
        #expect(result.outcome?.kind == .completed)
        #expect(result.lost.keys.sorted() == [0, 1, 2] && result.joined >= 2)
        #expect(disk.newest?.weights == run.reference.last?.weights)
        #expect(result.log.contains { $0.contains("paused at step") } == isPaused)
    }

    @Test func theOnlyWorkerLeavesTheLastCheckpoint() throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        let crash = TimedFault(.crash(worker: 0, .processExit, peersNotice: false), at: .milliseconds(200))
        let session = Worlds.session(workers: 1, faults: [crash], checkpoints: CheckpointPolicy(everySteps: 2))
        let result = try Worlds.play(run, session, &disk)
        #expect(result.outcome?.kind == .workerLost)
        #expect(result.outcome?.savedSteps != nil)
        #expect(result.outcome?.message.contains("resume the run") == true)
        try Worlds.finish(run, &disk, workers: 4, fencing: 2)
    }

    @Test(arguments: 0..<60)
    func drainAtAnyMomentResumesToTheSameWeights(moment: Int) throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        let drain = TimedFault(.drain, at: .milliseconds(moment * 5))
        let result = try Worlds.play(run, Worlds.session(faults: [drain]), &disk)
        let outcome = try #require(result.outcome)
        #expect(outcome.kind == .drained || outcome.kind == .completed)
        if outcome.completedSteps > 0 { #expect(outcome.savedSteps == outcome.completedSteps) }
        if outcome.kind == .drained {
            try Worlds.finish(run, &disk, workers: 1 + moment % 5, fencing: 2)
        }
    }

    @Test func drainEveryFewStepsOverManyWorkerCounts() throws {
        let run = try Worlds.run(samples: 60)
        var disk = SimulatedDisk()
        var sessions: UInt64 = 0
        while sessions < 40 {
            sessions += 1
            let drain = TimedFault(.drain, at: .milliseconds(110))
            let result = try Worlds.play(
                run,
                Worlds.session(workers: 1 + Int(sessions) % 7, faults: [drain], seed: sessions, fencing: sessions),
                &disk
            )
            if result.outcome?.kind == .completed { break }
        }
        #expect(sessions > 3 && sessions < 40)
        #expect(disk.newest?.weights == run.reference.last?.weights)
        #expect(disk.newest?.progress == run.reference.last?.after)
    }

    @Test func aSecondDrainStopsAtOnce() throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        // A worker that stands still keeps the first from being over before the second.
        let faults = [
            TimedFault(.freeze(worker: 0, .seconds(3)), at: .milliseconds(149)),
            TimedFault(.drain, at: .milliseconds(150)), TimedFault(.drain, at: .microseconds(1_150_100)),
        ]
        let result = try Worlds.play(run, Worlds.session(faults: faults), &disk)
        #expect(result.outcome?.kind == .stopped)
        #expect(result.endedAt == Instant(nanoseconds: 1_150_100_000))
        try Worlds.finish(run, &disk, workers: 3, fencing: 2)
    }

    /// `systemctl stop` and `scancel` signal every process of the run, in any order; some tools signal twice.
    @Test(arguments: 0..<30)
    func oneRequestToAllProcessesDrains(moment: Int) throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        let base = Duration.milliseconds(90 + moment * 5)
        var faults = (0..<3).flatMap { worker in
            (0..<2).map { TimedFault(.leave(worker: worker), at: base + .microseconds(worker * 37 + $0 * 500)) }
        }
        let own = Duration.microseconds(moment * 211 % 3000)
        faults += [TimedFault(.drain, at: base + own), TimedFault(.drain, at: base + own + .microseconds(80))]
        let result = try Worlds.play(run, Worlds.session(faults: faults), &disk)
        let outcome = try #require(result.outcome)
        #expect(outcome.kind == .drained || outcome.kind == .completed)
        if outcome.completedSteps > 0 { #expect(outcome.savedSteps == outcome.completedSteps) }
        if outcome.kind == .drained { try Worlds.finish(run, &disk, workers: 2, fencing: 2) }
    }

    /// Whatever checkpoint is in flight when a validation turns out the best, that state itself is saved.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func theBestStateIsSavedItself(seed: UInt64) throws {
        let run = try Worlds.run(validation: ValidationSchedule(interval: .steps(1), sampleCount: 5))
        var disk = SimulatedDisk()
        let checkpoints = CheckpointPolicy(everySteps: 1, best: 1)
        let result = try Worlds.play(run, Worlds.session(seed: seed, checkpoints: checkpoints), &disk)
        #expect(result.outcome?.kind == .completed)
        let bests = Set(run.reference.compactMap(\.after.best?.completedSteps))
        #expect(bests.count > 1)
        for steps in bests {
            let saved = try #require(disk.saved[steps])
            #expect(saved.progress == run.reference[Int(steps)].after)
        }
    }

    /// To enter the k best is an event that saves: they are the best of all rounds, whatever the other rhythms are.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func eachOfTheBestStatesIsSavedItself(seed: UInt64) throws {
        let run = try Worlds.run(validation: ValidationSchedule(interval: .steps(1), sampleCount: 5), best: 3)
        var disk = SimulatedDisk()
        let result = try Worlds.play(run, Worlds.session(seed: seed, checkpoints: CheckpointPolicy(best: 3)), &disk)
        #expect(result.outcome?.kind == .completed)
        let best = try #require(run.reference.last).after.ranking.map(\.completedSteps)
        #expect(best.count == 3)
        for steps in best { #expect(disk.saved[steps]?.progress == run.reference[Int(steps)].after) }
        // Nor is anything saved that was none of them, but the end.
        let entered = run.reference.map(\.after).filter(\.isAtBest).map(\.completedSteps)
        #expect(Set(disk.saved.keys) == Set(entered + [run.lastStep]))
    }

    @Test func aCompleteRunSaysSo() throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        try Worlds.finish(run, &disk, workers: 2, fencing: 1)
        let before = disk.saved
        let world = SimulatedWorld(run: run, session: Worlds.session(fencing: 2), disk: disk)
        let (result, after) = try world.play()
        #expect(result.outcome?.kind == .completed)
        #expect(result.outcome?.message.contains("already complete") == true)
        #expect(after.saved == before)
    }

    @Test func workersOfADeadCoordinatorExitAfterTheirGracePeriod() throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        let result = try Worlds.play(
            run,
            Worlds.session(faults: [TimedFault(.coordinatorCrash, at: .milliseconds(150))]),
            &disk
        )
        #expect(result.outcome == nil)
        #expect(result.workers.allSatisfy { $0?.kind == .coordinatorLost })
        #expect(result.workers.allSatisfy { $0?.message.contains("longer than the grace period") == true })
        try Worlds.finish(run, &disk, workers: 3, fencing: 2)
    }

    /// Each accuses the other; the rule puts out one of the two, and the step is not begun again and again.
    @Test(arguments: [2, 3, 5])
    func ofTwoThatCannotReachEachOtherOneIsPutOut(workers: Int) throws {
        let run = try Worlds.run()
        for moment in stride(from: 90, to: 200, by: 10) {
            var disk = SimulatedDisk()
            let fault = TimedFault(.unreachable(worker: 0, other: 1), at: .milliseconds(moment))
            let result = try Worlds.play(run, Worlds.session(workers: workers, faults: [fault]), &disk)
            #expect(result.outcome?.kind == .completed)
            #expect(result.lost.count == 1 && Set(result.lost.keys).isSubset(of: [0, 1]))
            #expect(disk.newest?.weights == run.reference.last?.weights)
        }
    }

    @Test(arguments: SimulatedFault.Link.allCases, [false, true])
    func aPartitionIsSurvived(link: SimulatedFault.Link, breaks: Bool) throws {
        let run = try Worlds.run()
        for milliseconds in [5, 400, 3000, 20_000] {
            var disk = SimulatedDisk()
            let fault = TimedFault(
                .partition(worker: 1, link, .milliseconds(milliseconds), breaks: breaks),
                at: .milliseconds(130)
            )
            let result = try Worlds.play(run, Worlds.session(faults: [fault]), &disk)
            #expect(result.outcome?.kind == .completed)
            // A short one costs nobody its place.
            #expect(result.lost.isEmpty || (result.lost.keys.sorted() == [1] && (breaks || milliseconds > 5000)))
            #expect(disk.newest?.weights == run.reference.last?.weights)
        }
    }

    /// No transport says a thing twice, but the machines must not need that.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func whatIsSaidTwiceCountsOnce(seed: UInt64) throws {
        let run = try Worlds.run(
            validation: ValidationSchedule(interval: .steps(2), sampleCount: 9, samplesPerRequest: 2)
        )
        var disk = SimulatedDisk()
        var faults = (0..<3).map { TimedFault(.duplication(worker: $0, .seconds(60)), at: .zero) }
        faults.append(TimedFault(.crash(worker: 3, .processExit, peersNotice: true), at: .milliseconds(140)))
        var session = Worlds.session(
            workers: 4,
            faults: faults,
            seed: seed,
            checkpoints: CheckpointPolicy(everySteps: 1)
        )
        session.respawns = 1
        let result = try Worlds.play(run, session, &disk)
        #expect(result.outcome?.kind == .completed && (result.effects[.duplicates] ?? 0) == 3)
        #expect(result.lost.keys.allSatisfy { $0 == 3 })
        #expect(disk.newest?.weights == run.reference.last?.weights)
    }

    @Test(arguments: [SimulatedFault.Process.coordinator, .worker(1)])
    func aClockCostsNobodyItsPlace(process: SimulatedFault.Process) throws {
        let run = try Worlds.run()
        for moment in stride(from: 0, to: 240, by: 20) {
            let clocks: [SimulatedFault] = [
                .clockDrift(process, ppm: 50_000), .clockDrift(process, ppm: -50_000),
                .clockJump(process, .milliseconds(400)), .clockJump(process, .seconds(3600)),
                .suspension(process, .seconds(3), clockStops: true),
                .suspension(process, .seconds(3), clockStops: false),
            ]
            for fault in clocks {
                var disk = SimulatedDisk()
                let faults = [TimedFault(fault, at: .milliseconds(moment))]
                let result = try Worlds.play(run, Worlds.session(faults: faults), &disk)
                #expect(result.outcome?.kind == .completed && result.lost.isEmpty, "\(fault) at \(moment) ms")
            }
        }
    }

    /// How soon is an invariant of the world.
    @Test(arguments: [false, true])
    func aCoordinatorThatStoodStillFindsTheSilent(clockStops: Bool) throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        let faults = [
            TimedFault(.suspension(.coordinator, .seconds(4), clockStops: clockStops), at: .milliseconds(120)),
            TimedFault(.crash(worker: 1, .silence, peersNotice: false), at: .milliseconds(121)),
        ]
        let result = try Worlds.play(run, Worlds.session(faults: faults), &disk)
        #expect(result.outcome?.kind == .completed && result.lost.keys.sorted() == [1])
        #expect(result.endedAt < Instant(nanoseconds: 11_000_000_000))
    }

    @Test func aSlowDiskIsWaitedForAndASlowLoadToo() throws {
        let run = try Worlds.run()
        for seconds in [3, 400] {
            var disk = SimulatedDisk()
            let slow = TimedFault(.slowDisk(.milliseconds(150), latency: .seconds(seconds)), at: .milliseconds(100))
            let session = Worlds.session(faults: [slow], checkpoints: CheckpointPolicy(everySteps: 1))
            let result = try Worlds.play(run, session, &disk)
            #expect(result.effects[.slowSave] == 1 && result.lost.isEmpty)
            #expect(result.outcome?.kind == .completed)
            #expect(result.log.contains { $0.contains("the disk has not finished for 120.0 s") } == (seconds > 120))
        }
        var disk = SimulatedDisk()
        let slow = TimedFault(.slowDisk(.milliseconds(40), latency: .seconds(20)), at: .zero)
        let result = try Worlds.play(run, Worlds.session(faults: [slow]), &disk)
        #expect(result.effects[.slowLoad] == 1 && result.outcome?.kind == .completed && result.lost.isEmpty)
    }

    @Test(arguments: [2, 3, 5])
    func aWrongStateIsFoundAtThatStep(workers: Int) throws {
        let run = try Worlds.run()
        var found = 0
        for moment in stride(from: 90, to: 250, by: 5) {
            var disk = SimulatedDisk()
            let result = try Worlds.play(
                run,
                Worlds.session(
                    workers: workers,
                    faults: [TimedFault(.corruptState(worker: 1), at: .milliseconds(moment))],
                    checkpoints: CheckpointPolicy(everySteps: 1)
                ),
                &disk
            )
            let outcome = try #require(result.outcome)
            // Where no step was in hand, the world has left the state alone.
            if outcome.kind == .completed && result.lost.isEmpty { continue }
            found += 1
            if workers > 2 {
                #expect(outcome.kind == .completed && result.lost.keys.sorted() == [1])
                #expect(result.lost[1]?.contains("differs from that of the majority") == true)
                #expect(disk.newest?.weights == run.reference.last?.weights)
            } else {
                #expect(outcome.kind == .diverged)
                #expect(outcome.message.contains("none has a majority"))
                try Worlds.finish(run, &disk, workers: 3, fencing: 2)
            }
        }
        #expect(found > 5)
    }

    @Test func aFullDiskIsAWarning() throws {
        let run = try Worlds.run()
        var disk = SimulatedDisk()
        let result = try Worlds.play(
            run,
            Worlds.session(
                faults: [TimedFault(.fullDisk(.milliseconds(100)), at: .milliseconds(80))],
                checkpoints: CheckpointPolicy(everySteps: 1)
            ),
            &disk
        )
        #expect(result.outcome?.kind == .completed)
        #expect(result.log.contains { $0.contains("could not be saved: no space left") })
    }

    @Test func earlyStoppingStopsWhereTheUndisturbedRunDoes() throws {
        let run = try Worlds.run(
            validation: ValidationSchedule(interval: .steps(1), sampleCount: 5),
            patience: 2
        )
        #expect(run.lastStep < run.schedule.totalSteps)
        var disk = SimulatedDisk()
        let result = try Worlds.play(run, Worlds.session(), &disk)
        #expect(result.outcome?.kind == .completed)
        #expect(result.outcome?.completedSteps == run.lastStep)
        #expect(result.outcome?.message.contains("validation got no better") == true)
    }
}
