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
        abstract: "Predicts the masks of a folder of radiographs.",
        discussion: """
            Reads files that end in \(RadiographFolder.endings), and DICOM files of any other name, nested or flat, and \
            writes OUTPUT/submission.csv in the challenge's format at 1024×1024, probabilities and overlays as PNG. \
            Files that cannot be read have no row in it; they are listed in OUTPUT/rejected.csv, and the exit status is \
            then 65. The rule that makes masks of probabilities is the one \
            given, else the one that `pleura evaluate RUN` found, else the configuration's validation.threshold.
            """
    )

    @Argument(
        help: "A run's folder, whose newest intact checkpoint is used, or a checkpoint (.h5).",
        transform: userPath
    )
    var model: String

    @Option(help: "The folder with the radiographs.", completion: .directory, transform: userPath)
    var input: String

    @Option(help: "The folder for what is written; created if need be.", completion: .directory, transform: userPath)
    var output: String

    @Flag(help: "Of a run, use the checkpoint with the best validation instead of the newest.")
    var best = false

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

    @Flag(inversion: .prefixedNo, help: "Take the mean over each image and its mirror image.")
    var flip = true

    @Flag(inversion: .prefixedNo, help: "Write radiographs with the predicted outline.")
    var overlays = true

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
        var ignored: Int
        var threads: Int
        var seconds: Double
        var imagesPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case checkpoint, step, rule, flip, output, images, rejected, ignored, threads, seconds
            case nonEmptyPredictions = "non_empty_predictions"
            case imagesPerSecond = "images_per_second"
        }
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        let choice = try CheckpointChoice(model, best: best, kernels: variant.tables)
        for note in choice.notes { printError("warning: \(note)") }
        let (rule, origin) = try rule(choice)
        let averaged = choice.model.usesAverage ? ", averaged weights" : ""
        printError("predicting with \(choice.model.checkpoint.path), step \(choice.model.step)\(averaged)")
        printError("\(rule.words) (\(origin))")
        let threads = threads ?? UsableProcessors.count
        let pool = try InferencePool(choice.model, threads: threads)
        defer { pool.close() }
        var options = Prediction.Options(input: input, output: output, rule: rule, jobs: threads)
        options.flips = flip
        options.writesProbabilities = probabilities
        options.writesOverlays = overlays
        let line = ProgressLine("predict")
        let summary: Prediction.Summary
        do {
            defer { line.end() }
            summary = try Prediction(pool, options).run(
                progress: { line.show(done: $0.done, total: $0.total, rejected: $0.rejected) },
                note: { line.say("Rejected \($0)") }
            )
        }
        let rate = String(format: "%.1f images/s (%.1f s)", summary.imagesPerSecond, summary.seconds)
        let rejected =
            summary.rejected.isEmpty
            ? "none" : "\(summary.rejected.count), with no row in the submission; see \(output)/rejected.csv"
        let ignored = summary.ignored > 0 ? "\n  ignored   \(summary.ignored) files that are no image" : ""
        let lines = """
            \(summary.images) radiographs, \(summary.positives) with a predicted pneumothorax: \(output)/submission.csv
              rejected  \(rejected)\(ignored)
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
                    ignored: summary.ignored,
                    threads: threads,
                    seconds: summary.seconds,
                    imagesPerSecond: summary.imagesPerSecond
                ),
                to: json
            )
        }
        if summary.hasUnreadableFiles { throw ExitCode(ExitStatus.badInput.rawValue) }
    }

    /// The rule, and where it comes from.
    private func rule(_ choice: CheckpointChoice) throws -> (MaskRule, String) {
        if let threshold { return (.threshold(threshold), "from --threshold") }
        if let triplet { return (triplet.rule, "from --triplet") }
        if let directory = choice.directory, let stored = try SegmentationRule.read(directory), let rule = stored.rule {
            var origin = "from \(directory.rule), found with \(stored.checkpoint)"
            if stored.step != choice.model.step { origin += ", another checkpoint" }
            if stored.flip != flip { origin += stored.flip ? ", with flips" : ", without flips" }
            return (rule, origin)
        }
        return (
            .threshold(Float(choice.model.configuration.validation.threshold)), "validation.threshold of the run"
        )
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
