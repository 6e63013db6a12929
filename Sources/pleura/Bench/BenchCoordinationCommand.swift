import ArgumentParser
import Benchmarks
import CSystem
import Diagnostics
import Foundation

/// `pleura bench coordination`.
struct BenchCoordinationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordination",
        abstract: "Measures what a step costs the coordinator by the number of workers.",
        discussion: """
            First the machines alone with their encoded messages, for --simulated numbers of workers: messages, bytes and \
            processor time of a step. Then the real coordinator over ZeroMQ with --workers mock workers, which compute \
            nothing, in a process beside it: the time of a step. Each worker has one microbatch.
            """
    )

    struct Report: Codable {
        var benchmark = "coordination"
        var simulated: [CoordinationScale.Row]
        var real: [CoordinationBenchmark.Row]
    }

    @Option(help: "Mock workers of the real coordinator, separated by commas; empty for none.")
    var workers = "2,16,128,1024"

    @Option(help: "Workers of the machines alone, separated by commas; empty for none.")
    var simulated = "2,16,128,1024,4096"

    @Option(help: "Counted steps of the real coordinator.")
    var steps = 50

    @Option(help: "Counted steps of the machines alone.")
    var simulatedSteps = 10

    @Option(help: "Write the figures as JSON to this path; - for standard output.", transform: userPath)
    var json: String?

    func validate() throws {
        _ = try Self.numbers(workers, most: 1024, option: "--workers")
        _ = try Self.numbers(simulated, most: 16_384, option: "--simulated")
        for (name, value) in [("steps", steps), ("simulated-steps", simulatedSteps)]
        where !(1...100_000).contains(value) {
            throw ValidationError("--\(name) must be 1 to 100000, not \(value).")
        }
    }

    private static func numbers(_ text: String, most: Int, option: String) throws -> [Int] {
        try text.split(separator: ",").map { word in
            guard let number = Int(word), (1...most).contains(number) else {
                throw ValidationError("\(option): `\(word)` is not a number from 1 to \(most).")
            }
            return number
        }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        var report = Report(simulated: [], real: [])
        for count in try Self.numbers(simulated, most: 16_384, option: "--simulated") {
            printError("the machines alone, \(count) workers")
            report.simulated.append(try CoordinationScale.measure(workers: count, steps: simulatedSteps))
        }
        let benchmark = CoordinationBenchmark(
            executable: try ownExecutable(),
            arguments: ["bench", "coordination-workers", "--parent", "\(getpid())"]
        )
        for count in try Self.numbers(workers, most: 1024, option: "--workers") {
            printError("the coordinator over ZeroMQ, \(count) mock workers")
            report.real.append(try benchmark.run(workers: count, steps: steps))
        }
        if let json {
            try JSONOutput.write(report, to: json)
            if json == "-" { return }
        }
        try printResult(Self.table(report))
    }

    private static func table(_ report: Report) -> String {
        var lines = [
            "machines alone: of a step",
            " workers  messages in  messages out      bytes in     bytes out  processor ms",
        ]
        for row in report.simulated {
            let seconds = row.decodingSeconds + row.machineSeconds + row.encodingSeconds
            lines.append(
                String(
                    format: "%8d %12.0f %13.0f %13.0f %13.0f %13.3f",
                    row.workers,
                    row.messagesIn,
                    row.messagesOut,
                    row.bytesIn,
                    row.bytesOut,
                    seconds * 1e3
                )
            )
        }
        lines += [
            "coordinator over ZeroMQ", " workers   step ms    min ms    max ms  coordinator's processor ms  mocks' ms",
        ]
        for row in report.real {
            lines.append(
                String(
                    format: "%8d %9.3f %9.3f %9.3f %27.3f %10.3f",
                    row.workers,
                    row.stepSeconds * 1e3,
                    row.stepSecondsMinimum * 1e3,
                    row.stepSecondsMaximum * 1e3,
                    row.coordinatorSeconds * 1e3,
                    row.mocksSeconds * 1e3
                )
            )
        }
        return lines.joined(separator: "\n")
    }
}

/// The mock workers of the benchmark: started by `bench coordination`, not by users.
struct BenchCoordinationWorkersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordination-workers",
        abstract: "Serves a coordinator with workers that compute nothing.",
        shouldDisplay: false
    )

    @Option(help: "The process with which this one ends.")
    var parent: Int32

    @Option(help: "Where the coordinator listens.")
    var endpoint: String

    @Option(help: "How many workers.")
    var workers: Int

    @Option(help: "Threads for all of them.")
    var threads = 1

    @Option(help: "The digest of the coordinator's network.")
    var networkDigest: String

    @Option(help: "The digest of the coordinator's data set.")
    var datasetDigest: String

    func validate() throws {
        guard (1...1024).contains(workers), (1...64).contains(threads) else {
            throw ValidationError("--workers is 1 to 1024, --threads 1 to 64.")
        }
    }

    func run() throws {
        try endWithParent(parent)
        let crew = MockCrew(
            MockCrew.Options(
                endpoint: endpoint,
                workers: workers,
                threads: threads,
                networkDigest: networkDigest,
                datasetDigest: datasetDigest
            )
        )
        let (seconds, failed) = try crew.run()
        guard failed == 0 else {
            printError("\(failed) of \(workers) mock workers were not told of the run's end.")
            throw ExitCode(ExitStatus.temporary.rawValue)
        }
        try printResult("\(seconds)")
    }
}
