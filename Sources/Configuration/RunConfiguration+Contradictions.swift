import Losses
import Optimization

extension RunConfiguration {
    /// Fields that are valid each on its own and contradict each other.
    struct Contradiction {
        /// The fields, the one to point at first.
        let fields: [String]
        let message: String
    }

    /// Every contradiction between fields.
    func contradictions() -> [Contradiction] {
        var found: [Contradiction] = []
        func refuse(_ wrong: Bool, _ fields: [String], _ message: String) {
            if wrong { found.append(Contradiction(fields: fields, message: message)) }
        }

        refuse(
            training.epochs == 0 && training.steps == 0,
            ["training.epochs", "training.steps"],
            "`training.epochs` and `training.steps` are both 0, so there is nothing to train; set one of them"
        )
        refuse(
            !initial.weights.isEmpty && !initial.from.isEmpty,
            ["init.from", "init.weights"],
            "`init.from` and `init.weights` both name the weights to begin from; leave one of them empty"
        )
        refuse(
            loss.terms.isEmpty && loss.crossEntropy + loss.dice + loss.focal == 0,
            ["loss.cross_entropy", "loss.dice", "loss.focal"],
            "all weights of the loss are 0, so there is nothing to minimise; set one above 0"
        )
        if !loss.terms.isEmpty, let defect = loss.rule.defect { refuse(true, ["loss.terms"], defect) }
        do {
            try optimizer.rule.validate()
        } catch {
            refuse(true, [error.setting], "`\(error.setting)` \(error.problem)")
        }
        found += scheduleContradictions
        refuse(
            training.earlyStopPatience != nil && !validates,
            ["training.early_stop_patience"],
            "`training.early_stop_patience` follows the validation, and this run has none; set `validation.every_epochs` "
                + "and `data.folds.validation`"
        )
        let warmUp = schedule.warmupSteps.count ?? 0
        refuse(
            training.steps > 0 && warmUp >= training.steps,
            ["schedule.warmup_steps"],
            "`schedule.warmup_steps` (\(warmUp)) leaves nothing of `training.steps` "
                + "(\(training.steps))"
        )
        if case .listed(let train) = data.folds.train, case .listed(let held) = data.folds.validation {
            let both = Set(train).intersection(held).sorted()
            refuse(
                !both.isEmpty,
                ["data.folds.train", "data.folds.validation"],
                "fold \(both.map(String.init).joined(separator: ", ")) both trains and validates; take it out of one "
                    + "list, or write `train: all` where that is meant"
            )
        }
        refuse(
            data.folds.train == .rest && data.folds.validation == .all,
            ["data.folds.validation"],
            "`data.folds.validation: all` leaves no fold to train on; write `train: all` besides to train on all too"
        )
        found += network.contradictions(microbatchSize: training.microbatchSize)
        if case .values(let mean, let std) = data.normalisation {
            refuse(
                (data.channels == 1) && (mean.count > 1 || std.count > 1),
                ["data.normalisation"],
                "`data.normalisation` has numbers for three channels and `data.channels` is 1"
            )
        }
        refuse(
            workers.timeouts.silenceSeconds <= workers.heartbeatSeconds,
            ["workers.timeouts.silence_seconds", "workers.heartbeat_seconds"],
            "`workers.timeouts.silence_seconds` (\(workers.timeouts.silenceSeconds.yaml)) must be above "
                + "`workers.heartbeat_seconds` (\(workers.heartbeatSeconds.yaml))"
        )
        refuse(
            workers.minimum > workers.count,
            ["workers.minimum", "workers.count"],
            "`workers.minimum` (\(workers.minimum)) must not be above `workers.count` (\(workers.count))"
        )
        refuse(
            workers.maximum != 0 && workers.maximum < workers.count,
            ["workers.maximum", "workers.count"],
            "`workers.maximum` (\(workers.maximum)) must not be below `workers.count` (\(workers.count)), or be 0 for that"
        )
        return found
    }

    /// Warnings, as sentences: settings that are allowed and probably not meant.
    package var remarks: [String] {
        network.remarks + ruleRemarks + loadRemarks
    }

    private var loadRemarks: [String] {
        // Threads that are left to the machine are no more than have work, as far as whole workers go.
        let threads = workers.count * (workers.threads.count ?? 1)
        guard training.microbatches < threads else { return [] }
        let idle = threads - training.microbatches
        return [
            "training.microbatches is \(training.microbatches) and there are \(threads) compute threads "
                + "(workers.count × workers.threads): \(idle) of them \(idle == 1 ? "has" : "have") nothing to do. "
                + "A multiple of \(threads) keeps all busy."
        ]
    }

    /// True where the run validates at all.
    package var validates: Bool {
        validation.everyEpochs > 0 && data.folds.validation != .listed([])
    }

    /// Checks what only a training run needs: the shards and the run's folder.
    ///
    /// - Throws: `ConfigurationError` that names what to add.
    package func checkTrainable() throws(ConfigurationError) {
        let missing = [("data.shards", data.shards), ("run.directory", run.directory)].filter { $0.1.isEmpty }
        guard missing.isEmpty else {
            throw ConfigurationError(
                problems: missing.map { name, _ in
                    .init(
                        origin: .none,
                        message: "`\(name)` is not set; add it to the configuration, or give --set \(name)=FOLDER"
                    )
                }
            )
        }
    }
}
