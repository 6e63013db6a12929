package import Numerics
package import Settings

/// Every positive once, and so many negatives, drawn with replacement, that positives have a given share: constant, or linear from the
/// first epoch to the last.
package struct PositivesAndShare: SamplingRule {
    package static let word = "positives"
    package static let summary =
        "each positive once, and negatives drawn with replacement until the positives have the share below."

    /// The share in the first epoch, in 0.001 ... 1.
    package var first: Double
    /// The share in the last epoch, in 0.001 ... 1; nil for the first epoch's.
    package var last: Double?

    package init() { self.init(0.5) }

    package init(_ first: Double, last: Double? = nil) {
        self.first = first
        self.last = last
    }

    package static let settings: [Setting<PositivesAndShare>] = [
        Setting("positive_share", \.first, .within(0.001...1), "The share of positives in the first epoch."),
        Setting(
            "positive_share_end",
            \.last,
            .unlessOff(.within(0.001...1)),
            "The share of positives in the last epoch; the epochs between lie on a line. off keeps the first share."
        ),
    ]

    /// The share of positives in `epoch` of a run of `epochs`.
    package func share(in epoch: Int, of epochs: Int) -> Double {
        guard let last, last != first else { return first }
        let end = max(1, epochs - 1)
        return epoch >= end ? last : first - (first - last) * Double(epoch) / Double(end)
    }

    /// The negatives that go with `positives` positives in `epoch`: ⌊positives · (1 - p) / p⌋.
    ///
    /// Evaluated from left to right in `Double`, as the first place's sampler does, so counts agree with it.
    package func negatives(for positives: Int, in epoch: Int, of epochs: Int) -> Int {
        let p = share(in: epoch, of: epochs)
        return Int(Double(positives) * (1 - p) / p)
    }

    package var defect: String? {
        for share in [first, last ?? first] where !(share >= 0.001 && share <= 1) {
            return "a share of positives of \(share) is not in 0.001...1"
        }
        return nil
    }

    package var dependsOnLength: Bool { last != nil }

    package func check(_ pool: SamplePool) throws(SamplingError) {
        if pool.positives.isEmpty { throw .noPositives(samples: pool.samples.count) }
        let drawn = max(
            negatives(for: pool.positives.count, in: 0, of: pool.epochs),
            negatives(for: pool.positives.count, in: pool.epochs, of: pool.epochs)
        )
        if drawn > 0 && pool.negatives.isEmpty { throw .noNegatives(samples: pool.samples.count) }
        if pool.positives.count + drawn > Int(Int32.max) { throw .tooManySamples(pool.positives.count + drawn) }
    }

    package func sampleCount(of epoch: Int, from pool: SamplePool) -> Int {
        pool.positives.count + negatives(for: pool.positives.count, in: epoch, of: pool.epochs)
    }

    /// Draw j of a negative uses number j.
    package func samples(of epoch: Int, from pool: SamplePool, draws: RandomSequence) -> [Int] {
        var order = pool.positives
        for draw in 0..<negatives(for: pool.positives.count, in: epoch, of: pool.epochs) {
            order.append(pool.negatives[draws.integer(draw, below: pool.negatives.count)])
        }
        return order
    }
}

extension SamplingPolicy {
    package static let positives = SamplingPolicy(PositivesAndShare.self)
}
