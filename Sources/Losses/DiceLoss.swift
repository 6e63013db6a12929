import Kernels

/// 1 - (2I + numerator smoothing) / (D + smoothing) with I = Σpt and D = Σp + Σt, or Σp² + Σt²: soft Dice.
package struct DiceLoss: LossTerm {
    package static let name = "dice"
    package static let summary =
        "1 - soft Dice over the microbatch, or with per_image: true the mean over images; squared: true squares in the "
        + "denominator"
    package static let options: [LossOption] = [
        .number("smoothing", 1, in: 0...1_000_000), .number("numerator_smoothing", 1, in: 0...1_000_000),
        .flag("per_image"), .flag("squared"),
    ]

    /// One Dice for each image, of which the loss is the mean; else one over all images ("batch Dice").
    package var isPerImage: Bool
    package var numeratorSmoothing: Double
    package var denominatorSmoothing: Double
    /// Whether D = Σp² + Σt² rather than Σp + Σt.
    package var isSquared: Bool

    package init(_ options: LossOptions) {
        isPerImage = options.flag("per_image")
        numeratorSmoothing = options.number("numerator_smoothing")
        denominatorSmoothing = options.number("smoothing")
        isSquared = options.flag("squared")
    }

    package init(isPerImage: Bool, numeratorSmoothing: Double, denominatorSmoothing: Double, isSquared: Bool) {
        self.isPerImage = isPerImage
        self.numeratorSmoothing = numeratorSmoothing
        self.denominatorSmoothing = denominatorSmoothing
        self.isSquared = isSquared
    }

    package func value(_ batch: LossBatch) -> Double {
        guard isPerImage else { return fraction(batch.joined).loss }
        var total = 0.0
        for n in 0..<batch.images { total += fraction(batch.sums[n]).loss }
        return total / Double(batch.images)
    }

    package func addGradient(_ weight: Double, image: Int, _ batch: LossBatch, to coefficients: inout LossSlopes) {
        let fraction = fraction(isPerImage ? batch.sums[image] : batch.joined)
        guard fraction.isDefined else { return }
        let weight = weight / (isPerImage ? Double(batch.images) : 1)
        // d(1 - U/D)/dx = -(2t/D - U/D² · dD/dp) · p(1 - p), dD/dp = 1, or 2p with the squared denominator.
        let ratio = fraction.numerator / (fraction.denominator * fraction.denominator)
        coefficients.target += weight * -2 / fraction.denominator
        if isSquared {
            coefficients.probability += weight * 2 * ratio
        } else {
            coefficients.constant += weight * ratio
        }
    }

    /// Without smoothing, an image with an empty mask and no probability has no Dice coefficient: its loss is 0. Sums that are
    /// no numbers have a loss that is none.
    private func fraction(
        _ sums: LossSums
    ) -> (numerator: Double, denominator: Double, isDefined: Bool, loss: Double) {
        let numerator = 2 * sums.intersection + numeratorSmoothing
        let denominator =
            (isSquared ? sums.squaredProbability + sums.squaredTarget : sums.probability + sums.target)
            + denominatorSmoothing
        let isDefined = !(denominator <= 0)
        return (numerator, denominator, isDefined, isDefined ? 1 - numerator / denominator : 0)
    }
}
