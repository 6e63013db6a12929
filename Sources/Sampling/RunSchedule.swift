/// The steps of a whole run: which epoch and which global batch each is.
///
/// Epochs may differ in length (a share of positives that moves with the epoch), so the counts are listed. Workers and
/// coordinator make the same schedule from the same configuration and data set.
package struct RunSchedule: Hashable, Sendable {
    /// The epochs, in order.
    package let epochs: [EpochShape]
    /// Steps of the run: all epochs, or fewer where a limit was given.
    package let totalSteps: UInt64
    /// Entry e is the number of the first step of epoch e; one more entry ends the last epoch.
    private let firstSteps: [UInt64]

    /// The schedule of epochs with these sample counts.
    ///
    /// - Parameters:
    ///   - epochSampleCounts: samples of each epoch, all at least 1; not empty.
    ///   - microbatches: microbatches of a full global batch.
    ///   - microbatchSize: samples of a full microbatch.
    ///   - maximumSteps: where the run ends even if its epochs are not over.
    package init(epochSampleCounts: [Int], microbatches: Int, microbatchSize: Int, maximumSteps: UInt64? = nil) {
        precondition(!epochSampleCounts.isEmpty, "a run needs an epoch")
        epochs = epochSampleCounts.map {
            EpochShape(sampleCount: $0, microbatches: microbatches, microbatchSize: microbatchSize)
        }
        var firsts: [UInt64] = [0]
        for epoch in epochs { firsts.append(firsts[firsts.count - 1] + UInt64(epoch.stepCount)) }
        firstSteps = firsts
        totalSteps = min(firsts[firsts.count - 1], maximumSteps ?? .max)
    }

    /// Where `step` stands; steps from `totalSteps` on do not exist.
    package func location(of step: UInt64) -> StepLocation {
        precondition(step < totalSteps, "step \(step) of a run with \(totalSteps)")
        var lower = 0
        var upper = epochs.count
        while upper - lower > 1 {
            let middle = (lower + upper) / 2
            if firstSteps[middle] <= step { lower = middle } else { upper = middle }
        }
        let index = Int(step - firstSteps[lower])
        return StepLocation(epoch: lower, stepInEpoch: index, batch: epochs[lower].batch(index))
    }

    /// Where a run stands that has completed `steps` steps: the location of its next step, or past the last epoch.
    package func cursor(after steps: UInt64) -> (epoch: Int, stepInEpoch: Int) {
        if steps < totalSteps {
            let location = location(of: steps)
            return (location.epoch, location.stepInEpoch)
        }
        guard steps > 0, totalSteps > 0 else { return (0, 0) }
        let last = location(of: totalSteps - 1)
        let ends = last.stepInEpoch + 1 == epochs[last.epoch].stepCount
        return ends ? (last.epoch + 1, 0) : (last.epoch, last.stepInEpoch + 1)
    }

    /// The epochs that are over when the step at `location` begins: whole ones, and the share of its own.
    package func epochs(before location: StepLocation) -> Double {
        Double(location.epoch) + Double(location.stepInEpoch) / Double(epochs[location.epoch].stepCount)
    }

    /// The run's length in epochs; a limit on the steps may cut the last one short.
    package var length: Double {
        let end = cursor(after: totalSteps)
        if end.stepInEpoch == 0 { return Double(end.epoch) }
        return Double(end.epoch) + Double(end.stepInEpoch) / Double(epochs[end.epoch].stepCount)
    }

    /// The epoch that is complete when exactly `steps` steps are, or nil in the middle of one.
    package func epochEnding(after steps: UInt64) -> Int? {
        guard steps > 0, steps <= totalSteps else { return nil }
        let last = location(of: steps - 1)
        return last.stepInEpoch + 1 == epochs[last.epoch].stepCount ? last.epoch : nil
    }
}

/// The place of a step in its run.
package struct StepLocation: Hashable, Sendable {
    package let epoch: Int
    /// The index of the step's global batch in its epoch.
    package let stepInEpoch: Int
    package let batch: BatchShape
}
