import ArgumentParser
import Foundation
import Inference
import Platform
import Radiography
import Sharding
import Storage

/// `pleura evaluate`: the challenge's metric of a submission, or of a run on labelled shards.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Scores a run, or a submission, by the challenge's metric and as a classifier.",
        usage: """
            pleura evaluate RUN [--best] [--no-flip] [--threads N] [--shards DIR] [--csv FILE] [--json PATH]
            pleura evaluate RUN --data SHARDS [--best] [--csv FILE] [--json PATH]
            pleura evaluate --predictions FILE --labels FILE [--probabilities FILE] [--patients FILE] [--csv FILE]
                            [--json PATH]
            """,
        discussion: """
            The mean Dice over the images at 1024×1024, where an image with two empty masks counts 1; sensitivity, \
            specificity and AUROC of the question "any pneumothorax?"; and intervals of 95 %, over patients where they \
            are known.

            A run: its newest intact checkpoint, or with --best its best, predicts the validation fold, and the \
            thresholds and triplets (top, area, bottom) are searched for the best mean Dice; the best rule is saved as \
            RUN/rule.json, which `pleura predict RUN` then uses. With --data, other labelled shards are scored with that \
            rule. A submission: every image of it must have a label.
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

    @Option(
        help: "Of a submission: a table with the columns id and probability, such as predictions.csv, for the AUROC.",
        completion: .file(),
        transform: userPath
    )
    var probabilities: String?

    @Option(
        help: "Of a submission: a table of image ids and patients, for the intervals.",
        completion: .file(),
        transform: userPath
    )
    var patients: String?

    @OptionGroup var runOptions: RunEvaluationOptions

    @Option(help: "Write a row for each image to this file.", completion: .file(), transform: userPath)
    var csv: String?

    @Option(help: "Write the figures as JSON to this file; - for standard output.", transform: userPath)
    var json: String?

    func validate() throws {
        if directory != nil {
            guard predictions == nil && labels == nil else {
                throw ValidationError("Give a run's folder, or --predictions and --labels, not both.")
            }
            guard probabilities == nil && patients == nil else {
                throw ValidationError("--probabilities and --patients go with --predictions; shards know both.")
            }
        } else if predictions == nil || labels == nil {
            throw ValidationError("Give a run's folder, or --predictions FILE and --labels FILE.")
        } else if runOptions.data != nil {
            throw ValidationError("--data goes with a run's folder.")
        }
    }

    func run() throws {
        let table = try csv.map(ImageTable.init)
        if let directory {
            try runOptions.evaluate(directory, json: json, csv: table)
        } else if let predictions, let labels {
            try score(predictions, labels, table)
        }
    }

    private func score(_ predictions: String, _ labels: String, _ table: ImageTable?) throws {
        try JSONOutput.requireOwn(json)
        for path in [predictions, labels] where try LabelTable.read(path).mayBeAbsolute {
            printError(
                "warning: The runs of \(path) rise as those do that count from the image's beginning. They are read as the "
                    + "challenge's, each from the end of the run before it: where that is wrong, so are the scores."
            )
        }
        let scored = try SubmissionEvaluation(
            predictions: LabelFile.read(predictions),
            labels: LabelFile.read(labels),
            patients: patients.map { try PatientFile.read($0) } ?? [:],
            probabilities: probabilities.map { try ProbabilityTable.read($0) }
        )
        try table?.write(scored.images)
        for warning in scored.warnings + [scored.evaluation.warning].compactMap(\.self) {
            printError("warning: \(warning)")
        }
        if let json {
            try JSONOutput.write(Figures(evaluation: scored.evaluation, missing: scored.missing), to: json)
            if json == "-" { return }
        }
        try printResult(scored.evaluation.text)
    }

    /// What `--json` writes of a submission.
    private struct Figures: Encodable {
        var evaluation: Evaluation
        var missing: Int

        private enum CodingKeys: String, CodingKey { case missing = "labelled_without_row" }

        func encode(to encoder: any Encoder) throws {
            try evaluation.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(missing, forKey: .missing)
        }
    }
}

/// The file of `--csv`, a row for each image.
struct ImageTable {
    private let record: OutputRecord
    private let name: String

    /// Throws where another's file stands there: before the work, not after it.
    init(_ path: String) throws {
        let path = FileSystem.tidied(path)
        name = FileSystem.name(of: path)
        let folder = String(FileSystem.absolute(path).dropLast(name.count + 1))
        record = OutputRecord(folder.isEmpty ? "/" : folder)
        if let obstacle = record.obstacle(name) {
            throw OccupiedOutput(
                "The table of images cannot be written to \(path)",
                [obstacle],
                advice: "Name another file with --csv, or move that one away."
            )
        }
    }

    func write(_ images: [ScoredImage]) throws { try record.write(ScoredImage.table(images), to: name) }
}
