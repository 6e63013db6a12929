import Kernels

/// 1 - the mean of the Dice coefficients 2I / (D + smoothing) of foreground and background, over the microbatch or for each
/// image. Of the background I' = N - Σp - Σt + I and D' = 2N - D.
package struct TwoClassDiceLoss: LossTerm {
    package static let name = "dice_two_class"
    package static let summary =
        "1 - the mean of the soft Dice of foreground and background, over the microbatch, or with per_image: true the mean "
        + "over images"
    package static let options: [LossOption] = [.number("smoothing", 1e-7, in: 1e-12...1_000_000), .flag("per_image")]

    package var smoothing: Double
    package var isPerImage: Bool

    package init(_ options: LossOptions) {
        smoothing = options.number("smoothing")
        isPerImage = options.flag("per_image")
    }

    package func value(_ batch: LossBatch) -> Double {
        guard isPerImage else { return value(batch.joined, batch.elements) }
        var total = 0.0
        for n in 0..<batch.images { total += value(batch.sums[n], Double(batch.pixels)) }
        return total / Double(batch.images)
    }

    package func addGradient(_ weight: Double, image: Int, _ batch: LossBatch, to coefficients: inout LossSlopes) {
        let (sums, count) =
            isPerImage ? (batch.sums[image], Double(batch.pixels)) : (batch.joined, batch.elements)
        let weight = weight / (isPerImage ? Double(batch.images) : 1)
        let (inside, whole, outside, rest) = parts(sums, count)
        // With dI'/dp = t - 1 and dD'/dp = -1.
        coefficients.target += -weight * (1 / whole + 1 / rest)
        coefficients.constant += weight * (inside / (whole * whole) + 1 / rest - outside / (rest * rest))
    }

    private func value(_ sums: LossSums, _ count: Double) -> Double {
        let (inside, whole, outside, rest) = parts(sums, count)
        return 1 - (inside / whole + outside / rest)
    }

    /// I, D + smoothing, I', D' + smoothing.
    private func parts(_ sums: LossSums, _ count: Double) -> (Double, Double, Double, Double) {
        let whole = sums.probability + sums.target
        return (
            sums.intersection, whole + smoothing, count - whole + sums.intersection, 2 * count - whole + smoothing
        )
    }
}
