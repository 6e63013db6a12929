/// The pixels of one image that the metric counts, at 1024 × 1024.
package struct ImageCounts: Sendable, Equatable {
    /// Pixels in both masks.
    package var intersection: Int64
    /// Pixels of the predicted mask.
    package var predicted: Int64
    /// Pixels of the true mask.
    package var truth: Int64

    package init(intersection: Int64, predicted: Int64, truth: Int64) {
        self.intersection = intersection
        self.predicted = predicted
        self.truth = truth
    }

    /// The counts of a prediction; both masks have the same size.
    package init(prediction: RunLengthMask, truth: RunLengthMask) {
        intersection = Int64(prediction.intersectionArea(truth))
        predicted = Int64(prediction.area)
        self.truth = Int64(truth.area)
    }

    /// The challenge's score of one image: 2 |X ∩ Y| / (|X| + |Y|), and 1 where both are empty.
    package var dice: Double {
        predicted + truth == 0 ? 1 : Double(2 * intersection) / Double(predicted + truth)
    }
}

/// The challenge's metric over a set of images, with its parts.
///
/// Means are sums in the order of the images, in `Double`, divided at the end: equal counts in equal order give equal
/// bits, whoever counted.
package struct DiceScore: Sendable, Equatable {
    package private(set) var images = 0
    /// Images with a true mask that is not empty.
    package private(set) var positives = 0
    /// Images with a predicted mask that is not empty.
    package private(set) var nonEmptyPredictions = 0
    private var positiveSum = 0.0
    private var sum = 0.0
    private var correctNegatives = 0

    /// Of no images.
    package init() {}

    /// Of images in the order given.
    package init(_ counts: some Sequence<ImageCounts>) {
        for count in counts { add(count) }
    }

    package mutating func add(_ counts: ImageCounts) {
        let dice = counts.dice
        images += 1
        sum += dice
        if counts.predicted > 0 { nonEmptyPredictions += 1 }
        if counts.truth > 0 {
            positives += 1
            positiveSum += dice
        } else if counts.predicted == 0 {
            correctNegatives += 1
        }
    }

    /// Images without a pneumothorax.
    package var negatives: Int { images - positives }

    /// The challenge's score; nothing without images.
    package var meanDice: Double? { images > 0 ? sum / Double(images) : nil }

    /// The mean over the positives; nothing without any.
    package var positiveDice: Double? { positives > 0 ? positiveSum / Double(positives) : nil }

    /// The mean over the negatives, that is the share of them that is predicted empty; nothing without any.
    package var negativeDice: Double? { negatives > 0 ? Double(correctNegatives) / Double(negatives) : nil }
}
