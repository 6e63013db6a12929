package import Kernels

/// Stochastic gradient descent as PyTorch's `SGD`, dampening 0.
package struct SGD: Optimizer {
    package static let name = "sgd"
    package static let constants: Set<OptimizerConstant> = [.momentum, .nesterov]

    package var momentum: Double
    package var nesterov: Bool
    package var weightDecay: Double

    package init(_ constants: OptimizerConstants) {
        momentum = constants.momentum
        nesterov = constants.nesterov
        weightDecay = constants.weightDecay
    }

    package var slots: [String] { momentum == 0 ? [] : ["momentum_buffer"] }

    package func validate() throws(OptimizationError) {
        try require("optimizer.momentum", momentum, "0 ≤ momentum < 1") { $0 >= 0 && $0 < 1 }
        try require("optimizer.weight_decay", weightDecay, "a number ≥ 0") { $0 >= 0 }
        if nesterov && momentum == 0 {
            throw OptimizationError(setting: "optimizer.nesterov", problem: "needs `optimizer.momentum` above 0")
        }
    }

    /// The learning rate, and whether it is the first step, which begins the momentum.
    package func words(step: Int, rate: Double) -> [UInt32] {
        precondition(step >= 1, "steps are counted from 1")
        return [Float(rate).bitPattern, step == 1 ? 1 : 0]
    }

    package func update(words: [UInt32], scale: Float) -> (any OptimizerUpdate)? {
        guard words.count == 2 else { return nil }
        return SGDStep(
            learningRate: Float(bitPattern: words[0]),
            momentum: Float(momentum),
            weightDecay: Float(weightDecay),
            nesterov: nesterov,
            firstStep: words[1] != 0,
            gradientScale: scale
        )
    }
}

extension SGDStep: OptimizerUpdate {
    package func apply(
        to weights: UnsafeMutablePointer<Float>,
        gradients: UnsafePointer<Float>,
        slots: [UnsafeMutablePointer<Float>],
        range: Range<Int>,
        kernels: KernelTable
    ) {
        if range.isEmpty { return }
        let first = range.lowerBound
        precondition(momentum == 0 || slots.count == 1, "SGD with momentum has one slot")
        // Without momentum the kernel leaves its buffer alone.
        kernels.sgd(weights + first, gradients + first, (slots.first ?? weights) + first, range.count, self)
    }
}
