/// Adam with decoupled weight decay, as PyTorch's `AdamW`.
package struct AdamW: Optimizer {
    package static let name = "adamw"
    package static let constants: Set<OptimizerConstant> = [.betas, .epsilon]

    package var moments: AdamMoments
    package var weightDecay: Double

    package init(_ constants: OptimizerConstants) {
        moments = AdamMoments(constants)
        weightDecay = constants.weightDecay
    }

    package var slots: [String] { AdamMoments.slots }

    package func validate() throws(OptimizationError) { try moments.validate(weightDecay: weightDecay) }

    /// The size of the step, the correction of the second moment, and the factor on the weights.
    package func words(step: Int, rate: Double) -> [UInt32] {
        [
            moments.stepSize(step, rate).bitPattern, moments.rootCorrection2(step).bitPattern,
            Float(1 - rate * weightDecay).bitPattern,
        ]
    }

    package func update(words: [UInt32], scale: Float) -> (any OptimizerUpdate)? {
        guard words.count == 3 else { return nil }
        return moments.step(
            size: Float(bitPattern: words[0]),
            rootCorrection2: Float(bitPattern: words[1]),
            weightDecay: 0,
            decay: Float(bitPattern: words[2]),
            scale: scale
        )
    }
}
