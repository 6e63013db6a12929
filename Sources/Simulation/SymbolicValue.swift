import Coordination
import Reduction
import Sampling

/// A value that knows how it was made: a hash over the tree of operations that led to it.
///
/// Its sum neither associates nor commutes, so any change of the order of additions, of the weights a gradient was
/// taken at or of the samples in it gives another value, as it would give other bits in floating point.
package struct SymbolicValue: Hashable, Sendable {
    package var bits: UInt64

    init(_ bits: UInt64) { self.bits = bits }

    /// A value made of `parts`, in their order.
    init(kind: UInt64, _ parts: UInt64...) { self.init(kind: kind, parts) }

    private init(kind: UInt64, _ parts: [UInt64]) {
        var state = kind &* 0x9E37_79B9_7F4A_7C15
        for part in parts {
            state = (state ^ part) &* 0xD6E8_FEB8_6659_FD93
            state ^= state >> 32
            state = state &* 0xD6E8_FEB8_6659_FD93
            state ^= state >> 29
        }
        bits = state
    }

    static func initial(seed: UInt64) -> SymbolicValue { SymbolicValue(kind: 1, seed) }

    /// The gradient of one microbatch.
    static func gradient(
        weights: SymbolicValue,
        step: UInt64,
        index: Int,
        microbatch: Microbatch
    ) -> SymbolicValue {
        var value = SymbolicValue(
            kind: 2,
            weights.bits,
            step,
            UInt64(index),
            UInt64(microbatch.weight.bitPattern)
        )
        for (position, sample) in zip(microbatch.positions, microbatch.samples) {
            value = SymbolicValue(kind: 3, value.bits, UInt64(position), UInt64(sample))
        }
        return value
    }

    static func + (a: SymbolicValue, b: SymbolicValue) -> SymbolicValue {
        SymbolicValue(kind: 4, a.bits, b.bits)
    }

    /// The weights after a step.
    func applying(_ sum: SymbolicValue, _ hyperparameters: StepHyperparameters) -> SymbolicValue {
        let words = hyperparameters.optimizer.map(UInt64.init)
        return SymbolicValue(kind: 5, [bits, sum.bits, UInt64(hyperparameters.learningRate.bitPattern)] + words)
    }

    /// The counts of validation sample `sample` at these weights.
    func counts(ofSample sample: UInt32) -> [UInt32] {
        let value = SymbolicValue(kind: 6, bits, UInt64(sample))
        return [0, 16, 32].map { UInt32((value.bits >> $0) & 0xFFFF) }
    }

    /// The value of `node`, from the values of leaves, in the canonical order.
    static func fold(_ node: TreeNode, of tree: SumTree, leaf: (Int) -> SymbolicValue) -> SymbolicValue {
        let node = tree.canonical(node)
        if node.level == 0 { return leaf(node.index) }
        return fold(node.left, of: tree, leaf: leaf) + fold(node.right, of: tree, leaf: leaf)
    }
}
