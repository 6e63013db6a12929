package import Kernels

/// An exponential moving average of the weights.
package struct WeightAverage: Hashable, Sendable, Codable {
    /// The share of the old average that an update keeps.
    package var decay: Double
    /// Whether early updates keep less: (1 + t) / (10 + t) at update t, where that is below `decay`.
    package var warmsUp: Bool

    package init(decay: Double, warmsUp: Bool = true) {
        self.decay = decay
        self.warmsUp = warmsUp
    }

    /// Checks the constants.
    package func validate() throws(OptimizationError) {
        try require("ema.decay", decay, "0 < decay < 1") { $0 > 0 && $0 < 1 }
    }

    /// The weight of the new values in update `number`, counted from 1: what the coordinator sends.
    package func weight(_ number: Int) -> Float {
        let limit = Double(1 + number) / Double(10 + number)
        return Float(1 - (warmsUp ? min(decay, limit) : decay))
    }

    /// Moves the elements `range` of `average` towards `values`; elementwise, so threads may share the vector.
    package static func update(
        _ average: UnsafeMutablePointer<Float>,
        towards values: UnsafePointer<Float>,
        weight: Float,
        range: Range<Int>,
        kernels: KernelTable
    ) {
        if range.isEmpty { return }
        kernels.movingAverage(average + range.lowerBound, values + range.lowerBound, weight, range.count)
    }
}
