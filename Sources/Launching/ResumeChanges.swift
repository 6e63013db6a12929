import Configuration
package import Coordination
import Foundation
package import ModelSetup
import Optimization
import Sampling
import Storage

/// What is otherwise in a run that is resumed than when its checkpoint was written, in words: it may well be meant, and is
/// never passed over in silence.
package enum ResumeChanges {
    /// Sections and fields that say where and how, and not what is computed.
    private static let sections = ["run.", "workers.", "checkpoint.", "security.", "audit."]
    private static let names: Set = [
        "memory", "data.shards", "training.epochs", "training.steps", "training.on_nonfinite",
        "validation.every_epochs",
        "collectives.bucket_bytes",
    ]

    static func sentences(
        from checkpoint: CheckpointContents,
        to setup: RunSetup,
        at progress: RunProgress,
        _ dataset: Dataset
    ) throws -> [String] {
        let now = setup.configuration
        guard let before = try? RunConfiguration.parse(checkpoint.trainer.configuration, file: checkpoint.path) else {
            return []
        }
        let changes = ConfigurationField.all.compactMap { field -> String? in
            if names.contains(field.name) || sections.contains(where: { field.name.hasPrefix($0) }) { return nil }
            let (old, new) = (field.text(in: before), field.text(in: now))
            return old == new ? nil : "`\(field.name)` is \(new) and was \(old)"
        }
        var sentences: [String] = []
        if !changes.isEmpty {
            sentences.append(
                "From step \(progress.completedSteps) on the run is another than it was before: "
                    + changes.joined(separator: ", ") + "."
            )
        }
        let isRateOther = ConfigurationField.all.contains { field in
            (field.name.hasPrefix("schedule.") || field.name.hasPrefix("training.") || field.name.hasPrefix("sampler.")
                || field.name == "optimizer.learning_rate") && field.text(in: before) != field.text(in: now)
        }
        if isRateOther, let old = try? RunSetup(before, dataset: dataset),
            let sentence = rateSentence(from: old, to: setup, at: progress)
        {
            sentences.append(sentence)
        }
        return sentences
    }

    /// That the learning rate jumps where the run goes on, with both figures; nil where it does not.
    package static func rateSentence(from old: RunSetup, to new: RunSetup, at progress: RunProgress) -> String? {
        let step = progress.completedSteps
        guard step < new.schedule.totalSteps, old.schedule.totalSteps > 0 else { return nil }
        func rate(_ setup: RunSetup, _ step: UInt64) -> Double {
            let values = RunPolicy(setup).hyperparameters(
                of: step,
                at: setup.schedule.location(of: step),
                schedule: progress.scheduleState
            )
            return Double(values.learningRate)
        }
        // A run that was complete has no rate for the step after its last one.
        let was = rate(old, min(step, old.schedule.totalSteps - 1))
        let will = rate(new, step)
        guard abs(will - was) > 0.01 * max(abs(was), abs(will)) else { return nil }
        func text(_ rate: Double) -> String { String(format: "%.3g", rate) }
        var why = "the schedule is computed anew for what is configured now"
        if old.schedule.epochCount != new.schedule.epochCount || old.schedule.totalSteps != new.schedule.totalSteps {
            why =
                "schedule.name \(new.configuration.schedule.name.rawValue) is over \(new.schedule.epochCount) epochs and "
                + "\(new.schedule.totalSteps) steps now, and was over \(old.schedule.epochCount) and "
                + "\(old.schedule.totalSteps)"
        }
        return
            "The learning rate goes from \(text(was)) to \(text(will)) at step \(step): \(why). To go on at the rate as it "
            + "was: --set schedule.name=constant --set optimizer.learning_rate=\(text(was))."
    }
}
