package import Networks
package import Optimization
package import Sampling
package import Settings

// The sections of a configuration. What a user reads about each field, and its range, is in `ConfigurationField`'s
// table; the comments here add what a caller needs: units and conventions.

extension RunConfiguration {
    /// `run`: the folder, the seed and the name of a run.
    package struct Run: Sendable, Equatable {
        /// The folder that holds checkpoints, metrics and the report; empty when not given.
        package var directory = ""
        /// Not negative; the key of every counter-based random number.
        package var seed = 1
        /// A title; empty for the folder's name.
        package var name = ""
    }

    /// `data`: the shards and how pixels become network input.
    package struct Data: Sendable, Equatable {
        /// The folder with `dataset.json`; empty when not given.
        package var shards = ""
        /// Which folds train and which validate.
        package var folds = Folds()
        /// The side of a network input in pixels; 0 for the shards' own.
        package var size = 0
        /// 1, or 3 equal ones.
        package var channels = 3
        /// The shift and scale of pixels in 0...1.
        package var normalisation = Normalisation.imagenet
    }

    /// `data.folds`.
    package struct Folds: Sendable, Equatable {
        /// The folds to validate on.
        package var validation = FoldChoice.listed([0])
        /// The folds to train on.
        package var train = FoldChoice.rest
    }

    /// `sampler`: which samples an epoch draws.
    package struct Sampler: Sendable, Equatable {
        /// The rule.
        package var policy = SamplerPolicy.positives
        /// The values of the rules' settings.
        package var settings = SettingValues()
    }

    /// `augmentation`: random changes of the training samples, in one resampling pass.
    package struct Augmentation: Sendable, Equatable {
        /// False leaves every sample as it is, whatever the other fields say.
        package var enabled = true
        /// The values of the augmentations' settings, each behind the augmentation's word and a point.
        package var settings = SettingValues()
        /// What stands outside of the image.
        package var border = Border.reflect
    }

    /// `init`: the weights that a run begins from; with neither, all are drawn from the seed.
    package struct Initial: Sendable, Equatable {
        /// A file of weights made elsewhere, or a checkpoint; empty for none.
        package var weights = ""
        /// A run's folder or a checkpoint; empty for none.
        package var from = ""
        /// Take what fits of weights that lack a part of the encoder, or have other shapes.
        package var partial = false
    }

    /// `network`: what is trained.
    package struct Network: Sendable, Equatable {
        /// The family.
        package var architecture = Architecture.unet
        /// The encoder of the families that have one.
        package var encoder = Encoder.resnet34
        /// Channels of the first level of `unet-small`; each level doubles them.
        package var baseWidth = 16
        /// Further settings of the family, by their names.
        package var options: [String: SettingValue] = [:]
        /// Whether batch normalisation follows its microbatch or stays at its running statistics.
        package var normalisation = BatchNormalisation.train
        /// The probability that an activation before the head is zeroed.
        package var dropout = 0.0
    }

    /// `loss`: a weighted sum.
    package struct Loss: Sendable, Equatable {
        /// The weight of binary cross-entropy on logits.
        package var crossEntropy = 1.0
        /// The weight of 1 − soft Dice.
        package var dice = 1.0
        /// The weight of the focal loss.
        package var focal = 0.0
        /// Over what the soft Dice sums its pixels.
        package var dicePer = DiceScope.image
        /// What soft Dice adds to its numerator and denominator.
        package var smoothing = 1.0
        /// The exponent of the focal loss.
        package var focalGamma = 2.0
        /// What is minimised in the place of the three terms above; empty for those.
        package var terms: [WeightedTerm] = []
    }

    /// `optimizer`.
    package struct Optimizer: Sendable, Equatable {
        /// The rule.
        package var name = OptimizerName.adamw
        /// The peak of the schedule.
        package var learningRate = 3e-4
        /// SGD only.
        package var momentum = 0.9
        /// SGD only.
        package var nesterov = false
        /// Adam and its relatives only; two numbers.
        package var betas = [0.9, 0.999]
        /// Adam and its relatives only.
        package var epsilon = 1e-8
        /// L2 in SGD and Adam, decoupled in the others. The default is AdamW's: one that a text leaves out is 0 for the others.
        package var weightDecay = 1e-2
        /// Parameters that learn at another rate or decay otherwise; factors of several are multiplied.
        package var groups: [ParameterGroup] = []
        /// The largest global norm of a gradient; 0 does not clip.
        package var clipNorm = 1.0
    }

