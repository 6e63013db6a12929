package import Configuration
package import Coordination
package import Storage

/// The progress that a run goes on with.
package enum ResumedProgress {
    /// What `checkpoint` holds. Where `checkpoint.metric` has been changed since, scores of the old one say nothing of the
    /// new one: the best are found anew among the checkpoints of `directory` that the run has reached by then.
    package static func read(
        _ checkpoint: CheckpointContents,
        _ configuration: RunConfiguration,
        _ directory: RunDirectory
    ) throws -> RunProgress {
        var progress = try RunProgress(checkpoint.trainer, path: checkpoint.path)
        let before = try? RunConfiguration.parse(checkpoint.trainer.configuration, file: checkpoint.path)
        let metric = configuration.checkpoint.metric
        guard let before, before.checkpoint.metric != metric else { return progress }
        let reached = try directory.store.list().filter { $0.step <= checkpoint.trainer.step }
            .compactMap { try? CheckpointStore.open($0.path) }
        progress.ranking = configuration.checkpoint.best(atLeast: 1).ranked(reached) {
            ($0.trainer.step, $0.trainer.metrics)
        }
        .prefix(max(1, configuration.checkpoint.keepBest))
        .compactMap { file in
            guard let value = file.trainer.metrics[metric.rawValue],
                let kept = try? RunProgress(file.trainer, path: file.path)
            else { return nil }
            return RunProgress.Best(
                transition: kept.transition,
                completedSteps: kept.completedSteps,
                score: metric.score(value)
            )
        }
        return progress
    }
}

extension RunConfiguration.Checkpoint {
    /// What best means, and how many of the best stay, `least` at the fewest.
    package func best(atLeast least: Int) -> RetentionPolicy.Best {
        RetentionPolicy.Best(
            metric: metric.rawValue,
            mode: metric.largerIsBetter ? .maximum : .minimum,
            count: max(least, keepBest)
        )
    }

    /// Which checkpoints stay.
    package var retention: RetentionPolicy {
        RetentionPolicy(keepLast: keepLast, keepBest: keepBest > 0 ? best(atLeast: 1) : nil)
    }
}
