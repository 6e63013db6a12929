import Numerics

/// Draws the order of samples of each epoch: a pure function of (seed, epoch), the same on any machine.
///
/// Samples are named by their index in the data set. A worker asks for an epoch's plan once and takes its microbatches
/// from it; who asks, how often and in which order cannot change the answer.
package struct Sampler: Sendable {
    package let policy: SamplingPolicy
    package let seed: UInt64
    /// The indices of the positives and of the negatives among the training samples, ascending.
    private let positives: [Int]
    private let negatives: [Int]
    /// All training samples, in the order they were given in.
    private let samples: [Int]

    /// A sampler over the data set's samples `samples`, of which `isPositive[sample]` says whether it has a
    /// pneumothorax.
    ///
    /// - Throws: `SamplingError` where the policy cannot be served from these samples.
    package init(
        policy: SamplingPolicy,
        seed: UInt64,
        samples: [Int],
        isPositive: [Bool]
    ) throws(SamplingError) {
        precondition(samples.allSatisfy(isPositive.indices.contains), "a training sample is not in the data set")
        self.policy = policy
        self.seed = seed
        self.samples = samples
        self.positives = samples.filter { isPositive[$0] }
        self.negatives = samples.filter { !isPositive[$0] }
        if samples.isEmpty { throw .noSamples }
        // 2³¹ and not 2³²: one bit is left for the product of an epoch's counts in callers' arithmetic.
        if samples.count > Int(Int32.max) { throw .tooManySamples(samples.count) }
        guard case .positives(let share) = policy else { return }
        if let defect = share.defect { throw .badShare(defect) }
        if positives.isEmpty { throw .noPositives(samples: samples.count) }
        let drawn = max(
            share.negatives(for: positives.count, in: 0),
            share.negatives(for: positives.count, in: share.epochs)
        )
        if drawn > 0 && negatives.isEmpty { throw .noNegatives(samples: samples.count) }
        if positives.count + drawn > Int(Int32.max) { throw .tooManySamples(positives.count + drawn) }
    }

    /// The number of samples of `epoch`, without drawing them.
    ///
    /// O(1).
    package func sampleCount(of epoch: Int) -> Int {
        switch policy {
        case .all: samples.count
        case .positives(let share): positives.count + share.negatives(for: positives.count, in: epoch)
        }
    }

    /// The samples of `epoch` in their order: entry p is the sample at position p.
    ///
    /// O(n).
    ///
    ///     all        [samples]                     n         shuffled
    ///     positives  [positives] + [negatives]     n₊ + k    k drawn with replacement, then shuffled together
    ///
    /// Draw j of a negative uses number j of (seed, `.sampling`, epoch); exchange i of the Fisher-Yates shuffle, from
    /// the end, uses number i of (seed, `.shuffle`, epoch).
    package func order(of epoch: Int) -> [Int] {
        precondition(epoch >= 0 && epoch <= Int(UInt32.max), "epoch \(epoch) cannot be numbered")
        var order: [Int]
        switch policy {
        case .all:
            order = samples
        case .positives(let share):
            let draws = RandomSequence(seed: seed, purpose: .sampling, epoch: UInt32(epoch))
            order = positives
            for draw in 0..<share.negatives(for: positives.count, in: epoch) {
                order.append(negatives[draws.integer(draw, below: negatives.count)])
            }
        }
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
