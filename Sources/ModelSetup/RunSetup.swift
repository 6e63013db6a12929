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
            rule: try configuration.sampler.rule(),
            seed: UInt64(configuration.run.seed),
            samples: folds.training,
            isPositive: samples.map(dataset.isPositive),
            epochs: configuration.training.epochs
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
        learningRate = try Self.learningRate(resolved, length: schedule.length)
        try learningRate.validate()
        augmentation = try configuration.augmentation.plan()
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
}

extension RunSetup {
    /// The learning rate of a run that is `length` epochs long.
    package static func learningRate(
        _ configuration: RunConfiguration,
        length: Double
    ) throws -> LearningRateSchedule {
        LearningRateSchedule(
            base: configuration.optimizer.learningRate,
            rule: try configuration.schedule.rule(),
            length: length,
            higherIsBetter: configuration.scheduleMetric.largerIsBetter,
            warmUpSteps: configuration.schedule.warmupSteps.count ?? 0
        )
    }
}
