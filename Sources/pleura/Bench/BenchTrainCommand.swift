import ArgumentParser
import Benchmarks
import Configuration
import Foundation
import KernelSelection
import Platform

/// `pleura bench train`.
struct BenchTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Times whole training steps of a configuration between real worker processes.",
        discussion: """
            Draws phantoms of the configuration's size into a temporary folder and trains on them, one microbatch a \
            compute thread: reading, augmentation, forward, backward, all-reduce and optimizer. Steps are timed from \
            commit to commit; validation and checkpoints are no part of them.
            """
    )

    @Argument(help: "The configuration, such as configs/bench/unet-resnet34-256.yaml.", transform: userPath)
    var configuration: String

    @Option(help: "Worker processes.")
    var workers = 2

    @Option(help: "Compute threads of each worker.")
    var threads = 1

    @Option(help: "Counted steps.")
    var steps = 20

    @Option(help: "Steps before those.")
    var warmUps = 2

    @OptionGroup var overrides: OverrideOptions

    @Flag(help: "Show the kernels of a step on one thread of this process instead, sorted by time.")
    var profile = false

    @Option(
        help: "Write one step on one thread of this process as a trace for Perfetto or Chrome to this path.",
        transform: userPath
    )
    var trace: String?

    @Option(help: "Write the figures as JSON to this path; - for standard output.", transform: userPath)
    var json: String?

    func validate() throws {
        for (name, value, most) in [("workers", workers, 64), ("threads", threads, 256)]
        where !(1...most).contains(value) {
            throw ValidationError("--\(name) must be 1 to \(most), not \(value).")
        }
        for (name, value) in [("steps", steps), ("warm-ups", warmUps)] where !(1...100_000).contains(value) {
            throw ValidationError("--\(name) must be 1 to 100000, not \(value).")
        }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        try JSONOutput.requireOwn(trace, for: "--trace")
        let resolved = try RunConfiguration.load(path: configuration, overrides: overrides.set)
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        if profile || trace != nil {
            let step = try StepProfile(resolved, variant: variant, steps: steps, warmUps: warmUps)
            if let trace {
                try AtomicFile.write(Array(step.trace()), to: trace)
            }
            if profile { try printResult(step.text) }
            return
        }
        let benchmark = TrainingBenchmark(
            resolved,
            options: TrainingBenchmark.Options(workers: workers, threads: threads, steps: steps, warmUps: warmUps),
            variant: variant
        )
        let report = try benchmark.run { printError($0) }
        if let json {
            try JSONOutput.write(report, to: json)
            if json == "-" { return }
        }
        try printResult(Self.table(report))
    }

    private static func table(_ report: TrainingBenchmark.Report) -> String {
        func milliseconds(_ seconds: Double) -> String { String(format: "%9.1f", seconds * 1e3) }
        var lines = [
            "\(report.network) at \(report.size), \(report.kernels) kernels: \(report.workersCount) workers with "
                + "\(report.threads) threads, microbatches of \(report.microbatchSize), \(report.steps) steps",
            "worker   images/s  data ms  comp. ms  comm. ms   hidden   wait ms   GFLOP/s   peak MiB  planned",
        ]
        for worker in report.workers {
            lines.append(
                String(format: "%6d%11.2f", worker.worker, worker.imagesPerSecond)
                    + milliseconds(worker.dataSeconds) + milliseconds(worker.computeSeconds) + " "
                    + milliseconds(worker.communicationSeconds)
                    + String(format: "%7.0f %%", worker.hiddenCommunication * 100)
                    + milliseconds(worker.waitSeconds) + String(format: "%11.1f", worker.gflops)
                    + String(format: "%11.0f", Double(worker.peakResidentBytes) / 0x1p20)
                    + String(format: "%9.0f", Double(worker.plannedBytes) / 0x1p20)
            )
        }
        lines.append(
            String(
                format: "%.2f images/s; a step takes %.1f ms (%.1f to %.1f)",
                report.imagesPerSecond,
                report.stepSeconds * 1e3,
                report.stepSecondsMinimum * 1e3,
                report.stepSecondsMaximum * 1e3
            )
        )
        lines.append(
            String(
                format: "%.1f GFLOP/s, %.1f %% of %d cores at %.1f",
                report.gflops,
                report.fractionOfLimit * 100,
                report.workersCount * report.threads,
                report.fmaLimitGflops
            )
        )
        return lines.joined(separator: "\n")
    }
}
