import Numerics

/// Rectified Adam (Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020) with decoupled weight
/// decay: PyTorch's `RAdam(decoupled_weight_decay=True)`.
///
/// With ρ∞ = 2 / (1 - β₂) - 1 and ρ = ρ∞ - 2t β₂ᵗ / (1 - β₂ᵗ): where ρ ≥ 5,
/// w ← w - rate · √(1 - β₂ᵗ) · r / (1 - β₁ᵗ) · m / (√v + ε), r = √((ρ - 4)(ρ - 2)ρ∞ / ((ρ∞ - 4)(ρ∞ - 2)ρ));
/// before that the second moment is not known well enough: w ← w - rate / (1 - β₁ᵗ) · m.
package struct RAdam: Optimizer {
    package static let name = "radam"
    package static let constants: Set<OptimizerConstant> = [.betas, .epsilon]

    package var moments: AdamMoments
    package var weightDecay: Double

    package init(_ constants: OptimizerConstants) {
        moments = AdamMoments(constants)
        weightDecay = constants.weightDecay
    }

    package var slots: [String] { AdamMoments.slots }

    package func validate() throws(OptimizationError) { try moments.validate(weightDecay: weightDecay) }

    /// The size of the step, the factor on the weights, and whether the second moment takes part.
    package func words(step: Int, rate: Double) -> [UInt32] {
        precondition(step >= 1, "steps are counted from 1")
        let decay = Float(1 - rate * weightDecay).bitPattern
        let power = Mathematics.pow(moments.beta2, step)
        let limit = 2 / (1 - moments.beta2) - 1
        let length = limit - 2 * Double(step) * power / (1 - power)
        let size = rate / (1 - Mathematics.pow(moments.beta1, step))
        guard length >= 5 else { return [Float(size).bitPattern, decay, 0] }
        let rectification =
            ((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)).squareRoot()
        return [Float(size * (1 - power).squareRoot() * rectification).bitPattern, decay, 1]
    }

    package func update(words: [UInt32], scale: Float) -> (any OptimizerUpdate)? {
        guard words.count == 3 else { return nil }
        let isRectified = words[2] != 0
        // The kernel divides the mean by √v / rootCorrection2 + epsilon, which is exactly 1 with a huge correction and an
        // epsilon of 1. A second moment that has overflowed still gives 0, where an infinite correction would give a NaN.
        return moments.step(
            size: Float(bitPattern: words[0]),
            rootCorrection2: isRectified ? 1 : .greatestFiniteMagnitude,
            weightDecay: 0,
            decay: Float(bitPattern: words[1]),
            epsilon: isRectified ? nil : 1,
            scale: scale
        )
    }
}
