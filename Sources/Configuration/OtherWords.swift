/// What other trainers call things: PyTorch Lightning, segmentation_models_pytorch, nnU-Net and what people write beside
/// them. None of it is taken for a setting; it says what the setting is called here.
package enum OtherWords {
    /// Words that have a field here, by the word in small letters.
    private static let fields: [String: String] = [
        "lr": "optimizer.learning_rate", "learning_rate_init": "optimizer.learning_rate",
        "base_lr": "optimizer.learning_rate",
        "initial_lr": "optimizer.learning_rate", "wd": "optimizer.weight_decay", "max_epochs": "training.epochs",
        "num_epochs": "training.epochs", "n_epochs": "training.epochs", "max_steps": "training.steps",
        "max_iterations": "training.steps", "num_iterations": "training.steps",
        "gradient_clip_val": "optimizer.clip_norm", "grad_clip": "optimizer.clip_norm",
        "clip_grad_norm": "optimizer.clip_norm", "max_grad_norm": "optimizer.clip_norm",
        "seed_everything": "run.seed", "random_seed": "run.seed", "random_state": "run.seed",
        "default_root_dir": "run.directory", "output_dir": "run.directory", "out_dir": "run.directory",
        "save_dir": "run.directory", "logdir": "run.directory", "log_dir": "run.directory",
        "experiment_name": "run.name",
        "data_dir": "data.shards", "data_root": "data.shards", "dataset": "data.shards", "train_dir": "data.shards",
        "img_size": "data.size", "image_size": "data.size", "input_size": "data.size", "patch_size": "data.size",
        "crop_size": "data.size", "in_channels": "data.channels", "num_channels": "data.channels",
        "fold": "data.folds.validation", "val_fold": "data.folds.validation", "mean": "data.normalisation",
        "std": "data.normalisation", "arch": "network.architecture", "model": "network.architecture",
        "model_name": "network.architecture", "backbone": "network.encoder", "encoder_name": "network.encoder",
        "amp": "precision", "fp16": "precision", "bf16": "precision", "mixed_precision": "precision",
        "gradient_checkpointing": "memory", "ema_decay": "averaging.ema",
        "check_val_every_n_epoch": "validation.every_epochs", "val_every": "validation.every_epochs",
        "val_check_interval": "validation.every_epochs", "monitor": "checkpoint.metric",
        "save_top_k": "checkpoint.keep_best", "save_last": "checkpoint.keep_last",
        "every_n_train_steps": "checkpoint.every_steps", "save_every": "checkpoint.every_steps",
        "lr_scheduler": "schedule.name", "scheduler": "schedule.name", "t_max": "schedule.period_epochs",
        "eta_min": "schedule.minimum", "min_lr": "schedule.minimum", "warmup": "schedule.warmup_steps",
        "num_warmup_steps": "schedule.warmup_steps", "bce": "loss.cross_entropy", "ce": "loss.cross_entropy",
        "bce_weight": "loss.cross_entropy", "bce_with_logits": "loss.cross_entropy",
        "bcewithlogits": "loss.cross_entropy", "bcewithlogitsloss": "loss.cross_entropy",
        "softbcewithlogitsloss": "loss.cross_entropy", "dice_loss": "loss.dice", "diceloss": "loss.dice",
        "soft_dice": "loss.dice", "dice_weight": "loss.dice", "focal_loss": "loss.focal", "focalloss": "loss.focal",
        "smooth": "loss.smoothing", "gamma": "loss.focal_gamma", "hflip": "augmentation.flip.probability",
        "horizontalflip": "augmentation.flip.probability", "horizontal_flip": "augmentation.flip.probability",
        "shiftscalerotate": "augmentation.affine", "rotation": "augmentation.affine.rotate",
        "randombrightness": "augmentation.brightness", "num_processes": "workers.count", "world_size": "workers.count",
        "nproc_per_node": "workers.count", "num_threads": "workers.threads", "n_jobs": "workers.threads",
        "backend": "workers.transport",
    ]

    /// Words without a field of their own.
    private static let sentences: [[String]: String] = [
        ["batch_size", "batchsize", "train_batch_size", "global_batch_size", "bs"]:
            "a batch is `training.microbatches` times `training.microbatch_size` images",
        ["val_batch_size", "eval_batch_size"]: "validation takes `training.microbatch_size` images at once",
        ["accumulate_grad_batches", "gradient_accumulation_steps", "grad_accumulation", "accumulation_steps"]:
            "the microbatches of a step are accumulated: set `training.microbatches`",
        [
            "device", "devices", "gpu", "gpus", "accelerator", "cuda", "num_gpus", "gpu_ids", "use_cuda", "mps", "tpu",
            "tpu_cores", "local_rank",
        ]: "Pleura trains on CPUs: `workers.count` processes of `workers.threads` threads each",
        ["num_workers", "dataloader_workers", "loader_workers", "pin_memory", "prefetch_factor", "persistent_workers"]:
            "each worker loads its own samples beside its computation; `workers.count` and `workers.threads` say how many "
            + "cores compute",
        ["strategy", "ddp", "num_nodes", "nodes", "sync_batchnorm"]:
            "any number of workers gives the same bits: set `workers.count`, or give `--hosts` for other hosts",
        [
            "encoder_weights", "pretrained", "weights", "imagenet", "checkpoint_path", "ckpt_path",
            "resume_from_checkpoint",
        ]:
            "`init.weights` takes a file of weights to begin from, and `pleura resume RUN` goes on with a run",
        ["classes", "num_classes", "n_classes", "out_channels", "activation"]:
            "there is one class, pneumothorax, with one logit a pixel",
        [
            "callbacks", "logger", "loggers", "wandb", "tensorboard", "enable_progress_bar",
            "log_every_n_steps",
        ]:
            "every step is logged to metrics.jsonl and RUN/tensorboard",
        ["trainer", "training_args", "hparams", "hyperparameters"]:
            "its settings are in `training`, `workers` and `checkpoint` here",
        ["metrics", "metric"]: "every validation has them all; `checkpoint.metric` says which one decides",
        ["deterministic", "benchmark", "cudnn_benchmark"]: "every run is deterministic",
        ["fast_dev_run", "limit_train_batches", "overfit_batches"]: "set `training.steps` for a short run",
        ["optimizer_name", "optim"]: "it is `optimizer.name`",
        ["criterion", "loss_fn", "loss_function"]:
            "it is a weighted sum: `loss.cross_entropy`, `loss.dice`, `loss.focal`",
        [
            "lovasz", "lovasz_hinge", "lovaszloss", "tversky", "tverskyloss", "jaccard", "jaccardloss", "iou_loss",
            "mcc",
        ]:
            "`pleura inspect --fields loss` lists the terms that there are",
        ["transforms", "albumentations", "augmentations", "augment", "transform"]:
            "`pleura inspect --fields augmentation` lists them",
        ["train", "val", "test", "train_folds", "val_folds"]:
            "`data.folds.train` and `data.folds.validation` take folds of one data set",
        ["patience", "early_stopping", "early_stop"]:
            "`training.early_stop_patience` ends a run that gets no better, and `schedule.patience` is the plateau's",
    ]

    private static let sentenceByWord: [String: String] = {
        var result: [String: String] = [:]
        for (words, sentence) in sentences { for word in words { result[word] = sentence } }
        return result
    }()

    /// Values of a field of words, such as names of classes.
    private static let values: [String: String] = [
        "cosineannealinglr": "cosine", "cosine_annealing": "cosine", "cosineannealing": "cosine",
        "reducelronplateau": "plateau", "reduce_on_plateau": "plateau", "none": "constant", "16": "bf16",
        "half": "bf16",
        "fp16": "bf16", "16-mixed": "bf16", "bf16-mixed": "bf16", "mixed": "bf16", "amp": "bf16", "32": "fp32",
        "32-true": "fp32", "float32": "fp32", "float": "fp32", "bfloat16": "bf16", "dice": "mean_dice",
        "val_dice": "mean_dice", "dice_score": "mean_dice", "val_loss": "loss", "resnext50": "se_resnext50_32x4d",
        "torch.optim.adam": "adam", "torch.optim.adamw": "adamw", "torch.optim.sgd": "sgd", "gloo": "auto",
        "mpi": "auto", "nccl": "auto", "unetplusplus": "unet", "nnunet": "unet",
    ]

    private static func plain(_ word: String) -> String {
        String(word.lowercased().map { $0 == "-" || $0 == " " ? "_" : $0 })
    }

    /// What a key or an option of that name is called here, as the end of a sentence; nil where it is no such word.
    package static func hint(for word: String) -> String? {
        let word = plain(word)
        if let field = fields[word] { return "it is called `\(field)` here" }
        return sentenceByWord[word]
    }

    /// The field that has the meaning of a word; nil where none alone has.
    package static func field(for word: String) -> String? { fields[plain(word)] }

    /// The word of `candidates` that a value of another trainer means; nil where none does.
    static func value(_ text: String, in candidates: [String]) -> String? {
        guard let value = values[text.lowercased()], candidates.contains(value) else { return nil }
        return value
    }

    /// How to write a section to which one word was given, as in `optimizer: adam`; nil where that is no such word.
    static func section(_ section: String, given text: String) -> String? {
        let word = plain(text)
        func among(_ name: String) -> String? {
            guard let field = ConfigurationField.all.first(where: { $0.name == "\(section).\(name)" }),
                field.kind.hasPrefix("one of "), !word.contains(":")
            else { return nil }
            return "write `\(section): {\(name): \(text.lowercased())}`"
        }
        switch section {
        case "optimizer", "schedule": return among("name")
        case "network": return among("architecture")
        case "sampler": return among("policy")
        case "loss":
            guard
                let field = fields[word] ?? (["dice", "focal", "cross_entropy"].contains(word) ? "loss.\(word)" : nil),
                field.hasPrefix("loss.")
            else { return "write its terms with their weights, as in `loss: {cross_entropy: 1, dice: 1}`" }
            let all = ["cross_entropy", "dice", "focal"]
            let weights = all.map { "\($0): \(field == "loss.\($0)" ? 1 : 0)" }.joined(separator: ", ")
            return "write `loss: {\(weights)}`"
        case "data": return "write `data: {shards: \(text)}`"
        default: return nil
        }
    }
}
