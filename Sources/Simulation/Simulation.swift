package import Coordination

/// Plays whole runs: sessions with random faults, each resumed from what the last one left, until the run is complete.
package enum Simulation {
    /// What a seed came to.
    package struct Summary: Hashable, Sendable {
        package var sessions = 0
        package var events = 0
        /// Faults that did something, workers that were put out, and workers that joined a run under way.
        package var faults = 0
        package var effects: [SimulatedEffect: Int] = [:]
        package var lost = 0
        package var joined = 0
        /// Coordinators that took over from dead ones, and went on from their workers' memory.
        package var takeovers = 0
        package var steps: UInt64 = 0
        package var outcomes: [RunOutcome.Kind?] = []

        mutating func add(_ result: SimulatedWorld.Result) {
            sessions += 1
            events += result.events
            faults += result.faults
            effects.merge(result.effects, uniquingKeysWith: +)
            lost += result.lost.count
            joined += result.joined
            takeovers += result.takeovers
            outcomes.append(result.outcome?.kind)
        }
    }

    /// A further invariant: what does not hold at this moment, or nil.
    package typealias Invariant = @Sendable (SimulatedWorld) -> String?

    /// Plays the run of `seed` to its end.
    ///
    /// Everything is drawn from the seed: the run (30 steps or more, microbatches, validation), each session's workers and
    /// threads, its checkpoints and its faults, at least five in all. The last session has none, so every run completes.
    ///
    /// - Parameters:
    ///   - workers: the range that each session's number of workers is drawn from.
    ///   - maximumSessions: sessions with faults.
    /// - Throws: `SimulationFailure`, with the schedule to play it again, at the first invariant that does not hold.
    package static func play(
        seed: UInt64,
        workers: ClosedRange<Int> = SimulatedCase.usualWorkers,
        maximumSessions: Int = 6,
        invariant: Invariant? = nil
    ) throws -> Summary {
        var draws = SimulatedDraws(seed: seed, workers: workers)
        let run = try draws.run(steps: nil)
        var summary = Summary()
        summary.steps = run.lastStep
        // The same run again where it was complete before enough had gone wrong.
        repeat {
            var schedule = SimulatedCase(seed: seed, workers: workers)
            let lastSession = summary.sessions + maximumSessions
            var disk = SimulatedDisk()
            var isComplete = false
            while !isComplete {
                let isLast = summary.sessions == lastSession
                var session = draws.session()
                if isLast { session.faults = [] }
                schedule.parts.append(SimulatedCase.Part(number: draws.sessions, faults: isLast ? [] : nil))
                do {
                    let result = try play(session, of: run, &disk, invariant: invariant)
                    summary.add(result)
                    isComplete = result.outcome?.kind == .completed
                } catch {
                    throw SimulationFailure(
                        seed: seed,
                        invariant: error.invariant,
                        at: error.at,
                        trace: error.trace,
                        schedule: schedule
                    )
                }
            }
        } while summary.faults < 5
        return summary
    }

    /// Plays a schedule as it stands; it need not complete its run.
    ///
    /// - Parameter tracing: whether a failure tells what happened last.
    /// - Throws: `SimulationFailure` at the first invariant that does not hold, `SamplingError` never.
    @discardableResult
    package static func play(
        _ schedule: SimulatedCase,
        tracing: Bool = false,
        invariant: Invariant? = nil
    ) throws -> Summary {
        let (run, sessions) = try schedule.sessions()
        var summary = Summary()
        summary.steps = run.lastStep
        var disk = SimulatedDisk()
        for var session in sessions {
            session.tracing = tracing
            do {
                summary.add(try play(session, of: run, &disk, invariant: invariant))
            } catch {
                throw SimulationFailure(
                    seed: schedule.seed,
                    invariant: error.invariant,
                    at: error.at,
                    trace: error.trace,
                    schedule: schedule
                )
            }
            if summary.outcomes.last == .completed { break }
        }
        return summary
    }

    private static func play(
        _ session: SimulatedWorld.Session,
        of run: SimulatedRun,
        _ disk: inout SimulatedDisk,
        invariant: Invariant?
    ) throws(SimulationFailure) -> SimulatedWorld.Result {
        let world = SimulatedWorld(run: run, session: session, disk: disk)
        world.invariant = invariant
        let before = disk.newest?.progress.completedSteps ?? 0
        let result: SimulatedWorld.Result
        (result, disk) = try world.play()
        try world.verify(
            (disk.newest?.progress.completedSteps ?? 0) >= before,
            "a session lost what was saved before it"
        )
        if result.outcome?.kind == .completed {
            let last = run.reference[run.reference.count - 1]
            try world.verify(
                disk.newest?.weights == last.weights && disk.newest?.progress == last.after,
                "the final weights are not those of the undisturbed run"
            )
        } else {
            try world.verify(
                !session.faults.isEmpty,
                "an undisturbed session ended with \(String(describing: result.outcome))"
            )
        }
        return result
    }
}
