/// Where the elements of one axis of a bilinear resampling take their values: PyTorch's rule, in `Float`.
package struct BilinearAxis: Sendable {
    private let source: Int
    private let scale: Float
    private let alignCorners: Bool

    package init(source: Int, target: Int, alignCorners: Bool) {
        self.source = source
        self.alignCorners = alignCorners
        if alignCorners {
            scale = target > 1 ? Float(source - 1) / Float(target - 1) : 0
        } else {
            scale = Float(source) / Float(target)
        }
    }

    /// Element `index` is lower + (upper - lower) · weight.
    package func sample(_ index: Int) -> (lower: Int, upper: Int, weight: Float) {
        var position = alignCorners ? Float(index) * scale : (Float(index) + 0.5) * scale - 0.5
        if position < 0 { position = 0 }
        let lower = min(Int(position), source - 1)
        return (lower, min(lower + 1, source - 1), position - Float(lower))
    }
}
