import Graph

/// Everything that a run needs to know before it starts, with a default for each value.
///
/// A configuration comes from a YAML file and `--set` overrides (`load`, `parse`), and goes back into one with every
/// field written out (`resolvedYAML`), which is saved with the run. The YAML name of each field, what a user reads
/// about it and its range stand in one table, `ConfigurationField.all`; a value that exists has passed its check.
package struct RunConfiguration: Sendable, Equatable {
    /// Where the run lives and what its random numbers derive from.
    package var run = Run()
    /// The numerics profile of all workers.
    package var precision = Precision.fp32
    /// What a compute thread keeps between forward and backward pass; the result is the same.
    package var memory = MemoryChoice.lean
    /// The samples.
    package var data = Data()
    /// Which samples an epoch draws.
    package var sampler = Sampler()
    /// Random changes of the training samples.
    package var augmentation = Augmentation()
    /// The network.
    package var network = Network()
    /// The weights that the run begins from.
    package var initial = Initial()
    /// What is minimised.
    package var loss = Loss()
    /// How a step changes the weights.
    package var optimizer = Optimizer()
    /// How the learning rate changes over the run.
    package var schedule = Schedule()
    /// Averages of the weights.
    package var averaging = Averaging()
    /// How long to train, and the shape of a global batch.
    package var training = Training()
    /// When and how to validate.
    package var validation = Validation()
    /// When checkpoints are written and which of them stay.
    package var checkpoint = Checkpoint()
    /// The worker processes.
    package var workers = Workers()
    /// Whether workers compute rightly.
    package var audit = Audit()
    /// The all-reduce.
    package var collectives = Collectives()
    /// Who may take part, and what is encrypted.
    package var security = Security()

    /// A configuration with every field at its default.
    package init() {}
}

extension RunConfiguration {
    /// Samples in one step: microbatches × samples in each.
    package var globalBatchSize: Int { training.microbatches * training.microbatchSize }

    /// The result of validation that the plateau schedule watches.
    package var scheduleMetric: Metric { validation.metric ?? checkpoint.metric }

    /// The name for titles: `run.name`, or the last component of the run's folder, or "run".
    package var displayName: String {
        if !run.name.isEmpty { return run.name }
        return run.directory.split(separator: "/").last.map(String.init) ?? "run"
    }
}
