package import Diagnostics
package import Radiography

/// A submission compared with labels.
package struct SubmissionEvaluation: Sendable {
    package let evaluation: Evaluation
    /// The images of the submission, in its order.
    package let images: [ScoredImage]
    /// What the user should know of the comparison, as sentences.
    package let warnings: [String]
    /// Labelled images without a row in the submission.
    package let missing: Int

    /// Scores a submission over its own images.
    ///
    /// `patients` and `probabilities` are by image id. Throws where a row of the submission, or a label that it needs, is
    /// wrong or missing, or an image of the submission has no probability although there are some.
    package init(
        predictions: LabelFile,
        labels: LabelFile,
        patients: [String: String] = [:],
        probabilities: [String: Float]? = nil
    ) throws {
        let counts = try predictions.counts(against: labels)
        if let probabilities, let first = counts.first(where: { probabilities[$0.id] == nil }) {
            let others = counts.count { probabilities[$0.id] == nil } - 1
            throw MissingProbability(id: first.id, others: others)
        }
        images = counts.map {
            ScoredImage(
                id: $0.id,
                patient: patients[$0.id] ?? "",
                counts: $0.counts,
                probability: probabilities?[$0.id]
            )
        }
        evaluation = Evaluation(images)
        let absent = labels.entries.filter { predictions[$0.id] == nil }
        missing = absent.count
        var warnings: [String] = []
        if let first = absent.first {
            let all =
                counts.map(\.counts)
                + absent.map { ImageCounts(intersection: 0, predicted: 0, truth: Int64($0.mask.area)) }
            let mean = DiceScore(all).meanDice ?? 0
            let positives = absent.count { !$0.mask.isEmpty }
            warnings.append(
                "\(absent.count) of \(labels.entries.count) labelled images have no row in \(predictions.path), "
                    + "\(positives) of them positive, and are not in the score (\(first.id), for example). With empty masks "
                    + "for them the mean Dice is \((mean * 1e6).rounded() / 1e6)."
            )
        }
        let known = images.count { !$0.patient.isEmpty }
        if !patients.isEmpty && known < images.count {
            warnings.append(
                "\(images.count - known) of \(images.count) images have no patient in the table; each counts as a patient of its own."
            )
        }
        self.warnings = warnings
    }
}

/// An image of a submission is not in the table of probabilities.
package struct MissingProbability: ReportableError, Equatable {
    package let id: String
    package let others: Int

    package var exitStatus: ExitStatus { .badInput }

    package var description: String {
        "The image \(id) of the submission has no row in the table of probabilities"
            + (others > 0 ? ", and \(others) more have none" : "")
            + ". Give the predictions.csv that was written with it."
    }
}
