package import Numerics
package import Settings

/// As many positives as negatives, each drawn with replacement: an epoch is as long as one of all samples.
package struct BalancedSamples: SamplingRule {
    package static let word = "balanced"
    package static let summary =
        "half positives and half negatives, both drawn with replacement, as many in all as there are samples."
    package static let settings: [Setting<BalancedSamples>] = []

    package init() {}

    package func check(_ pool: SamplePool) throws(SamplingError) {
        if pool.positives.isEmpty { throw .noPositives(samples: pool.samples.count) }
        if pool.negatives.isEmpty { throw .noNegatives(samples: pool.samples.count) }
    }

    package func sampleCount(of epoch: Int, from pool: SamplePool) -> Int { pool.samples.count }

    /// Of an odd number, one more is negative. Draw j uses number j; positives come first.
    package func samples(of epoch: Int, from pool: SamplePool, draws: RandomSequence) -> [Int] {
        let count = pool.samples.count
        return (0..<count).map { draw in
            let source = draw < count / 2 ? pool.positives : pool.negatives
            return source[draws.integer(draw, below: source.count)]
        }
    }
}

extension SamplingPolicy {
    package static let balanced = SamplingPolicy(BalancedSamples.self)
}
