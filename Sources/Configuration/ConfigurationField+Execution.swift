// The part of the table about time, checkpoints and processes.

extension ConfigurationField {
    static let time: [ConfigurationField] = [
        field(
            "training.epochs",
            \.training.epochs,
            .within(0...1_000_000),
            "Epochs: how often the run goes through what the sampler draws."
        ),
        field(
            "training.steps",
            \.training.steps,
            .within(0...1_000_000_000),
            "Above 0, the run ends after this many steps, whatever the epochs say."
        ),
        field(
            "training.microbatches",
            \.training.microbatches,
            .within(1...65_536),
            "Microbatches in a global batch. They are dealt out to the workers' compute threads, so a multiple of "
                + "workers × threads keeps all busy."
        ),
        field(
            "training.microbatch_size",
            \.training.microbatchSize,
            .within(1...4096),
            "Samples in a microbatch. Batch normalisation and soft Dice see one microbatch at a time."
        ),
        field(
            "training.early_stop_patience",
            \.training.earlyStopPatience,
            .unlessOff(.within(1...1_000_000)),
            "The run ends after this many validations in a row without a better checkpoint.metric. off: never."
        ),
        field(
            "training.on_nonfinite",
            \.training.onNonFinite,
            "Where a gradient or a loss is not finite. stop: the run ends, naming the layer, the microbatch and its samples. "
                + "skip: the step counts, and the weights stay as they are."
        ),
        field(
            "validation.every_epochs",
            \.validation.everyEpochs,
            .within(0...1_000_000),
            "Epochs between two validations. 0 never validates."
        ),
        field(
            "validation.threshold",
            \.validation.threshold,
            .within(0...1),
            "A pixel whose probability is above this is positive."
        ),
        field(
            "validation.metric",
            \.validation.metric,
            "For plateau: watches this result of validation where it is to be another one than checkpoint.metric's."
        ),
        field(
            "checkpoint.every_steps",
            \.checkpoint.everySteps,
            .within(0...1_000_000_000),
            "Steps between two checkpoints. 0: none."
        ),
        field(
            "checkpoint.every_minutes",
            \.checkpoint.everyMinutes,
            .within(0...1_000_000),
            "Minutes between two checkpoints. 0: none."
        ),
        field(
            "checkpoint.keep_last",
            \.checkpoint.keepLast,
            .within(1...1_000_000),
            "How many of the newest checkpoints are kept."
        ),
        field(
            "checkpoint.keep_best",
            \.checkpoint.keepBest,
            .within(0...1_000_000),
            "How many of the best checkpoints are kept beside those. One is saved whenever a validation is among so many "
                + "best; of equal ones the earlier is the better."
        ),
        field(
            "checkpoint.metric",
            \.checkpoint.metric,
            "The result of validation that decides which network is the best: in the log, the report, what is kept, the "
                + "plateau schedule, and for `--best` of predict and evaluate."
        ),
    ]

    static let processes: [ConfigurationField] = [
        field(
            "workers.count",
            \.workers.count,
            .within(1...1024),
            "Processes that `pleura launch` starts on this machine. The run begins when so many are ready."
        ),
        field(
            "workers.minimum",
            \.workers.minimum,
            .within(1...1024),
            "A run that loses workers goes on with the others, and with fewer than this saves its state and waits "
                + "workers.timeouts.join_seconds for more."
        ),
        field(
            "workers.maximum",
            \.workers.maximum,
            .within(0...1024),
            "No more workers than this take part at once; further ones are refused. 0: workers.count."
        ),
        field(
            "workers.respawns",
            \.workers.respawns,
            .within(0...100_000),
            "How many times `pleura launch` starts a worker anew that has died, over the whole run."
        ),
        field(
            "workers.threads",
            \.workers.threads,
            .unlessAuto(1...1024),
            "Compute threads of each worker; a microbatch runs on one. auto: an equal share of the host's usable cores, and no "
                + "more than have microbatches. The result is the same."
        ),
        field(
            "workers.transport",
            \.workers.transport,
            "How gradients travel. auto: shared memory within a host, ZeroMQ between hosts."
        ),
        field(
            "workers.heartbeat_seconds",
            \.workers.heartbeatSeconds,
            .within(0.01...60),
            "Seconds between two heartbeats of a worker."
        ),
        field(
            "workers.grace_seconds",
            \.workers.graceSeconds,
            .above(0, upTo: 3600),
            "Seconds that a worker waits for its coordinator to come back before it exits."
        ),
        field(
            "workers.timeouts.join_seconds",
            \.workers.timeouts.joinSeconds,
            .above(0, upTo: 86_400),
            "Seconds that the workers have to join at the start."
        ),
        field(
            "workers.timeouts.silence_seconds",
            \.workers.timeouts.silenceSeconds,
            .above(0, upTo: 3600),
            "Seconds without a heartbeat after which a worker counts as lost."
        ),
        field(
            "workers.timeouts.phase_seconds",
            \.workers.timeouts.phaseSeconds,
            .above(0, upTo: 86_400),
            "Seconds without progress after which a phase of a step counts as hung."
        ),
        field(
            "audit.rate",
            \.audit.rate,
            .within(0...1),
            "The share of microbatches whose gradients a second worker computes too; where the two differ, a third decides "
                + "and the wrong worker is put out before the step counts. It costs about this share of the time. 0: none."
        ),
        field(
            "audit.minimum_steps",
            \.audit.minimumSteps,
            .within(0...1_000_000_000),
            "Runs of fewer steps are not audited."
        ),
        field(
            "collectives.bucket_bytes",
            \.collectives.bucketBytes,
            .within(65_536...(1 << 30)),
            "Gradients are summed in buckets of about this size; each travels as soon as it is complete."
        ),
        field(
            "collectives.dtype",
            \.collectives.dtype,
            "How gradients are summed and sent. bf16: each microbatch's and each sum of two rounded to bfloat16, and half "
                + "the bytes between hosts. Statistics and losses stay in fp32. The weights differ from fp32's, and still "
                + "do not depend on the workers."
        ),
        field(
            "security.mode",
            \.security.mode,
            "auto: with keys (CURVE) where other machines reach the coordinator or keys are given. curve: with keys "
                + "everywhere. none: without, and whoever reaches the ports can read and change the run."
        ),
        field(
            "security.keys",
            \.security.keys,
            .path,
            "The folder that `pleura keygen` made, on the coordinator's host. Empty: that of PLEURA_KEYS, if any."
        ),
        field(
            "security.data",
            \.security.data,
            "Gradients between hosts, where there are keys. encrypted. authenticated: can be read on the way and not "
                + "changed, for less time. none: trusts the network between the hosts."
        ),
    ]
}
