import Foundation
package import Radiography
import Sharding

/// An image whose prediction is compared with its truth.
package struct ScoredImage: Sendable, Equatable {
    package var id: String
    /// Empty where it is not known.
    package var patient: String
    /// At 1024 × 1024, under the rule that is scored.
    package var counts: ImageCounts
    /// How sure the network is of some pneumothorax; nil where only masks are known.
    package var probability: Float?

    package init(id: String, patient: String = "", counts: ImageCounts, probability: Float? = nil) {
        self.id = id
        self.patient = patient
        self.counts = counts
        self.probability = probability
    }

    /// What became of the question "any pneumothorax?".
    package var verdict: String {
        switch (counts.truth > 0, counts.predicted > 0) {
        case (true, true): "true positive"
        case (true, false): "false negative"
        case (false, true): "false positive"
        case (false, false): "true negative"
        }
    }

    /// The first line of a table of images.
    package static let header =
        "id,patient,truth,predicted,verdict,probability,dice,truth_pixels,predicted_pixels,common_pixels\n"

    /// A table of images, in their order.
    package static func table(_ images: [ScoredImage]) -> String {
        images.reduce(into: header) { text, image in
            let counts = image.counts
            let fields = [
                image.id, image.patient, counts.truth > 0 ? "1" : "0", counts.predicted > 0 ? "1" : "0", image.verdict,
                image.probability.map { String(format: "%.6f", Double($0)) } ?? "", String(format: "%.6f", counts.dice),
                "\(counts.truth)", "\(counts.predicted)", "\(counts.intersection)",
            ]
            text += fields.map(RejectedItem.quoted).joined(separator: ",") + "\n"
        }
    }
}

/// The figures of a set of images under one rule, with intervals of 95 %.
///
/// A figure over nothing is nil.
package struct Evaluation: Sendable {
    /// A share of some images with its interval.
    package struct Share: Sendable, Equatable {
        package var count: Int
        package var total: Int
        package var interval: Interval?

        package var value: Double? { total > 0 ? Double(count) / Double(total) : nil }
    }

    package let score: DiceScore
    package let meanDiceInterval: Interval?
    /// Of the positives, those with any pixel predicted.
    package let sensitivity: Share
    /// Of the negatives, those with none.
    package let specificity: Share
    /// Of the images' probabilities; nil without them.
    package let auroc: Double?
    package let aurocInterval: Interval?
    /// Whether every image has a probability.
    package let hasProbabilities: Bool
    /// The mean Dice of masks without a pixel.
    package let emptyScore: Double?
    /// Patients, or nil where none are known; images without one count as one each.
    package let patients: Int?
    /// Images without a patient.
    package let imagesWithoutPatient: Int
    /// Whether patients with several images are drawn for all intervals.
    package let isClustered: Bool

    package init(_ images: [ScoredImage]) {
        score = DiceScore(images.lazy.map(\.counts))
        emptyScore = score.images > 0 ? Double(score.negatives) / Double(score.images) : nil
        let bootstrap = Bootstrap(names: images.map(\.patient))
        imagesWithoutPatient = images.count(where: \.patient.isEmpty)
        patients = imagesWithoutPatient < images.count ? bootstrap.groups : nil
        isClustered = bootstrap.isClustered
        let isPositive = images.map { $0.counts.truth > 0 }
        let isPredicted = images.map { $0.counts.predicted > 0 }
        let dice = images.map(\.counts.dice)
        let probabilities = images.compactMap(\.probability)
        let scores = probabilities.count == images.count ? probabilities : nil
        hasProbabilities = scores != nil
        let ranked = scores.map { RankedScores(scores: $0, isPositive: isPositive) }
        auroc = ranked?.area()
        let isClustered = isClustered
        let drawn = bootstrap.intervals { weights in
            var (images, sum) = (0, 0.0)
            for (index, weight) in weights.enumerated() where weight > 0 {
                images += weight
                sum += Double(weight) * dice[index]
            }
            let mean = images > 0 ? sum / Double(images) : nil
            guard isClustered else { return [mean] }
            var counts = [0, 0, 0, 0]
            for (index, weight) in weights.enumerated() {
                counts[(isPositive[index] ? 2 : 0) + (isPredicted[index] ? 1 : 0)] += weight
            }
            func share(_ count: Int, _ other: Int) -> Double? {
                count + other > 0 ? Double(count) / Double(count + other) : nil
            }
            return [mean, share(counts[3], counts[2]), share(counts[0], counts[1]), ranked?.area(weights: weights)]
        }
        meanDiceInterval = drawn.first ?? nil
        let numbers = zip(isPositive, isPredicted)
        let hits = numbers.count { $0 && $1 }
        let rejections = numbers.count { !$0 && !$1 }
        sensitivity = Share(
            count: hits,
            total: score.positives,
            interval: isClustered ? drawn[1] : Interval(share: hits, of: score.positives)
        )
        specificity = Share(
            count: rejections,
            total: score.negatives,
            interval: isClustered ? drawn[2] : Interval(share: rejections, of: score.negatives)
        )
        // An area of 0 or 1 stays that in every draw, which is no certainty either.
        aurocInterval =
            isClustered
            ? drawn[3].flatMap { $0.low < $0.high ? $0 : nil }
            : scores.flatMap { ROC.interval(scores: $0, isPositive: isPositive) }
    }
}

