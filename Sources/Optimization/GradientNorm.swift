package import Kernels

/// The global norm of a step's gradient, over fixed blocks of the flat vector, and the factor that clips it.
///
/// Blocks may be summed by anyone in any order; `norm` adds the blocks' sums in block order in `Double`, so the norm
/// is the same for every division of the work.
package enum GradientNorm {
    /// Elements of a block.
    package static let blockSize = 65_536

    /// Blocks of a vector of `count` elements; the last one may be short.
    package static func blockCount(of count: Int) -> Int { (count + blockSize - 1) / blockSize }

    /// The elements of a block.
    package static func range(of block: Int, count: Int) -> Range<Int> {
        block * blockSize..<min((block + 1) * blockSize, count)
    }

    /// Σ g² of one block.
    package static func sumOfSquares(
        _ gradient: UnsafePointer<Float>,
        count: Int,
        block: Int,
        kernels: KernelTable
    ) -> Double {
        let range = range(of: block, count: count)
        return kernels.sumOfSquares(gradient + range.lowerBound, range.count)
    }

    /// The norm from the sums of all blocks, in block order.
    package static func norm(of sums: some Sequence<Double>) -> Double {
        sums.reduce(0) { $0 + $1 }.squareRoot()
    }

    /// The norm of a whole vector.
    package static func norm(_ gradient: UnsafePointer<Float>, count: Int, kernels: KernelTable) -> Double {
        norm(
            of: (0..<blockCount(of: count)).lazy.map {
                sumOfSquares(gradient, count: count, block: $0, kernels: kernels)
            }
        )
    }

    /// The factor on the gradient, by PyTorch's formula: `maximum` / (norm + 10⁻⁶), at most 1; 1 without a maximum.
    ///
    /// A norm that is not finite gives a NaN or 0: the caller decides about such a step first.
    package static func clipScale(norm: Double, maximum: Double?) -> Float {
        guard let maximum else { return 1 }
        let scale = maximum / (norm + 1e-6)
        return scale < 1 || scale.isNaN ? Float(scale) : 1
    }
}
