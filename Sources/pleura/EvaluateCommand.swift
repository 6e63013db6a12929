import ArgumentParser
import Foundation
import Radiography

/// `pleura evaluate`: the challenge's metric of a submission, or of a run on its validation fold.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Scores a submission, or a run on its validation fold, by the challenge's metric.",
        usage: """
            pleura evaluate --predictions FILE --labels FILE [--json PATH]
            pleura evaluate RUN [--best] [--no-flip] [--threads N] [--shards DIR] [--json PATH]
            """,
        discussion: """
            The mean Dice over the images at 1024×1024; an image where both masks are empty counts 1.

            A submission: every image of it must have a label. A run: its newest intact checkpoint predicts the \
            validation fold, and the thresholds and triplets (top, area, bottom) are searched for the best mean Dice; \
            the best rule is saved as RUN/rule.json, which `pleura predict RUN` then uses.
            """
    )

    @Argument(help: "A run's folder.", completion: .directory, transform: userPath)
    var directory: String?

    @Option(
        help: "The submission: a CSV file of ImageId,EncodedPixels, plain or gzip.",
        completion: .file(),
        transform: userPath
    )
    var predictions: String?

    @Option(
        help: "The labels: a CSV file of ImageId,EncodedPixels, plain or gzip.",
        completion: .file(),
        transform: userPath
    )
    var labels: String?

    @OptionGroup var runOptions: RunEvaluationOptions

    @Option(help: "Write the figures as JSON to this file; - for standard output.", transform: userPath)
    var json: String?

    func validate() throws {
        if directory != nil {
            guard predictions == nil && labels == nil else {
                throw ValidationError("Give a run's folder, or --predictions and --labels, not both.")
            }
        } else if predictions == nil || labels == nil {
            throw ValidationError("Give --predictions FILE and --labels FILE, or a run's folder.")
        }
    }

    func run() throws {
        if let directory {
            try runOptions.evaluate(directory, json: json)
        } else if let predictions, let labels {
            try score(predictions, labels)
        }
    }

    private func score(_ predictions: String, _ labels: String) throws {
        try JSONOutput.requireOwn(json)
        let score = try DiceScore(predictions: LabelFile.read(predictions), labels: LabelFile.read(labels))
        let report = EvaluationReport(score: score)
        if let json {
            try JSONOutput.write(report, to: json)
            if json == "-" { return }
        }
        try printResult(report.text)
    }
}

/// The figures of an evaluation, as they are printed.
struct EvaluationReport: Encodable {
    let score: DiceScore

    private enum CodingKeys: String, CodingKey {
        case meanDice = "mean_dice"
        case positiveDice = "positive_dice"
        case negativeDice = "negative_dice"
        case images
        case positives
        case negatives
        case nonEmptyPredictions = "non_empty_predictions"
    }

    /// All keys stand in every report; a mean over no images is null.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(score.meanDice, forKey: .meanDice)
        try container.encode(score.positiveDice, forKey: .positiveDice)
        try container.encode(score.negativeDice, forKey: .negativeDice)
        try container.encode(score.images, forKey: .images)
        try container.encode(score.positives, forKey: .positives)
        try container.encode(score.negatives, forKey: .negatives)
        try container.encode(score.nonEmptyPredictions, forKey: .nonEmptyPredictions)
    }

    var text: String {
        func figure(_ value: Double?) -> String {
            guard let value else { return "-" }
            return String((value * 1e6).rounded() / 1e6)
        }
        return """
            mean Dice              \(figure(score.meanDice))  over \(score.images) images
            over the positives     \(figure(score.positiveDice))  (\(score.positives))
            over the negatives     \(figure(score.negativeDice))  (\(score.negatives))
            non-empty predictions  \(score.nonEmptyPredictions)
            nothing predicted      \(figure(Double(score.images - score.positives) / Double(max(1, score.images))))
            """
    }
}
