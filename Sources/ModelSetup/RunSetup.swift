package import Configuration
package import Graph
package import Kernels
package import Networks
package import Optimization
import Platform
package import Radiography
package import Reduction
package import Sampling
package import Storage

/// Everything that a resolved configuration and a data set determine: the same value in the coordinator and in every
/// worker, so that neither has to tell the other.
package struct RunSetup: Sendable {
    package let configuration: RunConfiguration
    package let folds: FoldSelection
    package let sampler: Sampling.Sampler
    package let schedule: RunSchedule
    package let network: Networks.Network
    package let loss: SegmentationLoss
    package let graph: Graph
    package let layout: ParameterLayout
    package let buckets: BucketLayout
    package let optimizer: ParameterGroups
    package let learningRate: LearningRateSchedule
    package let average: WeightAverage?
    package let augmentation: AugmentationPolicy?
    package let normalization: ChannelNormalization
    /// Side of a network input in pixels.
    package let size: Int
    package let datasetDigest: String
    /// What the user should know of this configuration on this data set.
    package let remark: String?

    /// Derives everything from `configuration` and the data set's manifest.
    ///
    /// Throws what is wrong with them, as errors for users.
    package init(_ configuration: RunConfiguration, dataset: Dataset) throws {
        // Rates, weights and thresholds are computed here.
        Arithmetic.restore()
        datasetDigest = dataset.manifest.datasetDigest.description
        guard dataset.manifest.schema.isLabelled else {
            throw SetupError.unlabelled(shards: configuration.data.shards)
        }
        let samples = 0..<dataset.count
        folds = try Self.folds(configuration, dataset)
        sampler = try Sampling.Sampler(
            policy: Self.policy(configuration),
            seed: UInt64(configuration.run.seed),
            samples: folds.training,
            isPositive: samples.map(dataset.isPositive)
        )
        let steps = configuration.training.steps
        schedule = RunSchedule(
            epochSampleCounts: (0..<max(1, configuration.training.epochs)).map(sampler.sampleCount(of:)),
            microbatches: configuration.training.microbatches,
            microbatchSize: configuration.training.microbatchSize,
            steps: steps > 0 ? UInt64(steps) : nil
        )
        let warmUp = configuration.schedule.warmupSteps
        remark =
            warmUp < schedule.totalSteps
            ? nil
            : "schedule.warmup_steps is \(warmUp) and the run has \(schedule.totalSteps) steps, so the learning rate is "
                + "never reached. Warm up for fewer steps, or train for more epochs."
        size = configuration.data.size == 0 ? dataset.size : configuration.data.size
        // Resolved: a checkpoint is used where the shards are not, to predict.
        var resolved = configuration
        resolved.data.size = size
        self.configuration = resolved
        network = Self.network(configuration, size: size)
        loss = Self.loss(configuration)
        graph = try Self.graph(network, loss: loss, configuration)
        layout = ParameterLayout(graph)
        buckets = layout.bucketLayout(targetBytes: configuration.collectives.bucketBytes)
        optimizer = try ParameterGroups(configuration.optimizer, layout: layout)
        learningRate = Self.learningRate(configuration, length: schedule.length)
        try learningRate.validate()
        average = configuration.averaging.ema.map { WeightAverage(decay: $0) }
        try average?.validate()
        augmentation = configuration.augmentation.enabled ? Self.augmentation(configuration) : nil
        normalization = Self.normalization(configuration)
    }

    /// The name of the numbers' contract that all workers must honour.
    package var numericsProfile: String {
        Self.numericsProfile(precision, roundsSums: configuration.collectives.dtype == .bf16)
    }

    /// All that this program honours.
    package static var numericsProfiles: [String] {
        [ElementFormat.float32, .bfloat16].flatMap { precision in
            [false, true].map { numericsProfile(precision, roundsSums: $0) }
        }
    }

    /// How many of the first elements of a step's sums are rounded to bfloat16: the gradients, or none.
    package var roundedCount: Int { configuration.collectives.dtype == .bf16 ? layout.trainedCount : 0 }

    package var memoryPolicy: MemoryPolicy { Self.memoryPolicy(configuration) }

    package static func memoryPolicy(_ configuration: RunConfiguration) -> MemoryPolicy {
        switch configuration.memory {
        case .keep: .keep
        case .lean: .lean
        case .recompute: .recompute
        }
    }

    package static func numericsProfile(_ precision: ElementFormat, roundsSums: Bool) -> String {
        (precision == .float32 ? "fp32" : "bf16-dot") + (roundsSums ? "+bf16-sums" : "")
    }

    /// The format of feature maps between the images and the logits.
    package var precision: ElementFormat { Self.precision(configuration) }

    package static func precision(_ configuration: RunConfiguration) -> ElementFormat {
        configuration.precision == .fp32 ? .float32 : .bfloat16
    }

    /// A digest of the parameters' names and shapes and of the buffers': equal for equal networks.
    package var networkDigest: String {
        var hash = SHA256()
        for parameter in layout.parameters {
            hash.update("\(parameter.name) \(parameter.shape) \(parameter.offset)\n")
        }
        for buffer in layout.buffers { hash.update("\(buffer.name) \(buffer.count)\n") }
        hash.update("\(layout.sumCount) \(buckets.buckets)\n")
        return hash.finish().description
    }
}