    /// `schedule`: the learning rate over the run.
    package struct Schedule: Sendable, Equatable {
        /// How the learning rate moves after warm-up.
        package var name = ScheduleName.cosine
        /// Steps of linear rise from 0; left to the run's length: `warmUpSteps(of:)`.
        package var warmupSteps = CountChoice.auto
        /// The values of the rules' settings.
        package var settings = SettingValues()
    }

    /// `averaging`.
    package struct Averaging: Sendable, Equatable {
        /// The decay of the exponential moving average of the weights, in 0..<1; nil keeps none.
        package var ema: Double?
    }

    /// `training`: how long, and the shape of a global batch.
    package struct Training: Sendable, Equatable {
        /// Epochs: how often the run goes through what the sampler draws.
        package var epochs = 40
        /// When above 0, the run ends after this many steps, whatever `epochs` says.
        package var steps = 0
        /// Microbatches in a global batch.
        package var microbatches = 16
        /// Samples in a microbatch; the statistics of batch normalisation are over one microbatch.
        package var microbatchSize = 2
        /// Validations in a row without a better `checkpoint.metric` after which the run ends; nil never ends it.
        package var earlyStopPatience: Int?
        /// What happens to a step whose gradient or loss is not finite.
        package var onNonFinite = NonFiniteChoice.stop
    }

    /// `validation`.
    package struct Validation: Sendable, Equatable {
        /// 0 never validates.
        package var everyEpochs = 1
        /// The probability above which a pixel is positive.
        package var threshold = 0.5
        /// What the plateau schedule watches; nil for what `checkpoint.metric` says.
        package var metric: Metric?
    }

    /// `checkpoint`.
    package struct Checkpoint: Sendable, Equatable {
        /// 0 for no rhythm by steps.
        package var everySteps = 0
        /// 0 for no rhythm by time.
        package var everyMinutes = 10.0
        /// How many of the newest checkpoints are kept.
        package var keepLast = 3
        /// How many of the best by `metric` stay besides; each is saved when it becomes one of them.
        package var keepBest = 1
        /// The result of validation that decides: which network is the best, wherever one is called so.
        package var metric = Metric.meanDice
    }

    /// `workers`: the processes that compute.
    package struct Workers: Sendable, Equatable {
        /// Processes that `launch` starts on this machine.
        package var count = 2
        /// With fewer the run saves its state and waits for others.
        package var minimum = 1
        /// No more take part at once; 0: `count`.
        package var maximum = 0
        /// How many of its dead workers `launch` starts anew, over the whole run.
        package var respawns = 10
        /// Compute threads of each; one microbatch runs on one thread. Left to the machine: `threads(usable:workers:)`.
        package var threads = CountChoice.auto
        /// How gradients travel.
        package var transport = Transport.auto
        /// Seconds between two heartbeats of a worker.
        package var heartbeatSeconds = 1.0
        /// Seconds that a worker waits for a lost coordinator before it exits.
        package var graceSeconds = 30.0
        /// When the coordinator gives up.
        package var timeouts = Timeouts()
    }

    /// `workers.timeouts`, in seconds.
    package struct Timeouts: Sendable, Equatable {
        /// Seconds that the workers have to join at the start.
        package var joinSeconds = 60.0
        /// Without a heartbeat, before a worker counts as lost.
        package var silenceSeconds = 10.0
        /// For one phase of a step to move on.
        package var phaseSeconds = 300.0
    }

    /// `audit`: gradients that two workers compute.
    package struct Audit: Sendable, Equatable {
        /// The share of microbatches, in 0...1.
        package var rate = 0.01
        /// Runs of fewer steps are not audited.
        package var minimumSteps = 10_000
    }

    /// `collectives`.
    package struct Collectives: Sendable, Equatable {
        /// Gradients are all-reduced in buckets of about this many bytes.
        package var bucketBytes = 4 << 20
        package var dtype = SumFormat.fp32
    }

    /// `security`.
    package struct Security: Sendable, Equatable {
        /// Whether keys are needed.
        package var mode = SecurityMode.auto
        /// The folder that `pleura keygen` made; empty when not given.
        package var keys = ""
        /// Frames between workers of different hosts.
        package var data = DataProtection.encrypted
    }
}
