package import Configuration
package import Storage

/// Fields of the configuration that a run keeps for its life: its place in the samples and its weights stand on them.
package enum FixedFields {
    private static let sections = ["sampler.", "data.folds.", "network."]
    private static let names: Set = [
        "run.seed", "training.microbatches", "training.microbatch_size", "collectives.dtype", "precision",
        "optimizer.name", "data.channels",
    ]
    /// Fields that may be changed, and that decide when the run is complete.
    private static let ends: Set = [
        "training.epochs", "training.steps", "training.early_stop_patience", "validation.every_epochs",
    ]

    /// Refuses `configuration` where it has another value of a fixed field than `checkpoint` was written with.
    package static func check(_ configuration: RunConfiguration, against checkpoint: CheckpointContents)
        throws(RunError)
    {
        let before: RunConfiguration
        do {
            before = try written(checkpoint)
        } catch {
            throw .data("The configuration in \(checkpoint.path) cannot be read: \(error)")
        }
        let changes = Self.changes(from: before, to: configuration)
        guard !changes.isEmpty else { return }
        throw .changed(
            "A run keeps its batch, sampler, folds, seed, network, optimizer, precision and sums. Of \(checkpoint.path), "
                + changes.joined(separator: ", ") + ". Resume it without the change, or start a new run with "
                + "`pleura launch` in another folder."
        )
    }

    /// Whether the checkpoint's run, as configured now, is complete when it was complete as configured then.
    package static func haveEqualEnds(_ configuration: RunConfiguration, _ checkpoint: CheckpointContents) -> Bool {
        guard let before = try? written(checkpoint) else { return false }
        return changes(from: before, to: configuration).isEmpty
            && ConfigurationField.all.allSatisfy {
                !ends.contains($0.name) || $0.text(in: before) == $0.text(in: configuration)
            }
    }

    /// The fixed fields that differ, each as "`name` is 1, not 2".
    package static func changes(from before: RunConfiguration, to now: RunConfiguration) -> [String] {
        // A share that moves over the epochs makes their number a part of every epoch's length.
        let sharesMove = before.sampler.dependsOnLength
        return ConfigurationField.all.filter { field in
            names.contains(field.name) || sections.contains { field.name.hasPrefix($0) }
                || sharesMove && field.name == "training.epochs"
        }.compactMap { field in
            let (old, new) = (field.text(in: before), field.text(in: now))
            return old == new ? nil : "`\(field.name)` is \(old), not \(new)"
        }
    }

    private static func written(_ checkpoint: CheckpointContents) throws(ConfigurationError) -> RunConfiguration {
        try RunConfiguration.parse(checkpoint.trainer.configuration, file: checkpoint.path)
    }
}
