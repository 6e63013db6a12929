import Configuration
import Testing

/// What people write who come from other trainers.
@Suite struct OtherWordsTests {
    private func message(_ text: String) -> String {
        do {
            _ = try RunConfiguration.parse(text, file: "c.yaml")
            return "accepted"
        } catch { return "\(error)" }
    }

    @Test(arguments: [
        ("lr: 1e-4", "`optimizer.learning_rate`"), ("optimizer: {lr: 1e-4}", "`optimizer.learning_rate`"),
        ("batch_size: 8", "`training.microbatches` times `training.microbatch_size`"),
        ("trainer: {max_epochs: 3}", "`training`, `workers`"), ("logger: wandb", "metrics.jsonl"),
        ("max_epochs: 3", "`training.epochs`"),
        ("training: {max_epochs: 3}", "`training.epochs`"), ("loss: {bce: 1}", "`loss.cross_entropy`"),
        ("device: cuda", "trains on CPUs"), ("gpus: 1", "trains on CPUs"), ("accelerator: gpu", "trains on CPUs"),
        ("training: {devices: 2}", "trains on CPUs"), ("num_workers: 4", "`workers.count`"),
        ("data: {num_workers: 4}", "`workers.count`"), ("encoder_name: resnet34", "`network.encoder`"),
        ("network: {encoder_weights: imagenet}", "`init.weights`"), ("network: {classes: 1}", "one class"),
        ("gradient_clip_val: 1", "`optimizer.clip_norm`"), ("accumulate_grad_batches: 4", "`training.microbatches`"),
        ("seed_everything: 1", "`run.seed`"), ("monitor: val_dice", "`checkpoint.metric`"),
        ("checkpoint: {save_top_k: 3}", "`checkpoint.keep_best`"), ("strategy: ddp", "`workers.count`"),
        ("img-size: 512", "`data.size`"), ("LR: 1", "`optimizer.learning_rate`"),
        ("loss: bce", "write `loss: {cross_entropy: 1, dice: 0, focal: 0}`"),
        ("loss: DiceLoss", "write `loss: {cross_entropy: 0, dice: 1, focal: 0}`"),
        ("loss: nonsense", "write its terms with their weights"),
        ("optimizer: adam", "write `optimizer: {name: adam}`"),
        ("schedule: cosine", "write `schedule: {name: cosine}`"),
        ("network: Unet", "write `network: {architecture: unet}`"),
        ("schedule: {name: CosineAnnealingLR}", "did you mean `cosine`?"),
        ("schedule: {name: ReduceLROnPlateau}", "did you mean `plateau`?"),
        ("precision: 16-mixed", "did you mean `bf16`?"), ("checkpoint: {metric: val_loss}", "did you mean `loss`?"),
    ])
    func theWordHereIsNamed(text: String, expected: String) {
        #expect(message(text).contains(expected), "\(message(text))")
    }

    /// A hint to what is not there would be worse than none.
    @Test func everyFieldThatIsNamedIsThere() {
        let words = [
            "lr", "wd", "max_epochs", "max_steps", "grad_clip", "seed_everything", "output_dir", "img_size",
            "in_channels", "fold",
            "mean", "arch", "backbone", "amp", "gradient_checkpointing", "ema_decay", "monitor", "save_top_k",
            "save_last",
            "save_every", "scheduler", "t_max", "eta_min", "warmup", "bce", "dice_loss", "focal_loss", "smooth",
            "gamma",
            "hflip", "shiftscalerotate", "rotation", "world_size", "num_threads", "backend", "experiment_name",
            "val_every",
        ]
        for word in words {
            let field = OtherWords.field(for: word)
            #expect(
                field.map { RunConfiguration.explain($0) != nil } == true,
                "\(word) is said to be \(field ?? "nothing")"
            )
        }
        #expect(OtherWords.hint(for: "optimizer") == nil && OtherWords.hint(for: "banana") == nil)
    }

    @Test func weightDecayThatIsLeftOutFitsTheOptimizer() throws {
        func decay(_ text: String, _ overrides: [String] = []) throws -> Double {
            try RunConfiguration.parse(text, file: "c.yaml", overrides: overrides).optimizer.weightDecay
        }
        #expect(try decay("") == 0.01)
        #expect(try decay("optimizer: {name: adam}") == 0)
        #expect(try decay("", ["optimizer.name=sgd"]) == 0)
        #expect(try decay("optimizer: {name: sgd, weight_decay: 0.3}") == 0.3)
        // A whole configuration has chosen already.
        let whole = try RunConfiguration().overridden(by: ["optimizer.name=adam"])
        #expect(whole.optimizer.weightDecay == 0.01)
    }

    @Test(arguments: [
        ("auto", 2, 16, 8, 4), ("auto", 2, 16, 64, 8), ("auto", 2, 2, 64, 1), ("auto", 4, 16, 2, 1),
        ("auto", 1, 3, 2, 2),
        ("5", 2, 16, 8, 5),
    ])
    func threadsFollowTheMachine(threads: String, workers: Int, microbatches: Int, cores: Int, expected: Int) throws {
        let configuration = try RunConfiguration.parse(
            "workers: {count: \(workers), threads: \(threads)}\ntraining: {microbatches: \(microbatches)}",
            file: "c.yaml"
        )
        #expect(configuration.threads(usable: cores) == expected)
        if threads == "auto" { #expect(configuration.remarks.isEmpty || microbatches < workers) }
    }

    @Test(arguments: ["workers.threads=0", "workers.threads=many", "workers.threads=1025", "schedule.warmup_steps=-1"])
    func countsThatAreNoneAreRefused(override: String) {
        #expect(throws: ConfigurationError.self) { try RunConfiguration().overridden(by: [override]) }
    }
}
