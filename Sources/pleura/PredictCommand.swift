import ArgumentParser
import Configuration
import Diagnostics
import Foundation
import Inference
import KernelSelection
import Platform
import Radiography
import RunFolder
import Sharding
import Storage

/// `pleura predict`.
struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict",
        abstract: "Predicts the masks of radiographs.",
        discussion: """
            Reads folders (files that end in \(RadiographFolder.endings), and DICOM files of any other name, nested or \
            flat), single files, patterns in quotes and shards. Writes OUTPUT/predictions.csv, with probability, area \
            and side of each radiograph; OUTPUT/submission.csv in the challenge's format; masks of the radiographs' own \
            sizes, overlays, heat maps and probabilities as PNG. Files that cannot be read are listed in \
            OUTPUT/rejected.csv, and the exit status is then 65.

            The rule that makes masks of probabilities is the one given, else the one that `pleura evaluate RUN` found, \
            together with its checkpoint, else the configuration's validation.threshold.
            """
    )

    @Argument(
        help: ArgumentHelp("A run's folder, or a checkpoint (.h5).", valueName: "run"),
        transform: userPath
    )
    var model: String

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Folders, files, patterns in quotes, or data sets of shards; as many as wanted.",
            valueName: "path ..."
        ),
        completion: .file(),
        transform: userPath
    )
    var input: [String]

    @Option(help: "The folder for what is written; created if need be.", completion: .directory, transform: userPath)
    var output: String

    @Flag(help: "Use the run's checkpoint with the best validation.")
    var best = false

    @Flag(help: "Use the run's newest checkpoint, also where the stored rule was found with another.")
    var newest = false

    @Option(help: "Compute threads, and decoding processes (default: one a core).")
    var threads: Int?

    @Option(help: "Pixels with a probability above this become the mask.")
    var threshold: Float?

    @Option(
        help: ArgumentHelp(
            "The mask is what is above BOTTOM, or empty where fewer than AREA pixels are above TOP.",
            valueName: "top,area,bottom"
        )
    )
    var triplet: Triplet?

    @Flag(
        inversion: .prefixedNo,
        help: "Take the mean over each image and its mirror image (default: as the rule was found, else --flip)."
    )
    var flip: Bool?

    @Flag(inversion: .prefixedNo, help: "Write masks of the radiographs' own sizes.")
    var masks = true

    @Flag(inversion: .prefixedNo, help: "Write radiographs with the predicted outline.")
    var overlays = true

    @Flag(inversion: .prefixedNo, help: "Write radiographs with the probabilities in colours.")
    var heatmaps = true

    @Flag(inversion: .prefixedNo, help: "Write maps of probabilities.")
    var probabilities = true

    @Option(
        help: "Also write the summary as JSON to this path; - for standard output.",
        completion: .file(),
        transform: userPath
    )
    var json: String?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads must be from 1 to 1024, found \(threads).")
        }
        if let threshold, !(0...1).contains(threshold) {
            throw ValidationError("--threshold must be from 0 to 1, found \(threshold).")
        }
        if best && newest { throw ValidationError("Give --best or --newest, not both.") }
        if threshold != nil && triplet != nil {
            throw ValidationError("Give --threshold or --triplet, not both.")
        }
    }

    /// A triplet as an argument: `0.75,1000,0.3`.
    struct Triplet: ExpressibleByArgument {
        let rule: MaskRule

        init?(argument: String) {
            let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
            guard parts.count == 3, let top = Float(parts[0]), let area = Int(parts[1]), let bottom = Float(parts[2]),
                (0...1).contains(top), (0...1).contains(bottom), area >= 0
            else { return nil }
            rule = .triplet(top: top, area: area, bottom: bottom)
        }
    }

    /// What `--json` writes.
    private struct Figures: Encodable {
        var checkpoint: String
        var step: Int
        var rule: RuleFigures
        var flip: Bool
        var output: String
        var images: Int
        var nonEmptyPredictions: Int
        var rejected: Int
        var warnings: Int
        var ignored: Int
        var threads: Int
        var seconds: Double
        var imagesPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case checkpoint, step, rule, flip, output, images, rejected, warnings, ignored, threads, seconds
            case nonEmptyPredictions = "non_empty_predictions"
            case imagesPerSecond = "images_per_second"
        }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        let inputs = try PredictionInputs(input)
        let given = threshold.map(MaskRule.threshold) ?? triplet?.rule
        let stored =
            given == nil && FileSystem.isDirectory(model) ? try SegmentationRule.read(RunDirectory(model)) : nil
        let choice = try CheckpointChoice(
            model,
            best ? .best : newest ? .newest : .ofRule(stored),
            kernels: variant.tables
        )
        let ruleChoice = RuleChoice(choice, stored: stored, given: given, flips: flip)
        let (rule, flip) = (ruleChoice.rule, ruleChoice.flips)
        for note in choice.notes + ruleChoice.warnings { printError("warning: \(note)") }
        printError(ruleChoice.sentence)
        let threads = threads ?? UsableProcessors.count
        let pool = try InferencePool(choice.model, threads: threads)
        defer { pool.close() }
        var options = Prediction.Options(inputs: inputs, output: output, rule: rule, jobs: threads)
        options.flips = flip
        options.writesMasks = masks
        options.writesHeatMaps = heatmaps
        options.writesProbabilities = probabilities
        options.writesOverlays = overlays
        let line = ProgressLine("predict")
        let summary: Prediction.Summary
        do {
            defer { line.end() }
            var prediction = Prediction(pool, options)
            summary = try prediction.run(
                progress: { line.show(done: $0.done, total: $0.total, rejected: $0.rejected) },
                note: { line.say("Rejected \($0)") }
            )
        }
        let rate = String(format: "%.1f images/s (%.1f s)", summary.imagesPerSecond, summary.seconds)
        let rejected =
            summary.rejected.isEmpty
            ? "none" : "\(summary.rejected.count), with no row in the tables; see \(output)/rejected.csv"
        let warnings =
            summary.warnings.isEmpty
            ? "" : "\n  warnings  \(summary.warnings.count) about how radiographs look; see \(output)/warnings.csv"
        let ignored = summary.ignored > 0 ? "\n  ignored   \(summary.ignored) files that are no image" : ""
        let lines = """
            \(summary.images) radiographs, \(summary.positives) with a predicted pneumothorax: \(output)/predictions.csv
              rejected  \(rejected)\(warnings)\(ignored)
              speed     \(rate), \(threads) thread\(threads == 1 ? "" : "s")\(flip ? ", each image twice (flip)" : "")
            """
        if json == "-" { printError(lines) } else { printSummary(lines) }
        if let json {
            try JSONOutput.write(
                Figures(
                    checkpoint: choice.model.checkpoint.path,
                    step: choice.model.step,
                    rule: RuleFigures(rule),
                    flip: flip,
                    output: output,
                    images: summary.images,
                    nonEmptyPredictions: summary.positives,
                    rejected: summary.rejected.count,
                    warnings: summary.warnings.count,
                    ignored: summary.ignored,
                    threads: threads,
                    seconds: summary.seconds,
                    imagesPerSecond: summary.imagesPerSecond
                ),
                to: json
            )
        }
        NextCommand.say(
            "pleura evaluate --predictions \(output)/submission.csv --labels FILE",
            "scores it, where there are labels; the pictures are in \(output)/overlays"
        )
        if summary.hasUnreadableFiles { throw ExitCode(ExitStatus.badInput.rawValue) }
    }
}

/// A rule as JSON.
struct RuleFigures: Encodable {
    var kind: String
    var threshold: Float?
    var top: Float?
    var area: Int?
    var bottom: Float?

    init(_ rule: MaskRule) {
        switch rule {
        case .threshold(let value):
            kind = "threshold"
            threshold = value
        case .triplet(let top, let area, let bottom):
            kind = "triplet"
            self.top = top
            self.area = area
            self.bottom = bottom
        }
    }
}
