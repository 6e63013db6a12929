import ArgumentParser
import Foundation
import Radiography

/// `pleura evaluate`: the challenge's metric of a submission.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Scores a submission by the challenge's metric.",
        discussion: """
            The mean Dice over the images of the submission at 1024×1024; an image where both masks are empty counts 1. \
            Every image of the submission must have a label.
            """
    )

    @Option(help: "The submission: a CSV file of ImageId,EncodedPixels, plain or gzip.", completion: .file())
    var predictions: String

    @Option(help: "The labels: a CSV file of ImageId,EncodedPixels, plain or gzip.", completion: .file())
    var labels: String

    @Option(help: "Write the figures as JSON to this file; - for standard output.")
    var json: String?

    func run() throws {
        let score = try DiceScore(predictions: LabelFile.read(predictions), labels: LabelFile.read(labels))
        let report = EvaluationReport(score: score)
        if let json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            var data = try encoder.encode(report)
            data.append(0x0A)
            if json == "-" {
                FileHandle.standardOutput.write(data)
                return
            }
            do {
                try data.write(to: URL(fileURLWithPath: json), options: .atomic)
            } catch {
                throw EvaluationError.cannotWriteReport(path: json, reason: error.localizedDescription)
            }
        }
        print(report.text)
    }
}

/// The figures of an evaluation, as they are printed.
private struct EvaluationReport: Encodable {
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
            """
    }
}
