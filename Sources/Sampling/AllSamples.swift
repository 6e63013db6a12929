package import Numerics
package import Settings

/// Every training sample once.
package struct AllSamples: SamplingRule {
    package static let word = "all"
    package static let summary = "each sample once an epoch."
    package static let settings: [Setting<AllSamples>] = []

    package init() {}

    package func sampleCount(of epoch: Int, from pool: SamplePool) -> Int { pool.samples.count }

    package func samples(of epoch: Int, from pool: SamplePool, draws: RandomSequence) -> [Int] { pool.samples }
}

extension SamplingPolicy {
    package static let all = SamplingPolicy(AllSamples.self)
}
