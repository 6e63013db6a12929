package import Kernels

/// A rule that moves weights by their gradients: one file in `Optimizers`, and its entry in `optimizerFamilies`.
///
/// An optimizer holds no state: its slots are flat vectors of the caller. `words` turns a step's number and learning rate
/// into the bits of one update, and `update` reads them. The coordinator calls the first and sends the words, workers call
/// the second: nobody between them knows what the words mean, and no worker computes with the step's number.
package protocol Optimizer: Sendable {
    /// The word of `optimizer.name`.
    static var name: String { get }
    /// What it reads of the configuration besides `optimizer.learning_rate` and `optimizer.weight_decay`.
    static var constants: Set<OptimizerConstant> { get }

    /// The optimizer with these constants, which `validate` checks.
    init(_ constants: OptimizerConstants)

    /// Names of the state vectors, which start at 0, in the order in which updates take them; checkpoints use them.
    var slots: [String] { get }

    /// Checks the constants.
    func validate() throws(OptimizationError)

    /// The numbers of update `step`, counted from 1 over the run, as bits; computed in `Double`, rounded once. Every step
    /// has as many.
    func words(step: Int, rate: Double) -> [UInt32]

    /// The update of which `words` are the numbers; `scale` is the factor of clipping on the gradient, 1 without.
    ///
    /// Nil where there are more or fewer words than this optimizer makes: they come from another process.
    func update(words: [UInt32], scale: Float) -> (any OptimizerUpdate)?
}

/// A constant that some optimizers read and others do not; the raw value is its field in the section `optimizer`.
package enum OptimizerConstant: String, Sendable {
    case momentum, nesterov, betas, epsilon
}

/// The constants in the section `optimizer` of a configuration; each optimizer takes those that it reads.
package struct OptimizerConstants: Hashable, Sendable {
    package var momentum = 0.9
    package var nesterov = false
    package var beta1 = 0.9
    package var beta2 = 0.999
    package var epsilon = 1e-8
    package var weightDecay = 0.0

    package init() {}
}

/// One update, ready to be applied to any part of the flat vectors.
///
/// Elementwise: threads may share the vectors by ranges, and no division into ranges changes the bits.
package protocol OptimizerUpdate: Sendable {
    /// Updates the elements `range`; `slots` are the optimizer's, in its order.
    func apply(
        to weights: UnsafeMutablePointer<Float>,
        gradients: UnsafePointer<Float>,
        slots: [UnsafeMutablePointer<Float>],
        range: Range<Int>,
        kernels: KernelTable
    )
}
