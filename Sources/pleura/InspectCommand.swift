import ArgumentParser
import Configuration
import Foundation
import Graph
import ModelSetup
import Networks
import Platform
import RunFolder
import Storage

/// `pleura inspect`.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Shows what is in a run, a checkpoint or a configuration.",
        discussion: """
            A run or checkpoint: its step, its metrics, and the SHA-256 over all weights, by which runs are compared.
            A configuration: layers, shapes, parameters, operations and planned memory. With --fields: what may stand \
            in a configuration, with types, defaults and meanings.
            """
    )

    @Argument(
        help: "A run's folder, a checkpoint (.h5) or a configuration (.yaml); with --fields, a field or section.",
        transform: userPath
    )
    var path: String?

    @Flag(help: "Print every field of configurations, or those of the section or field that is named.")
    var fields = false

    @Flag(help: "With --fields: as a page of Markdown, which docs/configuration.md is.")
    var markdown = false

    @Option(help: "For a configuration without shards: the side of the images in pixels.")
    var size = 256

    @OptionGroup var overrides: OverrideOptions

    @Option(help: "Write the figures as JSON to this path; - for standard output.", transform: userPath)
    var json: String?

    func validate() throws {
        if path == nil && !fields {
            throw ValidationError("Name a run, a checkpoint or a configuration, or give --fields.")
        }
        if markdown && (!fields || path != nil) {
            throw ValidationError("--markdown goes with --fields, and prints all of them.")
        }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        if markdown {
            try StandardStream.output.write(RunConfiguration.page)
            return
        }
        if fields {
            guard let text = RunConfiguration.explain(path, width: min(100, StandardStream.output.columns ?? 80)) else {
                throw RunError.unknownOverride(
                    "A configuration has no field or section \(path ?? ""); `pleura inspect --fields` prints all."
                )
            }
            try printResult(text.hasSuffix("\n") ? String(text.dropLast()) : text)
            return
        }
        guard let path else { return }
        if path.hasSuffix(".yaml") || path.hasSuffix(".yml") {
            try inspectConfiguration(path)
        } else {
            try inspectCheckpoint(path)
        }
    }

    private func inspectConfiguration(_ path: String) throws {
        let configuration = try RunConfiguration.load(path: path, overrides: overrides.set)
        var side = configuration.data.size == 0 ? size : configuration.data.size
        if configuration.data.size == 0, !configuration.data.shards.isEmpty,
            let manifest = try? DatasetManifest.read(in: configuration.data.shards)
        {
            side = manifest.schema.size
        }
        let model = try ModelPlan(configuration, imageSize: side)
        let summary = try ModelSummary(
            model.network,
            loss: model.loss,
            images: configuration.training.microbatchSize,
            precision: model.precision,
            memory: model.memoryPolicy
        )
        let plan = MemoryPlan(model, arenaBytes: summary.arenas.first(where: \.isChosen)?.bytes ?? 0)
        if let json {
            try JSONOutput.write(ConfigurationReport(summary: summary, memory: plan), to: json)
        } else {
            try printResult("\(summary.text)planned memory     \(plan)")
            NextCommand.say("pleura launch \(path)", "trains it")
        }
    }

    /// The summary's figures, and the plan of the memory beside them.
    private struct ConfigurationReport: Encodable {
        var summary: ModelSummary
        var memory: MemoryPlan

        enum CodingKeys: String, CodingKey {
            case memory = "planned_memory"
        }

        func encode(to encoder: any Swift.Encoder) throws {
            try summary.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(memory, forKey: .memory)
        }
    }

    /// What is said about a checkpoint.
    struct CheckpointReport: Codable {
        var path: String
        var network: String
        var step: Int
        var epoch: Int
        var metrics: [String: Double]
        var numericsProfile: String
        var datasetDigest: String
        var parameters: Int
        var weightsSHA256: String
        var stateSHA256: String

        enum CodingKeys: String, CodingKey {
            case path, network, step, epoch, metrics, parameters
            case numericsProfile = "numerics_profile"
            case datasetDigest = "dataset_digest"
            case weightsSHA256 = "weights_sha256"
            case stateSHA256 = "state_sha256"
        }
    }

    /// Figures with their names in a few lines, as people read them; whole numbers without decimals, none as a dash.
    private static func figures(_ metrics: [String: Double]) -> String {
        metrics.sorted { $0.key < $1.key }.map { name, value in
            let whole = Int(exactly: value).flatMap { ["images", "positives"].contains(name) ? "\($0)" : nil }
            return "\(name) \(whole ?? (value.isFinite ? String(format: "%.4f", value) : "-"))"
        }.joined(separator: "\n            ")
    }

    private func inspectCheckpoint(_ path: String) throws {
        let checkpoint: CheckpointContents
        var run: String?
        if FileSystem.isDirectory(path) {
            let directory = RunDirectory(path)
            run = path
            guard directory.exists else { throw RunError.notARun(path) }
            let found = try directory.store.newestIntact { _ in }
            for skipped in found.skipped {
                printError("pleura: \(skipped)")
            }
            guard let contents = found.contents else {
                throw RunError.nothingToResume(path, reasons: found.skipped.map { "\($0)" })
            }
            checkpoint = contents
        } else {
            checkpoint = try CheckpointStore.load(path)
        }
        let trainer = checkpoint.trainer
        let report = CheckpointReport(
            path: checkpoint.path,
            network: trainer.network,
            step: trainer.step,
            epoch: trainer.epoch,
            metrics: trainer.metrics,
            numericsProfile: trainer.numericsProfile,
            datasetDigest: trainer.datasetDigest,
            parameters: checkpoint.tensors.filter { $0.name.hasPrefix("model/") }.reduce(0) {
                $0 + $1.shape.reduce(1, *)
            },
            weightsSHA256: try checkpoint.weightsHash().description,
            stateSHA256: try checkpoint.stateHash().description
        )
        if let json {
            try JSONOutput.write(report, to: json)
            return
        }
        try printResult("checkpoint  \(report.path)")
        try printResult("network     \(report.network), \(report.parameters) parameters, \(report.numericsProfile)")
        try printResult("step        \(report.step) (epoch \(report.epoch))")
        try printResult("weights     \(report.weightsSHA256)")
        try printResult("state       \(report.stateSHA256)")
        try printResult("data set    \(report.datasetDigest)")
        if !report.metrics.isEmpty { try printResult("validation  \(Self.figures(report.metrics))") }
        if let run { NextCommand.say("pleura evaluate \(run)", "scores it on the validation fold") }
    }
}
