import Kernels
package import Reduction

/// Gradients that anybody can compute: the values of a microbatch's vector as a function of the element's number.
package enum TestPattern: String, Codable, Sendable {
    /// Whole numbers of ±512: their sums are exact, so that any order gives the same.
    case integers
    /// Magnitudes from 2⁻²⁴ to 2: the sum depends on its order.
    case random

    /// The values of `leaf` in `step`, for the elements from `first` on.
    package func fill(_ values: UnsafeMutableBufferPointer<Float>, first: Int, leaf: Int, step: UInt64) {
        let salt = UInt32(truncatingIfNeeded: leaf) &* 0x85eb_ca77 &+ UInt32(truncatingIfNeeded: step) &* 0xc2b2_ae3d
        for index in values.indices {
            var word = UInt32(truncatingIfNeeded: first &+ index) &* 0x9e37_79b1 ^ salt
            word = (word ^ word &>> 15) &* 0x2c1b_3c6d
            word ^= word &>> 12
            let whole = Float(Int32(bitPattern: word) &>> 22)
            // 2^-(0...14): the exponent's bits, written.
            let scale = Float(bitPattern: (127 &- (word & 15)) &<< 23)
            values[index] = self == .integers ? whole : (whole + 0.5) * scale * 0x1p-9
        }
    }

    /// The canonical value of `node`, one addition after the other as `SumTree` defines it; leaves and sums of the
    /// elements below `roundedCount` rounded to bfloat16.
    package func reference(
        _ node: TreeNode,
        of tree: SumTree,
        into values: UnsafeMutableBufferPointer<Float>,
        first: Int,
        step: UInt64,
        roundedCount: Int = 0
    ) {
        let node = tree.canonical(node)
        if tree.isSum(node) {
            reference(node.left, of: tree, into: values, first: first, step: step, roundedCount: roundedCount)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: values.count) { other in
                reference(node.right, of: tree, into: other, first: first, step: step, roundedCount: roundedCount)
                for index in values.indices { values[index] += other[index] }
            }
        } else {
            fill(values, first: first, leaf: tree.leaves(of: node).lowerBound, step: step)
        }
        for index in values.indices.prefix(max(0, roundedCount - first)) {
            values[index] = BFloat16.float(BFloat16.bits(values[index]))
        }
    }

    /// Calls `body` for blocks of `node`'s value over `range`.
    package func forEachBlock(
        of range: Range<Int>,
        _ node: TreeNode,
        _ tree: SumTree,
        step: UInt64,
        roundedCount: Int = 0,
        _ body: (_ first: Int, _ values: UnsafeMutableBufferPointer<Float>) -> Void
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 1024) { block in
            var first = range.lowerBound
            while first < range.upperBound {
                let values = UnsafeMutableBufferPointer(
                    rebasing: block[..<min(block.count, range.upperBound - first)]
                )
                reference(node, of: tree, into: values, first: first, step: step, roundedCount: roundedCount)
                body(first, values)
                first += values.count
            }
        }
    }
}
