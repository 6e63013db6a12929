/// Plays whole runs: sessions with random faults, each resumed from what the last one left, until the run is complete.
package enum Simulation {
    /// What a seed came to.
    package struct Summary: Hashable, Sendable {
        package var sessions: Int
        package var events: Int
        /// Faults that did something, workers that were put out, and workers that joined a run under way.
        package var faults = 0
        package var effects: [SimulatedEffect: Int] = [:]
        package var lost = 0
        package var joined = 0
        /// Coordinators that took over from dead ones, and went on from their workers' memory.
        package var takeovers = 0
        package var steps: UInt64
        package var outcomes: [RunOutcome.Kind?]
    }

    /// Plays the run of `seed` to its end.
    ///
    /// Everything is drawn from the seed: the run (30 steps or more, microbatches, validation), each session's workers and
    /// threads, its checkpoints and its faults, at least five in all. The last session has none, so every run completes.
    ///
    /// - Parameters:
    ///   - workers: the range that each session's number of workers is drawn from.
    ///   - maximumSessions: sessions with faults.
    /// - Throws: `SimulationFailure`, with a trace, at the first invariant that does not hold.
    package static func play(
        seed: UInt64,
        workers: ClosedRange<Int> = 3...9,
        maximumSessions: Int = 6
    ) throws -> Summary {
        do {
            return try play(seed: seed, workers: workers, maximumSessions: maximumSessions, tracing: false)
        } catch is SimulationFailure {
            // The same seed again, now with a trace: replay is exact.
            return try play(seed: seed, workers: workers, maximumSessions: maximumSessions, tracing: true)
        }
    }

    private static func play(
        seed: UInt64,
        workers: ClosedRange<Int>,
        maximumSessions: Int,
        tracing: Bool
    ) throws -> Summary {
        var random = SimulatedRandom(seed: seed, stream: 0)
        let run = try randomRun(seed: seed, &random)
        var summary = Summary(sessions: 0, events: 0, steps: run.lastStep, outcomes: [])
        // The same run again where it was complete before enough had gone wrong.
        repeat {
            try playOnce(
                seed: seed,
                run: run,
                workers: workers,
                lastSession: summary.sessions + maximumSessions,
                tracing: tracing,
                &summary,
                &random
            )
        } while summary.faults < 5
        return summary
    }

    /// Plays sessions until the run is complete.
    private static func playOnce(
        seed: UInt64,
        run: SimulatedRun,
        workers: ClosedRange<Int>,
        lastSession: Int,
        tracing: Bool,
        _ summary: inout Summary,
        _ random: inout SimulatedRandom
    ) throws {
        var disk = SimulatedDisk()
        while true {
            let isLast = summary.sessions == lastSession
            var session = randomSession(seed: seed, number: summary.sessions, workers: workers, &random)
            session.tracing = tracing
            if isLast { session.faults = [] }
            var world = SimulatedWorld(run: run, session: session, disk: disk)
            let before = disk.newest?.progress.completedSteps ?? 0
            let result: SimulatedWorld.Result
            (result, disk) = try world.play()
            summary.sessions += 1
            summary.events += result.events
            summary.faults += result.faults
            summary.effects.merge(result.effects, uniquingKeysWith: +)
            summary.lost += result.lost.count
            summary.joined += result.joined
            summary.takeovers += result.takeovers
            summary.outcomes.append(result.outcome?.kind)
            try world.verify(
                (disk.newest?.progress.completedSteps ?? 0) >= before,
                "a session lost what was saved before it"
            )
            let last = run.reference[run.reference.count - 1]
            if result.outcome?.kind == .completed {
                try world.verify(
                    disk.newest?.weights == last.weights && disk.newest?.progress == last.after,
                    "the final weights are not those of the undisturbed run"
                )
                return
            }
            try world.verify(!isLast, "an undisturbed session ended with \(String(describing: result.outcome))")
        }
    }

    private static func randomRun(seed: UInt64, _ random: inout SimulatedRandom) throws -> SimulatedRun {
        let microbatches = random.integer(in: 1...9)
        let microbatchSize = random.integer(in: 1...3)
        let epochs = random.integer(in: 1...4)
        // 30 steps or a few more, the last batch of an epoch often being short.
        let samples = max(6, (30 + epochs) * microbatches * microbatchSize / epochs + random.integer(in: 0...20))
        let intervals: [ValidationSchedule.Interval] = [
            .never, .epochs(1), .epochs(2), .steps(UInt64(random.integer(in: 1...7))),
        ]
        return try SimulatedRun(
            seed: seed,
            samples: samples,
            epochs: epochs,
            microbatches: microbatches,
            microbatchSize: microbatchSize,
            validation: ValidationSchedule(
                interval: intervals[random.integer(below: intervals.count)],
                sampleCount: UInt32(random.integer(in: 1...30)),
                samplesPerRequest: UInt32(random.integer(in: 1...6))
            ),
            patience: nil,
            maximumSteps: 60
        )
    }

    private static func randomSession(
        seed: UInt64,
        number: Int,
        workers: ClosedRange<Int>,
        _ random: inout SimulatedRandom
    ) -> SimulatedWorld.Session {
        let count = random.integer(in: workers)
        let threads = (0..<count).map { _ in UInt32(random.integer(in: 1...4)) }
        let checkpoints = CheckpointPolicy(
            everySteps: random.oneIn(2) ? UInt64(random.integer(in: 1...10)) : nil,
            every: random.oneIn(3) ? .milliseconds(random.integer(in: 20...300)) : nil,
            onBest: random.oneIn(2),
            streams: random.integer(in: 1...4)
        )
        let respawns = random.integer(in: 0...6)
        var faults = (0..<random.integer(in: 2...8)).map { _ in
            TimedFault(
                randomFault(workers: count + respawns, &random),
                at: random.duration(.zero ... .milliseconds(random.oneIn(6) ? 60 : 900))
            )
        }
        // A state that is changed under a worker is found at the next step's digests. A crash before that may leave a
        // checkpoint that nothing has verified, which needs a second witness for each checkpoint: not yet.
        if let corruption = faults.first(where: { if case .corruptState = $0.fault { true } else { false } }) {
            faults = [corruption]
        }
        return SimulatedWorld.Session(
            seed: seed,
            threads: threads,
            checkpoints: checkpoints,
            faults: faults,
            // Coordinators that take over in a session count on from here.
            fencing: UInt64(number + 1) << 7,
            minimumWorkers: random.oneIn(3) ? random.integer(in: 1...count) : 1,
            respawns: respawns
        )
    }

    private static func randomFault(workers: Int, _ random: inout SimulatedRandom) -> SimulatedFault {
        let worker = random.integer(below: workers)
        let notices = SimulatedFault.Notice.allCases
        switch random.integer(below: 52) {
        case 48...51:
            let length: Duration =
                random.oneIn(12) ? .seconds(30) : random.duration(.milliseconds(1) ... .seconds(3))
            return .takeover(afterActions: random.integer(in: 0...24), length, wakes: random.oneIn(3))
        case 0...13:
            return .crash(
                worker: worker,
                notices[random.integer(below: notices.count)],
                peersNotice: random.oneIn(2)
            )
        case 14: return .freeze(worker: worker, .seconds(20))
        case 15: return .freeze(worker: worker, random.duration(.milliseconds(1) ... .seconds(3)))
        case 16: return .failure(worker: worker)
        case 17: return .corruptState(worker: worker)
        case 18: return .corruptSums(worker: worker)
        case 19: return .leave(worker: worker)
        case 20: return .coordinatorCrash
        case 21: return .drain
        case 22: return .stop
        case 23: return .slowLink(worker: worker, random.duration(.milliseconds(50) ... .seconds(2)))
        case 24...26:
            let links = SimulatedFault.Link.allCases
            let length: Duration =
                random.oneIn(3) ? .seconds(20) : random.duration(.milliseconds(1) ... .seconds(3))
            return .partition(
                worker: worker,
                links[random.integer(below: links.count)],
                length,
                breaks: random.oneIn(2)
            )
        case 27, 28: return .unreachable(worker: worker, other: random.integer(below: workers))
        case 29, 30: return .fullDisk(random.duration(.milliseconds(100) ... .seconds(2)))
        case 31...33: return .duplication(worker: worker, random.duration(.milliseconds(50) ... .seconds(2)))
        case 34, 35: return .reordering(worker: worker, random.duration(.milliseconds(20) ... .milliseconds(500)))
        case 36...38:
            let length: Duration =
                random.oneIn(8) ? .seconds(20) : random.duration(.milliseconds(10) ... .seconds(3))
            return .suspension(randomProcess(worker, &random), length, clockStops: random.oneIn(2))
        case 39...41:
            // As far as 5 %; what keeps time by itself is within 0.01 %.
            return .clockDrift(randomProcess(worker, &random), ppm: random.integer(in: -50_000...50_000))
        case 42...44:
            let length: Duration =
                random.oneIn(2)
                ? random.duration(.milliseconds(50) ... .seconds(1)) : random.duration(.seconds(1) ... .seconds(100))
            return .clockJump(randomProcess(worker, &random), length)
        default:
            let latencies: [Duration] = [
                .milliseconds(100), .milliseconds(300), .seconds(1), .seconds(3), .seconds(15),
                random.oneIn(8) ? .seconds(200) : .milliseconds(30),
            ]
            return .slowDisk(
                random.duration(.milliseconds(100) ... .seconds(3)),
                latency: latencies[random.integer(below: latencies.count)]
            )
        }
    }

    private static func randomProcess(_ worker: Int, _ random: inout SimulatedRandom) -> SimulatedFault.Process {
        random.oneIn(2) ? .coordinator : .worker(worker)
    }
}
