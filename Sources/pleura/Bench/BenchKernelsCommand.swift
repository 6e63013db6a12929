import ArgumentParser
import Benchmarks
import Configuration
import Foundation
import KernelSelection
import Kernels

/// `pleura bench kernels`.
struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Times every kernel of a training step beside the limit that binds it, on one core.",
        discussion: """
            Runs whole steps of each configuration on noise and takes the median of each instruction; those of equal \
            operation and shape are one row. The limits are what one core does in registers and in copies, measured first.
            """
    )

    @Option(
        help: "A configuration, any number of times; without, all of configs/bench that have a size.",
        transform: userPath
    )
    var config: [String] = []

    @Option(help: "Steps that count; one more goes before.")
    var steps = 5

    @OptionGroup var overrides: OverrideOptions

    @Flag(help: "Measure the limits of one core only.")
    var limit = false

    @Flag(help: "Train two tiny networks in this process and print the hash of what they became: the same everywhere.")
    var hash = false

    @Option(help: "Write the figures as JSON to this path; - for standard output.", transform: userPath)
    var json: String?

    struct Step: Codable {
        var configuration: String
        var precision: String
        var stepSeconds: Double
        var rows: [StepProfile.Row]

        enum CodingKeys: String, CodingKey {
            case configuration, precision, rows
            case stepSeconds = "step_s"
        }
    }

    struct Report: Codable {
        var kernels: String
        var limits: CoreLimits
        var configurations: [Step]
    }

    func validate() throws {
        if hash && (limit || json != nil) {
            throw ValidationError("--hash measures nothing: leave out --limit and --json.")
        }
        if !(1...1000).contains(steps) { throw ValidationError("--steps must be 1 to 1000, not \(steps).") }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        if hash {
            try printResult("sha256 \(try HashTest.run(tables: variant.tables))")
            return
        }
        if limit {
            for precision in [ElementFormat.float32, .bfloat16] {
                let limits = CoreLimits.measure(variant.tables, precision: precision)
                try printResult(
                    "\(variant.table.name), \(precision.rawValue): multiply-adds \(Int(limits.fmaGflops)) GFLOP/s, "
                        + String(format: "copy %.1f GB/s", limits.copyGigabytesPerSecond)
                )
            }
            return
        }
        var steps: [Step] = []
        var limits: CoreLimits?
        for path in try paths() {
            let configuration = try RunConfiguration.load(path: path, overrides: overrides.set)
            if config.isEmpty && configuration.data.size == 0 { continue }
            let profile = try StepProfile(configuration, variant: variant, steps: self.steps, warmUps: 1)
            if json == nil { try printResult("\(path)\n\(profile.text)\n") }
            limits = limits ?? profile.limits
            steps.append(
                Step(
                    configuration: URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent,
                    precision: profile.precision,
                    stepSeconds: profile.stepSeconds,
                    rows: profile.rows
                )
            )
        }
        if let json, let limits {
            try JSONOutput.write(
                Report(kernels: variant.table.name, limits: limits, configurations: steps),
                to: json
            )
        }
    }

    private func paths() throws -> [String] {
        if !config.isEmpty { return config }
        let folder = "configs/bench"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder), !names.isEmpty else {
            throw ValidationError(
                "There is no \(folder) here; call this at the top of the repository, or name configurations with --config."
            )
        }
        return names.filter { $0.hasSuffix(".yaml") }.sorted().map { "\(folder)/\($0)" }
    }
}
