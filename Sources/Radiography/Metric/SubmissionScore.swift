package import Diagnostics

extension DiceScore {
    /// Scores a submission over its own images, in its order.
    ///
    /// Throws where either file has a wrong row among those images, or an image of the submission has no label.
    package init(predictions: LabelFile, labels: LabelFile) throws(EvaluationError) {
        self.init(try predictions.counts(against: labels).map(\.counts))
    }
}

extension LabelFile {
    /// Compares a submission with labels: its images, in its order, with the pixels that the metric counts.
    ///
    /// Throws where either file has a wrong row among those images, or an image of the submission has no label.
    package func counts(against labels: LabelFile) throws(EvaluationError) -> [(id: String, counts: ImageCounts)] {
        if let defect = errors.first { throw .badPredictions(defect.description, count: errors.count) }
        var missing: [String] = []
        var counts: [(id: String, counts: ImageCounts)] = []
        for entry in entries {
            guard let label = labels[entry.id] else {
                if let defect = labels.errors.first(where: { $0.id == entry.id }) {
                    throw .badLabel(defect.description)
                }
                missing.append(entry.id)
                continue
            }
            counts.append((entry.id, ImageCounts(prediction: entry.mask, truth: label.mask)))
        }
        if let first = missing.first {
            throw .unlabelled(
                id: first,
                count: missing.count,
                predictions: path,
                labels: labels.path
            )
        }
        return counts
    }
}

/// Why a submission was not scored.
package enum EvaluationError: ReportableError, Equatable {
    case badPredictions(String, count: Int)
    case badLabel(String)
    case unlabelled(id: String, count: Int, predictions: String, labels: String)

    package var exitStatus: ExitStatus {
        .badInput
    }

    package var description: String {
        switch self {
        case .badPredictions(let defect, let count):
            "\(defect)." + (count > 1 ? " \(count - 1) more rows are wrong." : "")
                + " A submission with wrong rows is not scored; correct them."
        case .badLabel(let defect):
            "\(defect). The submission needs this label; correct the row."
        case .unlabelled(let id, let count, let predictions, let labels):
            "The image \(id) of \(predictions) has no label in \(labels)"
                + (count > 1 ? ", and \(count - 1) more have none" : "")
                + ". Scores are taken over all images of the submission: add the labels or take the rows out."
        }
    }
}
