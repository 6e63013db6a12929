import Foundation
import Numerics

/// A range that holds a figure with a confidence of 95 %.
package struct Interval: Sendable, Equatable, Encodable {
    package let low: Double
    package let high: Double

    package init(_ low: Double, _ high: Double) {
        self.low = low
        self.high = high
    }

    /// What may lie outside, on both sides together.
    static let error = 0.05
    /// The quantile of the normal distribution that belongs to it.
    static let normalQuantile = 1.959963984540054

    /// `[low, high]`, as JSON has it.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.unkeyedContainer()
        try container.encode(low)
        try container.encode(high)
    }
}

// MARK: - Shares

extension Interval {
    /// The exact interval of a share, `count` of `total` (C. Clopper and E. Pearson, Biometrika 26, 1934); nil of nothing.
    ///
    /// Its ends are the probabilities at which so many or more, and so few or fewer, come with 2.5 %.
    package init?(share count: Int, of total: Int) {
        guard total > 0, (0...total).contains(count) else { return nil }
        var logFactorials = [0.0]
        logFactorials.reserveCapacity(total + 1)
        for number in 1...total { logFactorials.append(logFactorials[number - 1] + log(Double(number))) }
        func tail(_ counts: ClosedRange<Int>, at probability: Double) -> Double {
            counts.reduce(0.0) { sum, k in
                let choices = logFactorials[total] - logFactorials[k] - logFactorials[total - k]
                return sum + exp(choices + Double(k) * log(probability) + Double(total - k) * log1p(-probability))
            }
        }
        /// Where `tail` of the counts, which rises or falls with the probability, is half of the error.
        func crossing(_ counts: ClosedRange<Int>, rises: Bool) -> Double {
            var (below, above) = (0.0, 1.0)
            while true {
                let middle = (below + above) / 2
                guard middle > below, middle < above, above - below > 1e-13 else { return middle }
                if (tail(counts, at: middle) < Self.error / 2) == rises { below = middle } else { above = middle }
            }
        }
        low = count == 0 ? 0 : crossing(count...total, rises: true)
        high = count == total ? 1 : crossing(0...count, rises: false)
    }
}

// MARK: - Bootstrap

/// Draws groups of images, with replacement, to see how a figure varies (B. Efron, Annals of Statistics 7, 1979).
///
/// Images of one patient are no independent draws: patients are drawn, each with all of its images.
package struct Bootstrap: Sendable {
    /// How often is drawn.
    package static let draws = 2000
    /// The group of each image, 0 ..< `groups`.
    private let group: [Int]
    package let groups: Int

    /// Images with equal names are a group; one without a name is a group of its own.
    package init(names: [String]) {
        var numbers: [String: Int] = [:]
        var count = 0
        group = names.map { name in
            if !name.isEmpty, let known = numbers[name] { return known }
            if !name.isEmpty { numbers[name] = count }
            count += 1
            return count - 1
        }
        groups = count
    }

    /// Whether some group has several images.
    package var isClustered: Bool { groups < group.count }

    /// The percentile intervals of some figures; nil where a figure is undefined in half of the draws or more.
    ///
    /// `figures` is given how often each image was drawn, and tells all figures, nil for one that is undefined. The draws
    /// are the same in every call and on every machine.
    package func intervals(_ figures: (_ weights: [Int]) -> [Double?]) -> [Interval?] {
        guard groups > 1 else { return figures([Int](repeating: 1, count: group.count)).map { _ in nil } }
        let random = Philox(key: 0x706C_6575_7261)
        var samples: [[Double]] = []
        for draw in 0..<Self.draws {
            var drawn = [Int](repeating: 0, count: groups)
            for block in 0...(groups - 1) / 4 {
                let words = random.block(at: SIMD4(UInt32(block), UInt32(draw), 0, 0))
                for lane in 0..<min(4, groups - 4 * block) {
                    drawn[Int((UInt64(words[lane]) * UInt64(groups)) >> 32)] += 1
                }
            }
            for (index, value) in figures(group.map { drawn[$0] }).enumerated() {
                if samples.count <= index { samples.append([]) }
                if let value { samples[index].append(value) }
            }
        }
        return samples.map { sample in
            guard 2 * sample.count > Self.draws else { return nil }
            let sorted = sample.sorted()
            /// Between two neighbours in proportion, as numpy's default.
            func quantile(_ share: Double) -> Double {
                let place = share * Double(sorted.count - 1)
                let lower = Int(place)
                let upper = min(lower + 1, sorted.count - 1)
                return sorted[lower] + (sorted[upper] - sorted[lower]) * (place - Double(lower))
            }
            return Interval(quantile(Interval.error / 2), quantile(1 - Interval.error / 2))
        }
    }
}
