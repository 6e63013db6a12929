package import Configuration
package import Graph
package import Kernels
package import Losses
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
    /// What the configuration says of the model.
    package let plan: ModelPlan
    package let folds: FoldSelection
    package let sampler: Sampling.Sampler
    package let schedule: RunSchedule
    package let learningRate: LearningRateSchedule
    package let augmentation: AugmentationPolicy?
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
        let warmUp = configuration.warmUpSteps(of: schedule.totalSteps)
        remark =
            warmUp < schedule.totalSteps
            ? nil
            : "schedule.warmup_steps is \(warmUp) and the run has \(schedule.totalSteps) steps, so the learning rate is "
                + "never reached. Warm up for fewer steps, or train for more epochs."
        // Resolved: the run keeps it, whatever its length becomes.
        var resolved = configuration
        resolved.schedule.warmupSteps = .count(warmUp)
        plan = try ModelPlan(resolved, imageSize: dataset.size)
        learningRate = Self.learningRate(resolved, length: schedule.length)
        try learningRate.validate()
        augmentation = configuration.augmentation.enabled ? Self.augmentation(configuration) : nil
    }

    /// The names of all numbers' contracts that this program honours.
    package static var numericsProfiles: [String] { ModelPlan.numericsProfiles }
}

// MARK: The plan's parts

extension RunSetup {
    /// With the size of the images, whoever gave it.
    package var configuration: RunConfiguration { plan.configuration }
    package var network: Networks.Network { plan.network }
    package var loss: SegmentationLoss { plan.loss }
    package var graph: Graph { plan.graph }
    package var layout: ParameterLayout { plan.layout }
    package var buckets: BucketLayout { plan.buckets }
    package var optimizer: ParameterGroups { plan.optimizer }
    package var average: WeightAverage? { plan.average }
    package var normalization: ChannelNormalization { plan.normalization }
    package var precision: ElementFormat { plan.precision }
    package var memoryPolicy: MemoryPolicy { plan.memoryPolicy }
    /// Side of a network input in pixels.
    package var size: Int { plan.size }
    package var numericsProfile: String { plan.numericsProfile }
    package var networkDigest: String { plan.networkDigest }
    package var roundedCount: Int { plan.roundedCount }
}

// MARK: From configuration to engine

extension RunSetup {
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
}

extension RunSetup {
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
                    higherIsBetter: configuration.scheduleMetric.largerIsBetter
                )
            }
        return LearningRateSchedule(
            base: configuration.optimizer.learningRate,
            rule: shape,
            warmUpSteps: rule.warmupSteps.count ?? 0
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
