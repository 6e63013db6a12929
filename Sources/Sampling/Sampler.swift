import Numerics

/// Draws the order of samples of each epoch: a pure function of (seed, epoch), the same on any machine.
///
/// Samples are named by their index in the data set. A worker asks for an epoch's plan once and takes its microbatches
/// from it; who asks, how often and in which order cannot change the answer.
package struct Sampler: Sendable {
    package let rule: any SamplingRule
    package let seed: UInt64
    private let pool: SamplePool

    /// A sampler over the data set's samples `samples`, of which `isPositive[sample]` says whether it has a
    /// pneumothorax, for a run of `epochs` epochs.
    ///
    /// - Throws: `SamplingError` where the rule cannot be served from these samples.
    package init(
        rule: any SamplingRule,
        seed: UInt64,
        samples: [Int],
        isPositive: [Bool],
        epochs: Int
    ) throws(SamplingError) {
        precondition(samples.allSatisfy(isPositive.indices.contains), "a training sample is not in the data set")
        self.rule = rule
        self.seed = seed
        pool = SamplePool(samples: samples, isPositive: isPositive, epochs: epochs)
        if samples.isEmpty { throw .noSamples }
        // 2³¹ and not 2³²: one bit is left for the product of an epoch's counts in callers' arithmetic.
        if samples.count > Int(Int32.max) { throw .tooManySamples(samples.count) }
        if let defect = rule.defect { throw .badShare(defect) }
        try rule.check(pool)
    }

    /// The number of samples of `epoch`, without drawing them.
    ///
    /// O(1).
    package func sampleCount(of epoch: Int) -> Int { rule.sampleCount(of: epoch, from: pool) }

    /// The samples of `epoch` in their order: entry p is the sample at position p.
    ///
    /// O(n).
    ///
    ///     all        [samples]                     n         shuffled
    ///     positives  [positives] + [negatives]     n₊ + k    k drawn with replacement, then shuffled together
    ///     balanced   [positives] + [negatives]     n         all drawn with replacement, then shuffled together
    ///
    /// A rule's draws use the numbers of (seed, `.sampling`, epoch); exchange i of the Fisher-Yates shuffle, from
    /// the end, uses number i of (seed, `.shuffle`, epoch).
    package func order(of epoch: Int) -> [Int] {
        precondition(epoch >= 0 && epoch <= Int(UInt32.max), "epoch \(epoch) cannot be numbered")
        let draws = RandomSequence(seed: seed, purpose: .sampling, epoch: UInt32(epoch))
        var order = rule.samples(of: epoch, from: pool, draws: draws)
        let exchanges = RandomSequence(seed: seed, purpose: .shuffle, epoch: UInt32(epoch))
        var last = order.count - 1
        while last > 0 {
            order.swapAt(last, exchanges.integer(last, below: last + 1))
            last -= 1
        }
        return order
    }

    /// The plan of `epoch`: its samples in order, cut into global batches.
    ///
    /// O(n).
    package func plan(of epoch: Int, microbatches: Int, microbatchSize: Int) -> EpochPlan {
        let samples = order(of: epoch)
        return EpochPlan(
            epoch: epoch,
            samples: samples,
            shape: EpochShape(
                sampleCount: samples.count,
                microbatches: microbatches,
                microbatchSize: microbatchSize
            )
        )
    }
}

/// The samples of one epoch, in order and cut into global batches.
package struct EpochPlan: Hashable, Sendable {
    package let epoch: Int
    /// Entry p is the index in the data set of the sample at position p of the epoch.
    package let samples: [Int]
    package let shape: EpochShape

    /// Microbatch `index` of global batch `step` of this epoch.
    package func microbatch(_ index: Int, ofStep step: Int) -> Microbatch {
        let batch = shape.batch(step)
        let positions = batch.positions(ofMicrobatch: index)
        return Microbatch(
            index: index,
            positions: positions,
            samples: samples[positions],
            weight: batch.weight(ofMicrobatch: index)
        )
    }

    /// The microbatches of global batch `step` of this epoch, in leaf order of its sum.
    package func microbatches(ofStep step: Int) -> [Microbatch] {
        (0..<shape.batch(step).microbatchCount).map { microbatch($0, ofStep: step) }
    }
}

/// The samples that one compute thread runs forward and backward at once.
package struct Microbatch: Hashable, Sendable {
    /// The index in its global batch: its leaf of the sum.
    package let index: Int
    /// Positions in the epoch, one for each sample: with the epoch, the key of the sample's augmentation.
    package let positions: Range<Int>
    /// Indices in the data set; the slice's own indices are `positions`.
    package let samples: ArraySlice<Int>
    /// n/N: what the microbatch's mean counts in the step's sum.
    package let weight: Float
}