// MARK: - For people and programs

extension Evaluation {
    /// The figures, a line each; a dash stands for what cannot be had.
    package var text: String {
        func figure(_ value: Double?) -> String {
            guard let value else { return "-" }
            return String((value * 1e6).rounded() / 1e6)
        }
        func interval(_ interval: Interval?) -> String {
            interval.map { String(format: "%.3f to %.3f", $0.low, $0.high) } ?? "-"
        }
        func line(_ name: String, _ value: String, _ interval: String = "", _ note: String = "") -> String {
            func padded(_ text: String, _ width: Int) -> String {
                text + String(repeating: " ", count: max(1, width - text.count))
            }
            let text = padded(name, 23) + padded(value, 10) + padded(interval, 16) + note
            return String(text.reversed().drop { $0 == " " }.reversed())
        }
        let images = score.images == 1 ? "1 image" : "\(score.images) images"
        var lines = [
            line("mean Dice", figure(score.meanDice), interval(meanDiceInterval), "over \(images)"),
            line("over the positives", figure(score.positiveDice), "", "over \(score.positives)"),
            line("over the negatives", figure(score.negativeDice), "", "over \(score.negatives)"),
            line("an empty submission", figure(emptyScore), "", "would score this"),
            line("non-empty predictions", "\(score.nonEmptyPredictions)"),
            line(
                "sensitivity",
                figure(sensitivity.value),
                interval(sensitivity.interval),
                "\(sensitivity.count) of \(sensitivity.total)"
            ),
            line(
                "specificity",
                figure(specificity.value),
                interval(specificity.interval),
                "\(specificity.count) of \(specificity.total)"
            ),
            line("AUROC", figure(auroc), interval(aurocInterval), hasProbabilities ? "" : "needs --probabilities"),
        ]
        lines.append(intervalSentence)
        return lines.joined(separator: "\n")
    }

    /// Says that masks without a pixel would score more; nil where they would not.
    package var warning: String? {
        guard let mean = score.meanDice, let empty = emptyScore, mean < empty else { return nil }
        return "An empty submission would score more: on these images this does worse than predicting nothing."
    }

    /// How the intervals were made.
    package var intervalSentence: String {
        let known = patients.map { patients in
            "\(patients) patient\(patients == 1 ? "" : "s")"
                + (imagesWithoutPatient > 0 ? " (\(imagesWithoutPatient) images without one count as one each)" : "")
        }
        return isClustered
            ? "Ranges are of 95 %: a bootstrap over \(known ?? "patients")."
            : "Ranges are of 95 %: mean Dice a bootstrap over \(known ?? "images"), shares Clopper-Pearson, AUROC DeLong."
    }
}

extension Evaluation: Encodable {
    private enum CodingKeys: String, CodingKey {
        case meanDice = "mean_dice"
        case meanDiceInterval = "mean_dice_interval"
        case positiveDice = "positive_dice"
        case negativeDice = "negative_dice"
        case images
        case positives
        case negatives
        case nonEmptyPredictions = "non_empty_predictions"
        case emptyScore = "empty_submission"
        case sensitivity
        case sensitivityInterval = "sensitivity_interval"
        case specificity
        case specificityInterval = "specificity_interval"
        case auroc
        case aurocInterval = "auroc_interval"
        case patients
        case intervals
    }

    /// All keys stand in every report; what cannot be had is null.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(score.meanDice, forKey: .meanDice)
        try container.encode(meanDiceInterval, forKey: .meanDiceInterval)
        try container.encode(score.positiveDice, forKey: .positiveDice)
        try container.encode(score.negativeDice, forKey: .negativeDice)
        try container.encode(score.images, forKey: .images)
        try container.encode(score.positives, forKey: .positives)
        try container.encode(score.negatives, forKey: .negatives)
        try container.encode(score.nonEmptyPredictions, forKey: .nonEmptyPredictions)
        try container.encode(emptyScore, forKey: .emptyScore)
        try container.encode(sensitivity.value, forKey: .sensitivity)
        try container.encode(sensitivity.interval, forKey: .sensitivityInterval)
        try container.encode(specificity.value, forKey: .specificity)
        try container.encode(specificity.interval, forKey: .specificityInterval)
        try container.encode(auroc, forKey: .auroc)
        try container.encode(aurocInterval, forKey: .aurocInterval)
        try container.encode(patients, forKey: .patients)
        try container.encode(intervalSentence, forKey: .intervals)
    }
}
