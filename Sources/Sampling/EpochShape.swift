/// How the samples of one epoch are cut into global batches, and these into microbatches.
///
///     positions of the epoch   0 1 2 3 4 5 6 7 8 9 10        sampleCount 11
///     global batches           └────batch 0────┘ └─1─┘       microbatches 4 × microbatchSize 2
///     microbatches             0 0 1 1 2 2 3 3   0 0 1       the last batch has 2 microbatches, of 2 and of 1
///
/// Every microbatch is full but the last of the last batch; microbatches that would be empty do not exist, so the sum
/// tree of a short batch has fewer leaves. Nothing here depends on workers or threads.
package struct EpochShape: Hashable, Sendable {
    /// Samples of the epoch; at least 1.
    package let sampleCount: Int
    /// Microbatches of a full global batch, M; at least 1.
    package let microbatches: Int
    /// Samples of a full microbatch; at least 1.
    package let microbatchSize: Int

    /// Cuts `sampleCount` samples into batches of `microbatches` × `microbatchSize`; all three are at least 1.
    package init(sampleCount: Int, microbatches: Int, microbatchSize: Int) {
        precondition(
            sampleCount > 0 && microbatches > 0 && microbatchSize > 0,
            "an epoch of \(sampleCount) samples in \(microbatches) × \(microbatchSize) has no steps"
        )
        self.sampleCount = sampleCount
        self.microbatches = microbatches
        self.microbatchSize = microbatchSize
    }

    /// Samples of a full global batch.
    package var batchSize: Int { microbatches * microbatchSize }

    /// Steps of the epoch, the short last one included.
    package var stepCount: Int { (sampleCount - 1) / batchSize + 1 }

    /// Global batch `index` of 0 ..< `stepCount`.
    package func batch(_ index: Int) -> BatchShape {
        precondition(index >= 0 && index < stepCount, "batch \(index) of an epoch with \(stepCount)")
        let first = index * batchSize
        return BatchShape(
            positions: first..<min(first + batchSize, sampleCount),
            microbatchSize: microbatchSize
        )
    }
}

/// The microbatches of one global batch.
package struct BatchShape: Hashable, Sendable {
    /// The positions of the batch's samples in their epoch; not empty.
    package let positions: Range<Int>
    /// Samples of a full microbatch.
    package let microbatchSize: Int

    /// A batch of the samples at `positions`, which must not be empty.
    package init(positions: Range<Int>, microbatchSize: Int) {
        precondition(!positions.isEmpty && microbatchSize > 0, "a batch needs samples")
        self.positions = positions
        self.microbatchSize = microbatchSize
    }

    /// Samples of the batch, N.
    package var sampleCount: Int { positions.count }

    /// Microbatches that exist: the leaves of the step's sum.
    package var microbatchCount: Int { (positions.count - 1) / microbatchSize + 1 }

    /// The positions in the epoch of microbatch `index`; never empty.
    package func positions(ofMicrobatch index: Int) -> Range<Int> {
        precondition(index >= 0 && index < microbatchCount, "microbatch \(index) of \(microbatchCount)")
        let first = positions.lowerBound + index * microbatchSize
        return first..<min(first + microbatchSize, positions.upperBound)
    }

    /// The weight n/N of microbatch `index` in the sum, rounded once to `Float`.
    package func weight(ofMicrobatch index: Int) -> Float {
        Float(Double(positions(ofMicrobatch: index).count) / Double(sampleCount))
    }
}
