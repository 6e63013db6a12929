import ArgumentParser
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

    @Option(help: "Of a run: compute threads (default: one a core).")
    var threads: Int?

    @Flag(inversion: .prefixedNo, help: "Of a run: take the mean over each image and its mirror image.")
    var flip = true

    @Option(
        help: "Of a run: the folder with its shards, where they are not where the configuration says.",
        transform: userPath
    )
    var shards: String?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads must be from 1 to 1024, found \(threads).")
        }
    }

    /// Searches the best rule on the validation fold, prints the scores and saves the rule with the run.
    func evaluate(_ path: String, json: String?) throws {
        guard FileSystem.isDirectory(path) else { throw RunError.notARun(path) }
        // Before the work, not after it.
        try JSONOutput.requireOwn(json)
        try SegmentationRule.requireOwn(RunDirectory(path))
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        let choice = try CheckpointChoice(path, best ? .best : .newest, kernels: variant.tables)
        for note in choice.notes { printError("warning: \(note)") }
        let (dataset, samples) = try RunEvaluation.samples(of: choice.model, shards: shards)
        guard !samples.isEmpty else {
            throw RunError.noValidation(
                "The run in \(path) has no validation fold (data.folds.validation), so there is nothing to evaluate "
                    + "it on. Score a submission with --predictions and --labels."
            )
        }
        let pool = try InferencePool(
            choice.model,
            threads: threads ?? UsableProcessors.count
        )
        defer { pool.close() }
        let line = ProgressLine("evaluate")
        let evaluation: RunEvaluation
        do {
            defer { line.end() }
            evaluation = try RunEvaluation(pool, dataset: dataset, samples: samples, flips: flip) {
                line.show(done: $0, total: samples.count)
            }
        }
        let twice = flip ? ", each twice (flip)" : ""
        let text = """
            \(choice.model.checkpoint.path), step \(choice.model.step), on \(samples.count) validation images\(twice)
            threshold 0.5
            \(indented(EvaluationReport(score: evaluation.half).text))
            best of \(RunEvaluation.rules.count) rules: \(evaluation.best.words)
            \(indented(EvaluationReport(score: evaluation.bestScore).text))
            """
        // Before the scores are told: where standard output takes nothing, the work is not lost.
        let saved = save(
            SegmentationRule(
                evaluation.best,
                flip: flip,
                checkpoint: FileSystem.name(of: choice.model.checkpoint.path),
                step: choice.model.step,
                meanDice: evaluation.bestScore.meanDice
            ),
            with: path
        )
        for sentence in [text] + (saved.map { [$0] } ?? []) {
            if json == "-" { printError(sentence) } else { try printResult(sentence) }
        }
        if evaluation.bestScore.nonEmptyPredictions == 0 {
            printError(
                "warning: under the best rule every mask is empty: this checkpoint does no better than predicting "
                    + "nothing. Train longer, or give `pleura predict` a --threshold."
            )
        }
        if let json {
            try JSONOutput.write(
                Figures(
                    checkpoint: choice.model.checkpoint.path,
                    step: choice.model.step,
                    flip: flip,
                    images: evaluation.half.images,
                    positives: evaluation.half.positives,
                    threshold: .init(rule: RuleFigures(.threshold(0.5)), score: evaluation.half),
                    best: .init(rule: RuleFigures(evaluation.best), score: evaluation.bestScore),
                    seconds: evaluation.seconds
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
        return "The best rule is saved as \(directory.rule); `pleura predict \(path)` uses it."
    }

    private func indented(_ text: String) -> String {
        text.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n")
    }

    /// What `--json` writes.
    private struct Figures: Encodable {
        var checkpoint: String
        var step: Int
        var flip: Bool
        var images: Int
        var positives: Int
        var threshold: Scored
        var best: Scored
        var seconds: Double
    }

    /// A rule with its scores, which have the keys of a submission's.
    private struct Scored: Encodable {
        var rule: RuleFigures
        var score: DiceScore

        private enum CodingKeys: CodingKey { case rule }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(rule, forKey: .rule)
            try EvaluationReport(score: score).encode(to: encoder)
        }
    }
}
