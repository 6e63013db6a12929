/// What a training knows beside its tensors: enough to go on exactly where it stopped.
package struct TrainerState: Codable, Equatable, Sendable {
    /// The network's name, as in the configuration.
    package var network: String
    /// Steps committed so far; the tensors are those after this many.
    package var step: Int
    /// The epoch that the next step belongs to.
    package var epoch: Int
    /// Samples of that epoch already used.
    package var cursor: Int
    /// The resolved configuration, as YAML.
    package var configuration: String
    /// The numerics profile: "fp32" or "bf16-dot".
    package var numericsProfile: String
    /// `DatasetManifest.datasetDigest` of the data.
    package var datasetDigest: String
    /// The latest validation's figures, by name; `RetentionPolicy` ranks by one of them.
    package var metrics: [String: Double]
    /// A JSON object of the trainer's own: schedule, early stop, history.
    package var state: String

    package init(
        network: String,
        step: Int,
        epoch: Int,
        cursor: Int,
        configuration: String,
        numericsProfile: String,
        datasetDigest: String,
        metrics: [String: Double] = [:],
        state: String = "{}"
    ) {
        self.network = network
        self.step = step
        self.epoch = epoch
        self.cursor = cursor
        self.configuration = configuration
        self.numericsProfile = numericsProfile
        self.datasetDigest = datasetDigest
        self.metrics = metrics
        self.state = state
    }
}

/// A tensor's full name and PyTorch's shape.
package struct TensorSignature: Hashable, Sendable {
    package let name: String
    package let shape: [Int]

    package init(_ name: String, _ shape: [Int]) {
        self.name = name
        self.shape = shape
    }
}

/// Which checkpoints to keep; the newest intact one is kept in any case.
package struct RetentionPolicy: Equatable, Sendable {
    /// How many of the newest to keep.
    package var keepLast: Int
    /// How many of the best to keep beside them, and what best means.
    package var keepBest: Best?

    /// A ranking by one of `TrainerState.metrics`; checkpoints without it, or with NaN, are never best.
    package struct Best: Equatable, Sendable {
        package var metric: String
        package var mode: Mode
        package var count: Int

        package init(metric: String, mode: Mode, count: Int) {
            self.metric = metric
            self.mode = mode
            self.count = count
        }

        /// Those of `items` that have the metric, the best first and of equals the one of the earlier step: the only rule by
        /// which any part of the program says which checkpoint is the best.
        package func ranked<Item>(_ items: [Item], by trainer: (Item) -> (step: Int, metrics: [String: Double]))
            -> [Item]
        {
            let scored = items.compactMap { item -> (item: Item, score: Double, step: Int)? in
                let (step, metrics) = trainer(item)
                guard let value = metrics[metric], !value.isNaN else { return nil }
                return (item, mode == .maximum ? value : -value, step)
            }
            return scored.sorted { ($0.score, -$0.step) > ($1.score, -$1.step) }.map(\.item)
        }
    }

    /// Which end of a metric is good.
    package enum Mode: String, Codable, Equatable, Sendable {
        case minimum
        case maximum
    }

    package init(keepLast: Int, keepBest: Best? = nil) {
        self.keepLast = keepLast
        self.keepBest = keepBest
    }
}
