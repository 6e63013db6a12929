import Kernels

/// The mean of 1 - 2I / D over the images of the microbatch whose masks are not empty, D = Σp + Σt; 0 where all are.
package struct NonEmptyDiceLoss: LossTerm {
    package static let name = "dice_nonempty"
    package static let summary = "1 - soft Dice, the mean over the images whose masks are not empty"

    package init(_ options: LossOptions) {}

    package func value(_ batch: LossBatch) -> Double {
        var total = 0.0
        var count = 0.0
        for n in 0..<batch.images where batch.sums[n].target > 0 {
            total += 1 - 2 * batch.sums[n].intersection / (batch.sums[n].probability + batch.sums[n].target)
            count += 1
        }
        return count > 0 ? total / count : 0
    }

    package func addGradient(_ weight: Double, image: Int, _ batch: LossBatch, to coefficients: inout LossSlopes) {
        let sums = batch.sums[image]
        guard sums.target > 0 else { return }
        var count = 0.0
        for n in 0..<batch.images where batch.sums[n].target > 0 { count += 1 }
        let denominator = sums.probability + sums.target
        coefficients.target += weight / count * -2 / denominator
        coefficients.constant += weight / count * (2 * sums.intersection / (denominator * denominator))
    }
}
