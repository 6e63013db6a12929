package import Kernels
import Numerics

/// An optimizer with its constants, as the configuration describes it.
///
/// It holds no state: the slots are flat vectors of the caller, and `step` turns the step's number and learning rate
/// into the bits of one update. The coordinator calls it and sends the bits; workers only apply them.
package enum Optimizer: Hashable, Sendable, Codable {
    /// Stochastic gradient descent as PyTorch's `SGD`, dampening 0.
    case sgd(momentum: Double, nesterov: Bool, weightDecay: Double)
    /// Adam with L2 weight decay, as PyTorch's `Adam`.
    case adam(beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double)
    /// Adam with decoupled weight decay, as PyTorch's `AdamW`.
    case adamW(beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double)

    /// Names of the state vectors, which start at 0, in the order in which `apply` takes them; checkpoints use them.
    package var slots: [String] {
        switch self {
        case .sgd(let momentum, _, _): momentum == 0 ? [] : ["momentum_buffer"]
        case .adam, .adamW: ["exp_avg", "exp_avg_sq"]
        }
    }

    /// Checks the constants.
    package func validate() throws(OptimizationError) {
        switch self {
        case .sgd(let momentum, let nesterov, let weightDecay):
            try require("optimizer.momentum", momentum, "0 ≤ momentum < 1") { $0 >= 0 && $0 < 1 }
            try require("optimizer.weight_decay", weightDecay, "a number ≥ 0") { $0 >= 0 }
            if nesterov && momentum == 0 {
                throw OptimizationError(
                    setting: "optimizer.nesterov",
                    problem: "Nesterov's momentum needs a momentum above 0."
                )
            }
        case .adam(let beta1, let beta2, let epsilon, let weightDecay),
            .adamW(let beta1, let beta2, let epsilon, let weightDecay):
            try require("optimizer.beta1", beta1, "0 ≤ beta1 < 1") { $0 >= 0 && $0 < 1 }
            try require("optimizer.beta2", beta2, "0 ≤ beta2 < 1") { $0 >= 0 && $0 < 1 }
            try require("optimizer.epsilon", epsilon, "a number > 0") { $0 > 0 }
            try require("optimizer.weight_decay", weightDecay, "a number ≥ 0") { $0 >= 0 }
        }
    }

    /// The bits of the update with this number, counted from 1 over the run; computed in `Double`, rounded once.
    ///
    /// `gradientScale` is the factor of clipping, 1 without.
    package func step(_ number: Int, learningRate: Double, gradientScale: Float = 1) -> OptimizerStep {
        precondition(number >= 1, "steps are counted from 1")
        switch self {
        case .sgd(let momentum, let nesterov, let weightDecay):
            return .sgd(
                SGDStep(
                    learningRate: Float(learningRate),
                    momentum: Float(momentum),
                    weightDecay: Float(weightDecay),
                    nesterov: nesterov,
                    firstStep: number == 1,
                    gradientScale: gradientScale
                )
            )
        case .adam(let beta1, let beta2, let epsilon, let weightDecay):
            return .adam(
                Self.adamStep(
                    number,
                    learningRate,
                    beta1,
                    beta2,
                    epsilon,
                    weightDecay: weightDecay,
                    decay: 1,
                    gradientScale
                )
            )
        case .adamW(let beta1, let beta2, let epsilon, let weightDecay):
            return .adam(
                Self.adamStep(
                    number,
                    learningRate,
                    beta1,
                    beta2,
                    epsilon,
                    weightDecay: 0,
                    decay: 1 - learningRate * weightDecay,
                    gradientScale
                )
            )
        }
    }

    private static func adamStep(
        _ number: Int,
        _ learningRate: Double,
        _ beta1: Double,
        _ beta2: Double,
        _ epsilon: Double,
        weightDecay: Double,
        decay: Double,
        _ gradientScale: Float
    ) -> AdamStep {
        AdamStep(
            stepSize: Float(learningRate / (1 - Mathematics.pow(beta1, number))),
            oneMinusBeta1: Float(1 - beta1),
            beta2: Float(beta2),
            oneMinusBeta2: Float(1 - beta2),
            epsilon: Float(epsilon),
            rootCorrection2: Float((1 - Mathematics.pow(beta2, number)).squareRoot()),
            weightDecay: Float(weightDecay),
            decay: Float(decay),
            gradientScale: gradientScale
        )
    }
}

/// The bits of one update.
package enum OptimizerStep: Hashable, Sendable {
    case sgd(SGDStep)
    case adam(AdamStep)

    /// The same update for parameters without weight decay.
    package var withoutDecay: OptimizerStep {
        switch self {
        case .sgd(var step):
            step.weightDecay = 0
            return .sgd(step)
        case .adam(var step):
            step.weightDecay = 0
            step.decay = 1
            return .adam(step)
        }
    }

    /// Updates the elements `range` of the flat vectors.
    ///
    /// Elementwise: threads may share the vector by ranges, and no division into ranges changes the bits. `slots` are
    /// the optimizer's, in its order; `undecayed` are ascending ranges of parameters without weight decay.
    package func apply(
        to weights: UnsafeMutablePointer<Float>,
        gradients: UnsafePointer<Float>,
        slots: [UnsafeMutablePointer<Float>],
        range: Range<Int>,
        undecayed: [Range<Int>] = [],
        kernels: KernelTable
    ) {
        var position = range.lowerBound
        for excluded in undecayed where excluded.upperBound > position && excluded.lowerBound < range.upperBound {
            let part = excluded.clamped(to: position..<range.upperBound)
            update(weights, gradients, slots, position..<part.lowerBound, kernels)
            withoutDecay.update(weights, gradients, slots, part, kernels)
            position = part.upperBound
        }
        update(weights, gradients, slots, position..<range.upperBound, kernels)
    }

    private func update(
        _ weights: UnsafeMutablePointer<Float>,
        _ gradients: UnsafePointer<Float>,
        _ slots: [UnsafeMutablePointer<Float>],
        _ range: Range<Int>,
        _ kernels: KernelTable
    ) {
        if range.isEmpty { return }
        let first = range.lowerBound
        switch self {
        case .sgd(let step):
            precondition(step.momentum == 0 || slots.count == 1, "SGD with momentum has one slot")
            // Without momentum the kernel leaves its buffer alone.
            let momentum = slots.first ?? weights
            kernels.sgd(weights + first, gradients + first, momentum + first, range.count, step)
        case .adam(let step):
            precondition(slots.count == 2, "Adam has two slots")
            kernels.adam(weights + first, gradients + first, slots[0] + first, slots[1] + first, range.count, step)
        }
    }
}
