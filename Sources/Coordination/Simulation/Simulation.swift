/// Plays whole runs: sessions with random faults, each resumed from what the last one left, until the run is complete.
package enum Simulation {
    /// What a seed came to.
    package struct Summary: Hashable, Sendable {
        package var sessions: Int
        package var events: Int
        package var steps: UInt64
        package var outcomes: [RunOutcome.Kind?]
    }

    /// Plays the run of `seed` to its end.
    ///
    /// Everything is drawn from the seed: the run (samples, epochs, microbatches, validation), each session's workers
    /// and threads, its checkpoints and its faults. The last session has none, so every run completes.
    ///
    /// - Parameters:
    ///   - workers: the range that each session's number of workers is drawn from.
    ///   - maximumSessions: sessions with faults.
    /// - Throws: `SimulationFailure`, with a trace, at the first invariant that does not hold.
    package static func play(
        seed: UInt64,
        workers: ClosedRange<Int> = 1...9,
        maximumSessions: Int = 4
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
        var disk = SimulatedDisk()
        var summary = Summary(sessions: 0, events: 0, steps: run.lastStep, outcomes: [])
        while true {
            let isLast = summary.sessions == maximumSessions
            var session = randomSession(seed: seed, number: summary.sessions, workers: workers, &random)
            session.tracing = tracing
            if isLast { session.faults = [] }
            var world = SimulatedWorld(run: run, session: session, disk: disk)
            let before = disk.newest?.progress.completedSteps ?? 0
            let result: SimulatedWorld.Result
            (result, disk) = try world.play()
            summary.sessions += 1
            summary.events += result.events
            summary.outcomes.append(result.outcome?.kind)
            try world.require(
                (disk.newest?.progress.completedSteps ?? 0) >= before,
                "a session lost what was saved before it"
            )
            if result.outcome?.kind == .completed { break }
            try world.require(!isLast, "an undisturbed session ended with \(String(describing: result.outcome))")
        }
        let world = SimulatedWorld(
            run: run,
            session: randomSession(seed: seed, number: 0, workers: 1...1, &random),
            disk: disk
        )
        try world.require(
            disk.newest?.weights == run.reference[run.reference.count - 1].weights
                && disk.newest?.progress == run.reference[run.reference.count - 1].after,
            "the final weights are not those of the undisturbed run"
        )
        return summary
    }

    private static func randomRun(seed: UInt64, _ random: inout SimulatedRandom) throws -> SimulatedRun {
        let samples = random.integer(in: 6...40)
        let microbatches = random.integer(in: 1...9)
        let microbatchSize = random.integer(in: 1...3)
        let intervals: [ValidationSchedule.Interval] = [
            .never, .epochs(1), .epochs(2), .steps(UInt64(random.integer(in: 1...7))),
        ]
        return try SimulatedRun(
            seed: seed,
            samples: samples,
            epochs: random.integer(in: 1...4),
            microbatches: microbatches,
            microbatchSize: microbatchSize,
            validation: ValidationSchedule(
                interval: intervals[random.integer(below: intervals.count)],
                sampleCount: UInt32(random.integer(in: 1...30)),
                samplesPerRequest: UInt32(random.integer(in: 1...6))
            ),
            patience: random.oneIn(4) ? UInt32(random.integer(in: 1...3)) : nil,
            maximumSteps: 40
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
        var faults = (0..<random.integer(in: 0...3)).map { _ in
            TimedFault(
                randomFault(workers: count, &random),
                at: random.duration(.zero ... .milliseconds(random.oneIn(4) ? 60 : 700))
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
            fencing: UInt64(number + 1)
        )
    }

    private static func randomFault(workers: Int, _ random: inout SimulatedRandom) -> SimulatedFault {
        let worker = random.integer(below: workers)
        let notices = SimulatedFault.Notice.allCases
        switch random.integer(below: 14) {
        case 0...3:
            return .crash(
                worker: worker,
                notices[random.integer(below: notices.count)],
                peersNotice: random.oneIn(2)
            )
        case 4: return .freeze(worker: worker, .seconds(20))
        case 5: return .freeze(worker: worker, random.duration(.milliseconds(1) ... .seconds(3)))
        case 6: return .failure(worker: worker)
        case 7: return .corruptState(worker: worker)
        case 8: return .corruptSums(worker: worker)
        case 9: return .leave(worker: worker)
        case 10: return .coordinatorCrash
        case 11: return .drain
        case 12: return .stop
        default: return .fullDisk(random.duration(.milliseconds(1) ... .seconds(1)))
        }
    }
}
