import ArgumentParser
import Diagnostics
import Foundation
import Platform
import Simulation

/// `pleura simulate`.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Plays whole runs with random faults in a simulated world, with the real coordinator and workers.",
        discussion: """
            Only the state machines are real: network, disks, clocks and arithmetic are simulated, so that thousands of runs \
            are played in a minute. All that goes wrong is drawn from the seed. After each event invariants are checked; \
            the last is that the run ends with the weights of an undisturbed one. A seed that fails is shortened, and its \
            schedule is printed with the command that plays it again. Exits 70 where one fails.
            """
    )

    @Option(help: "How many seeds; 1,000 where --minutes does not say how long.")
    var seeds: UInt64?

    @Option(help: "The first seed.")
    var first: UInt64 = 0

    @Option(help: "Workers of a session: a number or a range such as 3..9.")
    var workers: String = "3..9"

    @Option(help: "Begin no further seed after so many minutes.")
    var minutes: Double?

    @Option(help: "Threads; all cores without.")
    var jobs: Int?

    @Option(help: "Play this seed or schedule once, as a failing seed prints it, and say what happens.")
    var replay: String?

    func validate() throws {
        guard SimulationSweep.range(workers) != nil else {
            throw ValidationError("--workers must be a number or a range such as 3..9, not '\(workers)'.")
        }
        guard seeds.map({ (1...1 << 40).contains($0) }) ?? true, first <= 1 << 60 else {
            throw ValidationError("--seeds must be from 1 to 2^40, and --first at most 2^60.")
        }
        guard minutes.map({ $0 > 0 && $0 <= 60 * 24 * 366 }) ?? true else {
            throw ValidationError("--minutes must be above 0 and at most a year.")
        }
        guard jobs.map({ (1...1024).contains($0) }) ?? true else {
            throw ValidationError("--jobs must be from 1 to 1024.")
        }
    }

    func run() throws {
        let range = SimulationSweep.range(workers) ?? SimulationSweep.usualWorkers
        if let replay {
            try play(replay, workers: range)
            return
        }
        var options = SimulationSweep.Options()
        options.first = first
        options.seeds = seeds ?? (minutes == nil ? 1000 : nil)
        options.duration = minutes.map { .milliseconds(Int64($0 * 60_000)) }
        options.workers = range
        options.threads = jobs ?? UsableProcessors.count
        let progress = ProgressLine("simulating", unit: "seed")
        let start = ContinuousClock.now
        let report = try SimulationSweep(options).run { report in
            progress.show(
                done: Int(report.seeds),
                total: Int(options.seeds ?? max(report.seeds, 1)),
                rejected: report.failures.count
            )
        }
        progress.end()
        let seconds = String(format: "%.1f", (ContinuousClock.now - start).seconds)
        try printResult(
            "\(report.seeds) seeds from \(first), \(report.sessions) sessions, \(report.events) events in \(seconds) s"
        )
        try printResult(
            "\(report.faults) faults took effect; \(report.lost) workers were lost, \(report.joined) joined, "
                + "\(report.takeovers) coordinators took over"
        )
        for (name, count) in report.effects { try printResult(count.description.leftPadded(to: 9) + "  " + name) }
        guard !report.failures.isEmpty else {
            try printResult("No invariant was broken.")
            return
        }
        for failure in report.failures.dropFirst() { try tell(failure, lines: 0) }
        if let failure = report.failures.first { try tell(failure, lines: failure.lines.count) }
        throw ExitCode(ExitStatus.internal.rawValue)
    }

    private func tell(_ failure: SimulationSweep.Failure, lines: Int) throws {
        try printResult("\nSeed \(failure.seed) fails: \(failure.sentence).")
        for line in failure.lines.prefix(lines) { try printResult("  " + line) }
        try printResult("Play it again: pleura simulate --replay \(failure.schedule)")
    }

    private func play(_ text: String, workers: ClosedRange<Int>) throws {
        guard let replay = try SimulationSweep.replay(text, workers: workers) else {
            throw ValidationError("'\(text)' is no seed and no schedule as `pleura simulate` prints it.")
        }
        for line in replay.lines { try printResult(line) }
        if let failure = replay.failure {
            try tell(failure, lines: failure.lines.count)
            throw ExitCode(ExitStatus.internal.rawValue)
        }
        try printResult("No invariant was broken. The sessions ended: \(replay.outcomes.joined(separator: ", ")).")
    }
}

extension String {
    fileprivate func leftPadded(to width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}