// MARK: From configuration to engine

extension RunSetup {
    /// The network of a configuration at a size.
    package static func network(_ configuration: RunConfiguration, size: Int) -> Networks.Network {
        let statistics: NormalizationStatistics = configuration.network.normalisation == .train ? .batch : .running
        let architecture: Networks.Network.Architecture
        switch configuration.network.architecture {
        case .unetSmall:
            architecture = .unetSmall(
                SmallUNet(
                    baseWidth: configuration.network.baseWidth,
                    statistics: statistics,
                    dropout: configuration.network.dropout
                )
            )
        case .unet:
            architecture = .unet(
                UNet(
                    encoder: configuration.network.encoder,
                    statistics: statistics,
                    dropout: configuration.network.dropout
                )
            )
        case .deepLabV3Plus:
            architecture = .deepLabV3Plus(
                DeepLabV3Plus(
                    encoder: configuration.network.encoder,
                    statistics: statistics,
                    dropout: configuration.network.dropout
                )
            )
        }
        return Networks.Network(
            architecture,
            height: size,
            width: size,
            inputChannels: configuration.data.channels
        )
    }

    /// The graph of a network; that its input does not fit is said in the words of the configuration.
    package static func graph(
        _ network: Networks.Network,
        loss: SegmentationLoss,
        _ configuration: RunConfiguration
    ) throws -> Graph {
        do {
            return try network.graph(loss: loss)
        } catch {
            guard error.layer == "input" else { throw error }
            let origin = configuration.data.size == 0 ? "the shards' own size" : "data.size"
            throw SetupError.inputSize(
                width: network.width,
                height: network.height,
                origin: origin,
                problem: "\(error.problem)"
            )
        }
    }

    /// The loss of a configuration.
    package static func loss(_ configuration: RunConfiguration) -> SegmentationLoss {
        let loss = configuration.loss
        return SegmentationLoss(
            crossEntropy: loss.crossEntropy,
            dice: loss.dice,
            focal: loss.focal,
            focalGamma: loss.focalGamma,
            diceScope: loss.dicePer == .image ? .image : .microbatch,
            numeratorSmoothing: loss.smoothing,
            denominatorSmoothing: loss.smoothing
        )
    }

    /// How pixels become inputs.
    package static func normalization(_ configuration: RunConfiguration) -> ChannelNormalization {
        let channels = configuration.data.channels
        let (mean, deviation) = configuration.data.normalisation.statistics(channels: channels)
        func spread(_ values: [Double]) -> SIMD3<Float> {
            let floats = values.map(Float.init)
            return floats.count == 3
                ? SIMD3(floats[0], floats[1], floats[2]) : SIMD3(repeating: floats.first ?? 0)
        }
        return ChannelNormalization(mean: spread(mean), deviation: spread(deviation))
    }

