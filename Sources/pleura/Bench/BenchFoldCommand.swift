import ArgumentParser
import Benchmarks
import Configuration
import Foundation
import KernelSelection

/// `pleura bench fold`.
struct BenchFoldCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fold",
        abstract: "Times the canonical sum of a worker's microbatches beside one in order of arrival.",
        discussion: """
            One thread writes the gradients of a configuration's network bucket by bucket, as a backward pass does, and \
            adds them: in the order of the tree that training keeps, and to one buffer as they come, which is no way to \
            train. The difference over a step's time is what the order costs.
            """
    )

    @Argument(help: "The configuration, such as configs/bench/unet-resnet34-256.yaml.", transform: userPath)
    var configuration: String

    @Option(help: "Microbatches that the worker has in a step.")
    var microbatches = 4

    @Option(help: "Rounds, alternating between the orders.")
    var rounds = 15

    @OptionGroup var overrides: OverrideOptions

    @Option(help: "Write the figures as JSON to this path; - for standard output.", transform: userPath)
    var json: String?

    func validate() throws {
        for (name, value) in [("microbatches", microbatches), ("rounds", rounds)] where !(1...4096).contains(value) {
            throw ValidationError("--\(name) must be 1 to 4096, not \(value).")
        }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        let resolved = try RunConfiguration.load(path: configuration, overrides: overrides.set)
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        let report = try FoldBenchmark(resolved, variant: variant).run(microbatches: microbatches, rounds: rounds)
        if let json {
            try JSONOutput.write(report, to: json)
            if json == "-" { return }
        }
        try printResult(
            String(
                format: "%d microbatches of %d bytes: canonical %.1f ms, as they come %.1f ms, writing alone %.1f ms",
                report.microbatches,
                report.bytes,
                report.canonicalSeconds * 1e3,
                report.plainSeconds * 1e3,
                report.writingSeconds * 1e3
            )
        )
    }
}
