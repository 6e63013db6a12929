package import Kernels
import Numerics

/// Adam with L2 weight decay, as PyTorch's `Adam`.
package struct Adam: Optimizer {
    package static let name = "adam"
    package static let constants: Set<OptimizerConstant> = [.betas, .epsilon]

    package var moments: AdamMoments
    package var weightDecay: Double

    package init(_ constants: OptimizerConstants) {
        moments = AdamMoments(constants)
        weightDecay = constants.weightDecay
    }

    package var slots: [String] { AdamMoments.slots }

    package func validate() throws(OptimizationError) { try moments.validate(weightDecay: weightDecay) }

    /// The size of the step and the correction of the second moment.
    package func words(step: Int, rate: Double) -> [UInt32] {
        [moments.stepSize(step, rate).bitPattern, moments.rootCorrection2(step).bitPattern]
    }

    package func update(words: [UInt32], scale: Float) -> (any OptimizerUpdate)? {
        guard words.count == 2 else { return nil }
        return moments.step(
            size: Float(bitPattern: words[0]),
            rootCorrection2: Float(bitPattern: words[1]),
            weightDecay: weightDecay,
            decay: 1,
            scale: scale
        )
    }
}

/// What Adam and its relatives share: the decaying means of the gradient and of its square.
package struct AdamMoments: Hashable, Sendable {
    package static let slots = ["exp_avg", "exp_avg_sq"]

    package var beta1: Double
    package var beta2: Double
    package var epsilon: Double

    package init(_ constants: OptimizerConstants) {
        beta1 = constants.beta1
        beta2 = constants.beta2
        epsilon = constants.epsilon
    }

    package func validate(weightDecay: Double) throws(OptimizationError) {
        try require("optimizer.beta1", beta1, "0 ≤ beta1 < 1") { $0 >= 0 && $0 < 1 }
        try require("optimizer.beta2", beta2, "0 ≤ beta2 < 1") { $0 >= 0 && $0 < 1 }
        try require("optimizer.epsilon", epsilon, "a number > 0") { $0 > 0 }
        try require("optimizer.weight_decay", weightDecay, "a number ≥ 0") { $0 >= 0 }
    }

    /// rate / (1 - β₁ᵗ).
    package func stepSize(_ step: Int, _ rate: Double) -> Float {
        precondition(step >= 1, "steps are counted from 1")
        return Float(rate / (1 - Mathematics.pow(beta1, step)))
    }

    /// √(1 - β₂ᵗ).
    package func rootCorrection2(_ step: Int) -> Float { Float((1 - Mathematics.pow(beta2, step)).squareRoot()) }

    /// The kernel's step from the numbers of a step and the constants of the run; `epsilon` replaces the run's own.
    package func step(
        size: Float,
        rootCorrection2: Float,
        weightDecay: Double,
        decay: Float,
        epsilon: Float? = nil,
        scale: Float
    ) -> AdamStep {
        AdamStep(
            stepSize: size,
            oneMinusBeta1: Float(1 - beta1),
            beta2: Float(beta2),
            oneMinusBeta2: Float(1 - beta2),
            epsilon: epsilon ?? Float(self.epsilon),
            rootCorrection2: rootCorrection2,
            weightDecay: Float(weightDecay),
            decay: decay,
            gradientScale: scale
        )
    }
}

extension AdamStep: OptimizerUpdate {
    package func apply(
        to weights: UnsafeMutablePointer<Float>,
        gradients: UnsafePointer<Float>,
        slots: [UnsafeMutablePointer<Float>],
        range: Range<Int>,
        kernels: KernelTable
    ) {
        if range.isEmpty { return }
        let first = range.lowerBound
        precondition(slots.count == 2, "Adam has two slots")
        kernels.adam(weights + first, gradients + first, slots[0] + first, slots[1] + first, range.count, self)
    }
}
