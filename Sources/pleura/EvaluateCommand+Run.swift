import ArgumentParser
import Diagnostics
import Foundation
import Inference
import KernelSelection
import Platform
import Radiography
import RunFolder
import Storage

/// Options of `pleura evaluate RUN`.
struct RunEvaluationOptions: ParsableArguments {
    @Flag(help: "Of a run, the checkpoint with the best validation instead of the newest.")
    var best = false

    @Flag(help: "With --data: the newest checkpoint, also where the stored rule was found with another.")
    var newest = false

    @Option(help: "Of a run: compute threads (default: one a core).")
    var threads: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Of a run: the mean over each image and its mirror image (default: --flip; with --data as the rule)."
    )
    var flip: Bool?

    @Option(
        help: "Of a run: other labelled shards, all of which are scored with the stored rule; nothing is searched.",
        completion: .directory,
        transform: userPath
    )
    var data: String?

    @Option(
        help: "Of a run: the folder with its shards, where they are not where the configuration says.",
        transform: userPath
    )
    var shards: String?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads must be from 1 to 1024, found \(threads).")
        }
        if best && newest { throw ValidationError("Give --best or --newest, not both.") }
        if data != nil && shards != nil { throw ValidationError("Give --data or --shards, not both.") }
    }

    /// Searches the best rule on the validation fold, prints the scores and saves the rule with the run; or scores the run
    /// on other shards.
    func evaluate(_ path: String, json: String?, csv: ImageTable?) throws {
        guard FileSystem.isDirectory(path) else { throw RunError.notARun(path) }
        // Before the work, not after it.
        try JSONOutput.requireOwn(json)
        if data == nil { try SegmentationRule.requireOwn(RunDirectory(path)) }
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        let stored = data == nil ? nil : try SegmentationRule.read(RunDirectory(path))
        let choice = try CheckpointChoice(
            path,
            best ? .best : newest ? .newest : .ofRule(stored),
            kernels: variant.tables
        )
        for note in choice.notes { printError("warning: \(note)") }
        let dataset: Dataset
        let samples: [Int]
        var applied: RuleChoice?
        if let data {
            let found = try RunEvaluation.samples(of: choice.model, on: data)
            (dataset, samples) = (found.dataset, found.samples)
            let chosen = RuleChoice(choice, stored: stored, given: nil, flips: flip)
            for note in found.warnings + chosen.warnings { printError("warning: \(note)") }
            printError(chosen.sentence)
            applied = chosen
        } else {
            (dataset, samples) = try RunEvaluation.samples(of: choice.model, shards: shards)
        }
        guard !samples.isEmpty else {
            throw RunError.noValidation(
                "The run in \(path) has no validation fold (data.folds.validation), so there is nothing to evaluate "
                    + "it on. Give other labelled shards with --data, or score a submission with --predictions and --labels."
            )
        }
        let flips = applied?.flips ?? flip ?? true
        let pool = try InferencePool(choice.model, threads: threads ?? UsableProcessors.count)
        defer { pool.close() }
        let line = ProgressLine("evaluate")
        let found: RunEvaluation
        do {
            defer { line.end() }
            found = try RunEvaluation(pool, dataset: dataset, samples: samples, flips: flips, rule: applied?.rule) {
                line.show(done: $0, total: samples.count)
            }
        }
        // Before the scores are told: where standard output takes nothing, the work is not lost.
        let saved =
            applied == nil
            ? save(
                SegmentationRule(
                    found.rule,
                    flip: flips,
                    checkpoint: FileSystem.name(of: choice.model.checkpoint.path),
                    step: choice.model.step,
                    meanDice: found.figures.score.meanDice
                ),
                with: path
            ) : nil
        try csv?.write(found.images)
        let images = data.map { "\(samples.count) images of \($0)" } ?? "\(samples.count) validation images"
        let heading = applied == nil ? "best of \(RunEvaluation.rules.count) rules: " : ""
        let text = """
            \(choice.model.checkpoint.path), step \(choice.model.step)
            on \(images)\(flips ? ", each twice (flip)" : "")
            threshold 0.5
            \(indented(found.half.text))
            \(heading)\(found.rule.words)
            \(indented(found.figures.text))
            """
        for sentence in [text] + (saved.map { [$0] } ?? []) {
            if json == "-" { printError(sentence) } else { try printResult(sentence) }
        }
        if let warning = found.figures.warning { printError("warning: \(warning)") }
        if found.figures.score.nonEmptyPredictions == 0 {
            printError(
                "warning: under this rule every mask is empty: this checkpoint does no better than predicting nothing. "
                    + "Train longer, or give `pleura predict` a --threshold."
            )
        }
        if saved != nil {
            NextCommand.say("pleura predict \(path) --input RADIOGRAPHS --output predictions", "uses the rule")
        }
        if let json {
            try JSONOutput.write(
                Figures(
                    checkpoint: choice.model.checkpoint.path,
                    step: choice.model.step,
                    data: dataset.directory,
                    flip: flips,
                    images: found.half.score.images,
                    positives: found.half.score.positives,
                    threshold: .init(rule: RuleFigures(.threshold(0.5)), evaluation: found.half),
                    best: .init(rule: RuleFigures(found.rule), evaluation: found.figures),
                    isSearched: applied == nil,
                    seconds: found.seconds
                ),
                to: json
            )
        }
    }

    /// Saves the best rule with the run, where that can be written: the scores stand in any case. Returns what to say of it.
    private func save(_ rule: SegmentationRule, with path: String) -> String? {
        let directory = RunDirectory(path)
        do {
            try rule.write(directory)
        } catch {
            printError(
                "warning: the best rule is not saved, so `pleura predict \(path)` will not use it. \(error)"
            )
            return nil
        }
        return "The best rule is saved as \(directory.rule). It was chosen on these images, so its score flatters; "
            + "`--data SHARDS` scores it on others."
    }

    private func indented(_ text: String) -> String {
        text.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n")
    }

    /// What `--json` writes.
    private struct Figures: Encodable {
        var checkpoint: String
        var step: Int
        var data: String
        var flip: Bool
        var images: Int
        var positives: Int
        var threshold: Scored
        var best: Scored
        /// Whether `best` was searched on these images.
        var isSearched: Bool
        var seconds: Double

        enum CodingKeys: String, CodingKey {
            case checkpoint, step, data, flip, images, positives, threshold, best, seconds
            case isSearched = "searched"
        }
    }

    /// A rule with its scores, which have the keys of a submission's.
    private struct Scored: Encodable {
        var rule: RuleFigures
        var evaluation: Evaluation

        private enum CodingKeys: CodingKey { case rule }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(rule, forKey: .rule)
            try evaluation.encode(to: encoder)
        }
    }
}
