import Optimization
import Radiography
import Sampling

extension ConfigurationField {
    /// Every field, in the order in which configurations are written.
    ///
    /// The fields of a section stand together.
    package static let all: [ConfigurationField] =
        runAndData + samples + declared(by: samplingRules, in: "sampler", \.sampler.settings)
        + augmentation + augmentationSettings + borders
        + model + minimisation + declared(by: scheduleRules, in: "schedule", \.schedule.settings)
        + averages + time + processes

    /// What each section is for, by its name.
    package static let sections: [String: String] = tableSections.merging(augmentationSections) { own, _ in own }

    private static let tableSections = [
        "run": "Where the run lives.",
        "data": "The shards, and how pixels become network input.",
        "data.folds": "Which folds of the data set train and which validate; patients are never split across folds.",
        "sampler": "Which samples an epoch draws.",
        "augmentation": "Random changes of training samples. All geometry is done in one resampling pass.",
        "network": "What is trained.",
        "init": "The weights that the run begins from; without any, all are drawn from the seed.",
        "loss": "What is minimised: the weighted sum of the terms, a mean over each microbatch.",
        "optimizer": "How a step changes the weights.",
        "schedule": "How the learning rate changes over the run.",
        "averaging": "Averages of the weights, used for validation and prediction where they are kept.",
        "training": "How long to train. A global batch, the samples of one step, is microbatches × microbatch_size.",
        "validation": "When and how to validate.",
        "checkpoint": "When checkpoints are written and which of them stay; one is always written at the end.",
        "workers": "The processes that compute. Their number never changes the result.",
        "workers.timeouts": "When the coordinator gives up, in seconds.",
        "audit": "Whether workers compute rightly: a machine with bad memory changes weights and says nothing.",
        "collectives": "The all-reduce.",
        "security": "Who may take part in the run, and what is encrypted.",
    ]

    static let runAndData: [ConfigurationField] = [
        field("run.directory", \.run.directory, .path, "The folder for checkpoints, metrics and the report."),
        field("run.seed", \.run.seed, .atLeast(0), "The key of all random numbers: equal seeds give equal weights."),
        field("run.name", \.run.name, .name, "A title for reports. Empty: the last part of the folder's path."),
        field(
            "precision",
            \.precision,
            "How feature maps are stored and multiplied. bf16: sums, normalisation, losses, weights and optimizer stay in "
                + "fp32; processors without AVX512_BF16 give the same bits, slowly."
        ),
        field(
            "memory",
            \.memory,
            "What the forward pass leaves for the backward pass. keep: all it reads. lean: not the outputs of "
                + "normalisations and upsamplings, which are made once more. recompute: not those of convolutions either, "
                + "for about a third more time. `pleura inspect` prints each one's memory; the result is the same."
        ),
        field("data.shards", \.data.shards, .path, "The folder that `pleura shard` wrote, with its dataset.json."),
        field(
            "data.folds.validation",
            \.data.folds.validation,
            .validationFolds,
            "The folds to validate on: a list, or all. An empty list never validates."
        ),
        field(
            "data.folds.train",
            \.data.folds.train,
            .folds,
            "The folds to train on: rest (those that do not validate), all, or a list."
        ),
        field(
            "data.size",
            \.data.size,
            .within(0...4096),
            "The side of the network's input in pixels. 0 takes the shards' own size."
        ),
        field(
            "data.channels",
            \.data.channels,
            .oneOf(1, 3),
            "1, or 3 equal ones, as networks for photographs expect."
        ),
        field(
            "data.normalisation",
            \.data.normalisation,
            .normalisation,
            "Input is (pixel - mean) / std, with pixels in 0 to 1. One number, or one for each channel."
        ),
    ]

    static let samples: [ConfigurationField] = [
        field("sampler.policy", \.sampler.policy, inWords(samplingRules))
    ]

    static let augmentation: [ConfigurationField] = [
        field("augmentation.enabled", \.augmentation.enabled, "false leaves every sample as it is.")
    ]

    static let borders: [ConfigurationField] = [
        field(
            "augmentation.border",
            \.augmentation.border,
            "What fills the part of the picture that moved in from outside: the mirrored image with its mirrored mask "
                + "(reflect), or black with background (constant)."
        )
    ]
}

// MARK: - Ranges that only one field has

extension ValueCheck where Value == RunConfiguration.FoldChoice {
    static var folds: ValueCheck {
        ValueCheck(text: "all, rest or fold numbers of 0 and more, each once, at least one", saysType: true) {
            selection in
            guard case .listed(let folds) = selection else { return true }
            return !folds.isEmpty && folds.allSatisfy { $0 >= 0 } && Set(folds).count == folds.count
        }
    }

    static var validationFolds: ValueCheck {
        ValueCheck(text: "all or fold numbers of 0 and more, each once", saysType: true) { selection in
            switch selection {
            case .all: true
            case .rest: false
            case .listed(let folds): folds.allSatisfy { $0 >= 0 } && Set(folds).count == folds.count
            }
        }
    }
}

extension ValueCheck where Value == RunConfiguration.Normalisation {
    static var normalisation: ValueCheck {
        ValueCheck(
            text: "imagenet, or one or three numbers each, mean from -1000 to 1000, std from 0.000001 to 1000",
            saysType: true
        ) { normalisation in
            guard case .values(let mean, let std) = normalisation else { return true }
            return [1, 3].contains(mean.count) && [1, 3].contains(std.count)
                && mean.allSatisfy { abs($0) <= 1000 } && std.allSatisfy { (1e-6...1000).contains($0) }
        }
    }
}
