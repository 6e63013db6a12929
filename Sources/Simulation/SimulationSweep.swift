import Platform
import Synchronization

/// Plays the seeds of a range in the simulated world, on several threads, and shortens the schedules of those that fail.
package struct SimulationSweep: Sendable {
    package struct Options: Sendable {
        package var first: UInt64 = 0
        /// How many seeds; nil goes on until the time is over.
        package var seeds: UInt64?
        /// After how long no further seed is begun.
        package var duration: Duration?
        /// The range that each session's number of workers is drawn from.
        package var workers = SimulationSweep.usualWorkers
        package var threads = 1
        /// After so many seeds that fail, no further one is begun.
        package var failuresAtMost = 10

        package init() {}
    }

    /// A seed that fails.
    package struct Failure: Sendable {
        package var seed: UInt64
        /// What does not hold, and when.
        package var sentence: String
        /// The shortest schedule found, as `replay` takes it.
        package var schedule: String
        /// The schedule in words, and what happened last in it, oldest first.
        package var lines: [String]
    }

    /// What a range of seeds came to so far.
    package struct Report: Sendable {
        package var seeds: UInt64 = 0
        package var sessions = 0
        package var events = 0
        /// Faults that did something, and for each effect of faults how often it came about.
        package var faults = 0
        package var effects: [(name: String, count: Int)] = SimulatedEffect.allCases.map { ($0.description, 0) }
        package var lost = 0
        package var joined = 0
        package var takeovers = 0
        /// Ascending by seed.
        package var failures: [Failure] = []

        fileprivate mutating func add(_ summary: Simulation.Summary) {
            seeds += 1
            sessions += summary.sessions
            events += summary.events
            faults += summary.faults
            lost += summary.lost
            joined += summary.joined
            takeovers += summary.takeovers
            for (index, effect) in SimulatedEffect.allCases.enumerated() {
                effects[index].count += summary.effects[effect] ?? 0
            }
        }
    }

    package static let usualWorkers = SimulatedCase.usualWorkers

    /// `3..9`, or `5` alone; nil where the text is no range.
    package static func range(_ text: String) -> ClosedRange<Int>? { SimulatedCase.range(text) }

    private let options: Options

    package init(_ options: Options) { self.options = options }

    /// Plays all seeds; `progress` hears of it now and then, on the calling thread.
    ///
    /// A seed that fails does not end the others.
    package func run(progress: (Report) -> Void = { _ in }) throws -> Report {
        let work = Work(options)
        let threads = try (0..<max(1, options.threads)).map { number in
            try OwnedThread(name: "pleura-sim-\(number)") { work.run() }
        }
        while true {
            let ticket = work.condition.ticket
            let (report, isOver) = work.state.withLock { ($0.report, $0.running == 0) }
            progress(report)
            if isOver { break }
            work.condition.wait(since: ticket)
        }
        for thread in threads { thread.join() }
        var report = work.state.withLock { $0.report }
        report.failures.sort { $0.seed < $1.seed }
        return report
    }

    private final class Work: Sendable {
        struct State: Sendable {
            var next: UInt64
            var running: Int
            var report = Report()
        }

        let options: Options
        let state: Mutex<State>
        let condition = ThreadCondition()
        private let start = ContinuousClock.now

        init(_ options: Options) {
            self.options = options
            state = Mutex(State(next: options.first, running: max(1, options.threads)))
        }

        /// Plays one seed after the other until none is left.
        func run() {
            while let seed = take() {
                do {
                    let summary = try Simulation.play(seed: seed, workers: options.workers)
                    state.withLock { $0.report.add(summary) }
                } catch {
                    let failure = SimulationSweep.failure(seed, error)
                    state.withLock { state in
                        state.report.seeds += 1
                        state.report.failures.append(failure)
                    }
                }
                condition.signal()
            }
            state.withLock { $0.running -= 1 }
            condition.signal()
        }

        private func take() -> UInt64? {
            if let duration = options.duration, ContinuousClock.now - start >= duration { return nil }
            return state.withLock { state in
                let seed = state.next
                if let seeds = options.seeds, seed - options.first >= seeds { return nil }
                if seed == .max || state.report.failures.count >= options.failuresAtMost { return nil }
                state.next += 1
                return seed
            }
        }
    }

    private static func failure(_ seed: UInt64, _ error: any Error) -> Failure {
        guard let failure = error as? SimulationFailure, let schedule = failure.schedule else {
            return Failure(seed: seed, sentence: "\(error)", schedule: "\(seed)", lines: [])
        }
        let (shortest, found) = Simulation.shrink(schedule) ?? (schedule, failure)
        return Failure(
            seed: seed,
            sentence: "\(found.invariant), \(found.at) into its last session",
            schedule: shortest.description,
            lines: ((try? shortest.lines()) ?? []) + found.trace
        )
    }

    // MARK: Replay

    /// What a schedule came to that was played again.
    package struct Replay: Sendable {
        /// The schedule in words.
        package var lines: [String]
        /// How each session ended.
        package var outcomes: [String]
        package var failure: Failure?
    }

    /// Plays the schedule that `text` names; nil where it names none. A seed alone is played to its end.
    package static func replay(_ text: String, workers: ClosedRange<Int> = usualWorkers) throws -> Replay? {
        guard var schedule = SimulatedCase(text) else { return nil }
        if workers != usualWorkers { schedule.workers = workers }
        var replay = Replay(lines: try schedule.lines(), outcomes: [])
        do {
            let summary =
                schedule.parts.isEmpty
                ? try Simulation.play(seed: schedule.seed, workers: schedule.workers)
                : try Simulation.play(schedule, tracing: true)
            replay.outcomes = summary.outcomes.map { $0.map { "\($0)" } ?? "the coordinator was killed" }
        } catch let failure as SimulationFailure {
            let played = failure.schedule ?? schedule
            var trace = failure.trace
            if trace.isEmpty {
                do {
                    try Simulation.play(played, tracing: true)
                } catch let again as SimulationFailure {
                    trace = again.trace
                }
            }
            replay.lines = try played.lines()
            replay.failure = Failure(
                seed: schedule.seed,
                sentence: "\(failure.invariant), \(failure.at) into its last session",
                schedule: played.description,
                lines: trace
            )
        }
        return replay
    }
}