    private static func folds(_ configuration: RunConfiguration, _ dataset: Dataset) throws -> FoldSelection {
        let folds = (0..<dataset.count).map { dataset.fold(of: $0) ?? 0 }
        let all = Set(folds).sorted()
        let validation: [Int] =
            switch configuration.data.folds.validation {
            case .all: all
            case .rest: []
            case .listed(let listed): listed
            }
        if configuration.validates, dataset.manifest.foldCount == 0, configuration.data.folds.validation != .all {
            throw SetupError.noFolds(shards: configuration.data.shards, asked: validation)
        }
        if !configuration.validates {
            return try FoldSelection(folds: folds, training: training(configuration, all, []), validation: [])
        }
        return try FoldSelection(
            folds: folds,
            training: training(configuration, all, validation),
            validation: validation
        )
    }

    private static func training(_ configuration: RunConfiguration, _ all: [Int], _ validation: [Int]) -> [Int]? {
        switch configuration.data.folds.train {
        case .all: all
        case .rest: nil
        case .listed(let listed): listed
        }
    }

    private static func policy(_ configuration: RunConfiguration) -> SamplingPolicy {
        switch configuration.sampler.policy {
        case .all: .all
        case .positives:
            .positives(
                configuration.sampler.positiveShareEnd.map {
                    .linear(
                        from: configuration.sampler.positiveShare,
                        to: $0,
                        over: max(1, configuration.training.epochs - 1)
                    )
                } ?? .constant(configuration.sampler.positiveShare)
            )
        }
    }

    /// The learning rate of a run that is `length` epochs long.
    package static func learningRate(_ configuration: RunConfiguration, length: Double) -> LearningRateSchedule {
        let rule = configuration.schedule
        let shape: LearningRateSchedule.Rule =
            switch rule.name {
            case .constant: .constant
            case .cosine:
                .cosine(
                    period: rule.periodEpochs > 0 ? Double(rule.periodEpochs) : length,
                    minimum: rule.minimum,
                    everyStep: true
                )
            case .plateau:
                .plateau(
                    factor: rule.factor,
                    patience: rule.patience,
                    minimum: rule.minimum,
                    threshold: rule.threshold,
                    higherIsBetter: configuration.validation.metric.largerIsBetter
                )
            }
        return LearningRateSchedule(
            base: configuration.optimizer.learningRate,
            rule: shape,
            warmUpSteps: rule.warmupSteps
        )
    }

    private static func augmentation(_ configuration: RunConfiguration) -> AugmentationPolicy {
        let rule = configuration.augmentation
        var policy = AugmentationPolicy()
        policy.horizontalFlipProbability = Float(rule.flip.probability)
        policy.shiftScaleRotateProbability = Float(rule.affine.probability)
        policy.shiftLimit = Float(rule.affine.shift)
        policy.scale = Float(1 - rule.affine.scale)...Float(1 + rule.affine.scale)
        policy.rotationLimit = Float(rule.affine.rotate)
        policy.cropProbability = Float(rule.crop.probability)
        policy.cropSide = Float(rule.crop.minimum)...1
        policy.brightnessProbability = Float(rule.brightness.probability)
        policy.brightnessLimit = Float(rule.brightness.range)
        policy.contrastProbability = Float(rule.contrast.probability)
        policy.contrast = Float(1 - rule.contrast.range)...Float(1 + rule.contrast.range)
        policy.gammaProbability = Float(rule.gamma.probability)
        policy.gamma = Float(rule.gamma.range[0])...Float(rule.gamma.range[1])
        policy.border = rule.border == .reflect ? .reflect101 : .constant(0)
        return policy
    }
}
