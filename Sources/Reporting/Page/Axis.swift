import Foundation

/// A linear axis with round numbers at its ticks.
package struct Axis: Sendable, Equatable {
    /// The values at the axis' ends.
    package let low: Double
    package let high: Double
    /// Round values between them, rising.
    package let ticks: [Double]
    private let step: Double

    /// Values beyond it are drawn at the axis' end: twice of it is a number still.
    private static let largest = 1e300
    /// No axis has more ticks than this, whatever rounding does to its ends.
    private static let mostTicks = 100.0

    /// An axis that holds all finite values, with about `count` ticks.
    ///
    /// - Parameters:
    ///   - including: values that must be on the axis, for example 0.
    ///   - rounded: widens the axis to round numbers at its ends.
    package init(_ values: [Double], including: [Double] = [], count: Int = 4, rounded: Bool = true) {
        let finite = (values + including).filter(\.isFinite).map { min(max($0, -Self.largest), Self.largest) }
        var low = finite.min() ?? 0
        var high = finite.max() ?? 1
        if high - low < max(abs(high), abs(low)) * 1e-9 || high == low {
            let margin = max(abs(high) * 0.5, 0.5)
            (low, high) = (low == 0 ? 0 : low - margin, high + margin)
        }
        let raw = (high - low) / Double(max(1, count))
        let power = pow(10, floor(log10(raw)))
        let step = ([1, 2, 2.5, 5, 10].first { $0 * power >= raw * 0.999 } ?? 10) * power
        if rounded {
            low = floor(low / step + 1e-9) * step
            high = ceil(high / step - 1e-9) * step
        }
        let first = ceil(low / step - 1e-9)
        let last = floor(high / step + 1e-9)
        self.low = low
        self.high = high
        self.step = step
        // Not so where a step is too small to change the ends, or is no number.
        let ticks = last - first < Self.mostTicks ? stride(from: first, through: last, by: 1).map { $0 * step } : []
        self.ticks = ticks.allSatisfy(\.isFinite) ? ticks : []
    }

    /// Where a value is on the axis, from 0 to 1; values off the axis are moved to its end.
    package func position(_ value: Double) -> Double {
        min(1, max(0, (value - low) / (high - low)))
    }

    /// The text of a tick, with as many digits as the distance of two ticks needs.
    package func label(_ tick: Double) -> String {
        let size = max(abs(low), abs(high))
        if tick == 0 { return "0" }
        if size >= 1e6 || size < 1e-2 { return String(format: "%g", tick) }
        let decimals = Int(max(0, min(6, -floor(log10(step) + 1e-9))))
        // A step of 2.5 × 10ⁿ has one digit more than its power says.
        let scaled = step * pow(10, Double(decimals))
        let more = abs(scaled - scaled.rounded()) > 1e-6 ? 1 : 0
        return String(format: "%.\(decimals + more)f", tick)
    }
}
