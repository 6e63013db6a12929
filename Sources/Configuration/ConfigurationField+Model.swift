import Networks
import Optimization

// The part of the table about the network, the loss and the optimizer.

extension ConfigurationField {
    static let model: [ConfigurationField] = [
        field(
            "network.architecture",
            \.network.architecture,
            inWords(networkFamilies)
        ),
        field(
            "network.encoder",
            \.network.encoder,
            "The encoder of \(RunConfiguration.Network.families(with: "encoder")); parameters are named as in "
                + "segmentation_models_pytorch."
        ),
        field(
            "network.base_width",
            \.network.baseWidth,
            .within(1...512),
            "Channels of the first level of \(RunConfiguration.Network.families(with: "base_width")); each level has "
                + "twice those of the one above."
        ),
        field(
            "network.normalisation",
            \.network.normalisation,
            "train: batch normalisation uses the statistics of each microbatch. frozen: it uses the running ones and "
                + "leaves them as they are."
        ),
        field(
            "network.dropout",
            \.network.dropout,
            .within(0...0.99),
            "The probability to drop a feature before the head."
        ),
        field(
            "network.options",
            \.network.options,
            "What else can be set of an architecture, as in {depth: 3}. \(RunConfiguration.Network.optionsInWords)"
        ),
        field(
            "init.weights",
            \.initial.weights,
            "A file with the weights to begin from: safetensors, PyTorch's .pth of a state_dict, or a checkpoint. Of an encoder "
                + "alone (torchvision, timm, pretrainedmodels, efficientnet_pytorch) or of a whole network."
        ),
        field(
            "init.from",
            \.initial.from,
            "A run whose best checkpoint the run begins from, or its newest where none was validated; or a checkpoint's file."
        ),
        field(
            "init.partial",
            \.initial.partial,
            "true: take what fits where tensors of the encoder are missing or have other shapes. false: refuse such weights."
        ),
    ]

    static let minimisation: [ConfigurationField] = [
        field(
            "loss.cross_entropy",
            \.loss.crossEntropy,
            .within(0...1_000_000),
            "The weight of binary cross-entropy on logits."
        ),
        field("loss.dice", \.loss.dice, .within(0...1_000_000), "The weight of 1 - soft Dice."),
        field("loss.focal", \.loss.focal, .within(0...1_000_000), "The weight of the focal loss."),
        field(
            "loss.dice_per",
            \.loss.dicePer,
            "image: soft Dice of each image, then the mean. microbatch: one soft Dice over all its pixels, which is "
                + "calmer where most masks are empty."
        ),
        field(
            "loss.smoothing",
            \.loss.smoothing,
            .within(1e-6...1_000_000),
            "Added to the numerator and the denominator of soft Dice, so that it is defined for an empty mask too."
        ),
        field(
            "loss.focal_gamma",
            \.loss.focalGamma,
            .within(0...100),
            "The exponent of the focal loss: the higher, the less the pixels count that the network gets right already."
        ),
        field(
            "loss.terms",
            \.loss.terms,
            .terms,
            "A weighted sum in the place of cross_entropy, dice and focal, which then do not count, such as "
                + "[{term: cross_entropy_clamped, weight: 3}, {term: dice_nonempty}]. `output` takes another output of the "
                + "network than the mask; the loss of a validation is that on the mask. "
                + RunConfiguration.WeightedTerm.descriptions + "."
        ),
        field("optimizer.name", \.optimizer.name, "The optimizer."),
        field(
            "optimizer.learning_rate",
            \.optimizer.learningRate,
            .above(0, upTo: 1000),
            "The learning rate after warm-up; the schedule changes it from there."
        ),
        field(
            "optimizer.momentum",
            \.optimizer.momentum,
            .within(0..<1),
            "For \(RunConfiguration.OptimizerName.readers(of: .momentum))."
        ),
        field(
            "optimizer.nesterov",
            \.optimizer.nesterov,
            "For \(RunConfiguration.OptimizerName.readers(of: .nesterov)): look ahead along the momentum."
        ),
        field(
            "optimizer.betas",
            \.optimizer.betas,
            .pair(.within(0..<1)),
            "For \(RunConfiguration.OptimizerName.readers(of: .betas)): the decays of the gradient's mean and of its square's mean."
        ),
        field(
            "optimizer.epsilon",
            \.optimizer.epsilon,
            .within(1e-30...1),
            "For \(RunConfiguration.OptimizerName.readers(of: .epsilon)): added to the denominator."
        ),
        field(
            "optimizer.weight_decay",
            \.optimizer.weightDecay,
            .within(0...1000),
            "sgd and adam add it, times the weights, to the gradient; the others shrink the weights themselves. Where it is left out, "
                + "it is 0.01 for adamw and 0 for the others."
        ),
        field(
            "optimizer.groups",
            \.optimizer.groups,
            .groups,
            "Parameters that learn at another rate or decay otherwise, by their names in checkpoints: "
                + "[{match: vectors, decay: 0}, {match: \"encoder.*\", rate: 0.1}] takes biases and normalisations from the "
                + "decay, and the encoder a tenth of the rate. The factors of all that match are multiplied."
        ),
        field(
            "optimizer.clip_norm",
            \.optimizer.clipNorm,
            .within(0...1_000_000),
            "Scales a gradient down whose global norm is above this. 0 does not clip."
        ),
        field(
            "schedule.name",
            \.schedule.name,
            "How the learning rate moves after warm-up. " + inWords(scheduleRules)
        ),
        field(
            "schedule.warmup_steps",
            \.schedule.warmupSteps,
            .unlessAuto(0...1_000_000_000),
            "Steps at the start over which the learning rate rises; fewer than the run has. auto: a twentieth of the run, "
                + "and 200 at most."
        ),
    ]

    static let averages: [ConfigurationField] = [
        field(
            "averaging.ema",
            \.averaging.ema,
            .unlessOff(.above(0, below: 1)),
            "The decay of an exponential moving average of the weights, such as 0.999; off keeps none."
        )
    ]
}
