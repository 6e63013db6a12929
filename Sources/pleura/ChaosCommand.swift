import ArgumentParser
import Chaos
import Diagnostics
import Foundation
import Platform

/// `pleura chaos`.
struct ChaosCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Runs a configuration again and again under random real faults, and compares the weights.",
        discussion: """
            First undisturbed, then while workers are killed, stopped, added and let go, the run itself is killed and the \
            disk fills up. Every run must end with the SHA-256 of the undisturbed one. A table says how often each fault \
            was tried and how long it took until the next committed step.

            Faults: \(ChaosFault.allCases.map(\.rawValue).joined(separator: ", ")).

            Exits 0 where all hashes are equal, and 70 with the seed and the faults where one is not or a run hangs; the \
            run is kept then. Processes of this machine are disturbed, no others.
            """
    )

    @Argument(help: "The configuration, such as configs/demo.yaml.", transform: userPath)
    var configuration: String

    @Option(help: "For how many minutes new runs are started; the last one is finished.")
    var minutes: Double

    @Option(help: "Worker processes; also workers.count.")
    var workers: Int?

    @Option(help: "Equal seeds draw equal faults.")
    var seed: UInt64 = 1

    @OptionGroup var overrides: OverrideOptions

    @Option(help: ArgumentHelp("One kind of fault only; can be given several times.", valueName: "kind"))
    var fault: [String] = []

    @Option(
        help: ArgumentHelp("Where the runs are; by default run.directory and -chaos.", valueName: "folder"),
        transform: userPath
    )
    var directory: String?

    @Option(help: "Write the figures as JSON to this path; - for standard output.", transform: userPath)
    var json: String?

    @Option(help: .hidden)
    var mostFaults: Int?

    @Option(help: .hidden)
    var patience: Double?

    @Option(help: .hidden)
    var expect: String?

    func validate() throws {
        guard minutes > 0, minutes <= 1e6 else {
            throw ValidationError("--minutes must be above 0 and at most a million, found \(minutes).")
        }
        if let patience, !(patience > 0 && patience <= 1e6) {
            throw ValidationError("--patience must be above 0 seconds, found \(patience).")
        }
        if let mostFaults, mostFaults < 1 {
            throw ValidationError("--most-faults must be at least 1, found \(mostFaults).")
        }
        for name in fault where ChaosFault(rawValue: name) == nil {
            let known = ChaosFault.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--fault takes one of \(known), found \(name).")
        }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        var options = ChaosRun.Options(
            configuration: configuration,
            overrides: overrides.set + (workers.map { ["workers.count=\($0)"] } ?? []),
            duration: .milliseconds(Int64(minutes * 60_000)),
            seed: seed,
            faults: fault.isEmpty ? ChaosFault.allCases : fault.compactMap(ChaosFault.init)
        )
        options.directory = directory
        if let mostFaults { options.mostFaults = mostFaults }
        options.patience = patience.map { .milliseconds(Int64($0 * 1000)) }
        options.expected = expect
        let toOutput = json != "-"
        let chaos = try ChaosRun(options) { line in
            // A line at a time, also where standard output is a file that somebody watches.
            (toOutput ? StandardStream.output : .error).say(line + "\n")
        }
        let report = try chaos.run()
        if let json { try JSONOutput.write(report, to: json, keys: .convertToSnakeCase) }
        if toOutput { StandardStream.output.say(report.table + "\n") }
        if let failure = report.failure { throw ChaosRun.Failure(failure) }
        let faults = report.events.count
        guard faults > 0 else {
            throw ChaosRun.Failure(
                "Nothing was disturbed: the runs were over before a fault was due. Give more --minutes and longer runs, as by "
                    + "--set training.epochs=100.",
                .usage
            )
        }
        if toOutput {
            StandardStream.output.say(
                "\(report.runs.count) runs of seed \(seed) on, \(faults) faults: all hashes are those of the undisturbed run\n"
            )
        }
    }
}
