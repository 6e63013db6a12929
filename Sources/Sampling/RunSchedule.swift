/// The steps of a whole run: which epoch and which global batch each is.
///
/// Epochs may differ in length (a share of positives that moves with the epoch), so the counts are listed; a run of
/// given steps goes on with epochs like the last one. Workers and coordinator make the same schedule from the same
/// configuration and data set.
package struct RunSchedule: Hashable, Sendable {
    /// The epochs that are listed, in order; those after them have the shape of the last one.
    package let epochs: [EpochShape]
    /// Epochs of the run, the last of which may be cut short.
    package let epochCount: Int
    /// Steps of the run: all epochs, or those that were asked for.
    package let totalSteps: UInt64
    /// Entry e is the number of the first step of epoch e; one more entry ends the last epoch.
    private let firstSteps: [UInt64]

    /// The schedule of epochs with these sample counts.
    ///
    /// - Parameters:
    ///   - epochSampleCounts: samples of each epoch, all at least 1; not empty.
    ///   - microbatches: microbatches of a full global batch.
    ///   - microbatchSize: samples of a full microbatch.
    ///   - steps: where given, the run has so many, whatever the epochs: they are cut short, or more like the last
    ///     one follow.
    package init(epochSampleCounts: [Int], microbatches: Int, microbatchSize: Int, steps: UInt64? = nil) {
        precondition(!epochSampleCounts.isEmpty, "a run needs an epoch")
        epochs = epochSampleCounts.map {
            EpochShape(sampleCount: $0, microbatches: microbatches, microbatchSize: microbatchSize)
        }
        var firsts: [UInt64] = [0]
        for epoch in epochs { firsts.append(firsts[firsts.count - 1] + UInt64(epoch.stepCount)) }
        firstSteps = firsts
        let listed = firsts[firsts.count - 1]
        totalSteps = steps ?? listed
        let length = UInt64(epochs[epochs.count - 1].stepCount)
        let further = totalSteps > listed ? (totalSteps - listed - 1) / length + 1 : 0
        epochCount = epochs.count + Int(further)
    }

    /// The shape of an epoch.
    package func shape(of epoch: Int) -> EpochShape { epochs[min(epoch, epochs.count - 1)] }

    /// Where `step` stands; steps from `totalSteps` on do not exist.
    package func location(of step: UInt64) -> StepLocation {
        precondition(step < totalSteps, "step \(step) of a run with \(totalSteps)")
        let listed = firstSteps[epochs.count]
        if step >= listed {
            let shape = epochs[epochs.count - 1]
            let (epoch, index) = (step - listed).quotientAndRemainder(dividingBy: UInt64(shape.stepCount))
            return StepLocation(
                epoch: epochs.count + Int(epoch),
                stepInEpoch: Int(index),
                batch: shape.batch(Int(index))
            )
        }
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
        let ends = last.stepInEpoch + 1 == shape(of: last.epoch).stepCount
        return ends ? (last.epoch + 1, 0) : (last.epoch, last.stepInEpoch + 1)
    }

    /// The epochs that are over when the step at `location` begins: whole ones, and the share of its own.
    package func epochs(before location: StepLocation) -> Double {
        Double(location.epoch) + Double(location.stepInEpoch) / Double(shape(of: location.epoch).stepCount)
    }

    /// The run's length in epochs; a limit on the steps may cut the last one short.
    package var length: Double {
        let end = cursor(after: totalSteps)
        if end.stepInEpoch == 0 { return Double(end.epoch) }
        return Double(end.epoch) + Double(end.stepInEpoch) / Double(shape(of: end.epoch).stepCount)
    }

    /// The epoch that is complete when exactly `steps` steps are, or nil in the middle of one.
    package func epochEnding(after steps: UInt64) -> Int? {
        guard steps > 0, steps <= totalSteps else { return nil }
        let last = location(of: steps - 1)
        return last.stepInEpoch + 1 == shape(of: last.epoch).stepCount ? last.epoch : nil
    }
}

/// The place of a step in its run.
package struct StepLocation: Hashable, Sendable {
    package let epoch: Int
    /// The index of the step's global batch in its epoch.
    package let stepInEpoch: Int
    package let batch: BatchShape
}
