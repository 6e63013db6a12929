import Configuration
import Coordination
import Graph
import ModelSetup
import Networks
import Optimization
import RunFolder
import Sampling
import Settings
import Storage
import TestSupport
import Testing

@Suite struct SetupTests {
    @Test(arguments: [
        ("run.seed=2", "`run.seed` is 1, not 2"), ("training.microbatches=8", "`training.microbatches` is 16, not 8"),
        ("training.microbatch_size=4", "`training.microbatch_size` is 2, not 4"),
        ("sampler.policy=all", "`sampler.policy` is positives, not all"),
        ("data.folds.validation=[1]", "`data.folds.validation` is [0], not [1]"),
        ("network.base_width=8", "`network.base_width` is 16, not 8"),
        (
            "network.options={decoder_channels: [64, 32, 16, 8, 4]}",
            "`network.options` is {}, not {decoder_channels: [64, 32, 16, 8, 4]}"
        ),
        ("collectives.dtype=bf16", "`collectives.dtype` is fp32, not bf16"),
    ])
    func aRunKeepsItsFixedFields(override: String, expected: String) throws {
        let before = RunConfiguration()
        #expect(FixedFields.changes(from: before, to: try before.overridden(by: [override])) == [expected])
    }

    @Test func otherFieldsMayChange() throws {
        let before = RunConfiguration()
        let now = try before.overridden(by: [
            "training.epochs=20", "optimizer.learning_rate=1e-5", "workers.count=5", "data.shards=/elsewhere",
        ])
        #expect(FixedFields.changes(from: before, to: now).isEmpty)
        // A share that moves over the epochs makes their number a part of each epoch's length.
        let moving = try before.overridden(by: ["sampler.policy=positives", "sampler.positive_share_end=0.3"])
        let longer = try moving.overridden(by: ["training.epochs=20"])
        #expect(FixedFields.changes(from: moving, to: longer) == ["`training.epochs` is 40, not 20"])
    }

    /// What is left over of an epoch may be one image, over which batch normalisation has no variance.
    @Test func aLastMicrobatchOfOneImageIsToldAsThat() throws {
        let folder = try TemporaryFolder()
        // Nine of thirteen are left for training: two microbatches of four and one of one.
        try NoiseShards.write(13, to: folder.path)
        let dataset = try Dataset.open(folder.path)
        func programs(microbatchSize: Int) throws {
            let configuration = try RunConfiguration().overridden(by: [
                "network.architecture=deeplabv3plus", "network.encoder=resnet18", "network.base_width=8",
                "data.folds.validation=[1]", "training.microbatches=1", "training.microbatch_size=\(microbatchSize)",
                "workers.count=1", "workers.threads=1", "sampler.policy=all",
            ])
            _ = try ProgramSet(RunSetup(configuration, dataset: dataset))
        }
        let error = #expect(throws: GraphError.self) { try programs(microbatchSize: 4) }
        #expect(error?.problem.contains("last microbatch of an epoch is that small") == true, "\(error?.problem ?? "")")
        #expect(error?.problem.contains("1 of 4 is left over") == true)
        try programs(microbatchSize: 3)
    }

    /// Cosine falls over the run's own steps, whether epochs or a number of steps end it.
    @Test(arguments: [nil, 5, 13, 20, 26] as [UInt64?])
    func cosineEndsWithTheRun(steps: UInt64?) throws {
        let schedule = RunSchedule(
            epochSampleCounts: [40, 24, 40],
            microbatches: 2,
            microbatchSize: 2,
            steps: steps
        )
        let configuration = try RunConfiguration().overridden(by: [
            "schedule.name=cosine", "schedule.minimum=1e-5", "optimizer.learning_rate=1e-3",
        ])
        let rate = try RunSetup.learningRate(configuration, length: schedule.length)
        func value(_ epochs: Double) -> Double {
            rate.learningRate(step: 0, epochs: epochs, state: rate.initialState)
        }
        #expect(value(0) == 1e-3)
        #expect(abs(value(schedule.length) - 1e-5) < 1e-12)
        // It only falls, and the last step is a step away from the minimum.
        let values = (0..<schedule.totalSteps).map { value(schedule.epochs(before: schedule.location(of: $0))) }
        #expect(zip(values, values.dropFirst()).allSatisfy(>))
        #expect(values.allSatisfy { $0 > 1e-5 })
    }

    /// Groups say what parameters of the network learn otherwise; without groups all are one.
    @Test func groupsAreParametersOfTheNetwork() throws {
        func groups(_ overrides: [String]) throws -> ParameterGroups {
            let configuration = try RunConfiguration().overridden(
                by: ["optimizer.name=adamw", "optimizer.weight_decay=0.5", "network.base_width=4"] + overrides
            )
            return try ModelPlan(configuration, imageSize: 32).optimizer
        }
        #expect(try groups([]).words(step: 1, rate: 0.1).count == 3)
        #expect(try groups(["optimizer.groups=[{match: vectors, decay: 0}]"]).words(step: 1, rate: 0.1).count == 6)
        #expect {
            _ = try groups(["optimizer.groups=[{match: [decoder.*, encodr.*]}, {match: '*.wait'}]"])
        } throws: { error in
            "\(error)".contains("No parameter of this network is named") && "\(error)".contains("*.wait")
        }
    }

    /// A short run warms up for a part of it, and the saved configuration says for how many steps.
    @Test(arguments: [("auto", 1, 0), ("auto", 40, 2), ("auto", 100_000, 200), ("7", 40, 7)])
    func theWarmUpFitsTheRun(asked: String, steps: Int, expected: Int) throws {
        let folder = try TemporaryFolder()
        try NoiseShards.write(to: folder.path)
        let configuration = try RunConfiguration().overridden(by: [
            "network.architecture=unet-small", "schedule.warmup_steps=\(asked)", "training.steps=\(steps)",
        ])
        let setup = try RunSetup(configuration, dataset: Dataset.open(folder.path))
        #expect(setup.configuration.schedule.warmupSteps == .count(expected))
        #expect(setup.learningRate.warmUpSteps == expected && setup.remark == nil)
    }

    /// A figure over no image is none: neither a 1.0, nor the figure of others, nor ever the best.
    @Test func figuresOverNoImageAreNone() throws {
        let folder = try TemporaryFolder()
        try NoiseShards.write(to: folder.path)
        func score(_ counts: [UInt32], _ metric: String) throws -> ValidationScore {
            let configuration = try RunConfiguration().overridden(by: [
                "network.architecture=unet-small", "checkpoint.metric=\(metric)", "schedule.name=plateau",
            ])
            let policy = RunPolicy(try RunSetup(configuration, dataset: Dataset.open(folder.path)))
            return policy.score(counts, countsPerSample: RunPolicy.countsPerSample)
        }
        func value(_ name: String, _ score: ValidationScore) -> Double? {
            score.metrics.first { $0.name == name }?.value
        }
        // Two negatives, one of them with a false alarm.
        let negatives: [UInt32] = [0, 0, 0, Float(0.5).bitPattern, 0, 9, 0, Float(0.25).bitPattern]
        let mean = try score(negatives, "mean_dice")
        #expect(mean.score == 0.5 && value("negative_dice", mean) == 0.5)
        #expect(value("positive_dice", mean)?.isNaN == true)
        #expect(try score(negatives, "positive_dice").score.isNaN)
        #expect(try score(negatives, "loss").score == -0.375)
        let positives: [UInt32] = [5, 5, 5, 0]
        #expect(value("negative_dice", try score(positives, "mean_dice"))?.isNaN == true)
    }

    /// Each word means the encoder of its name.
    @Test func encodersAreTheNetworks() throws {
        let words = RunConfiguration.Encoder.allCases.map(\.rawValue)
        for word in words {
            let configuration = try RunConfiguration().overridden(by: [
                "network.architecture=unet", "network.encoder=\(word)",
            ])
            let network = try #require(try configuration.network.family() as? UNet)
            #expect(network.encoder.rawValue == word)
        }
    }

    /// A plan needs no data set, and each word means the family of its name.
    @Test func familiesAreTheNetworks() throws {
        for family in networkFamilies {
            let configuration = try RunConfiguration().overridden(by: [
                "network.architecture=\(family.word)", "network.normalisation=frozen", "network.dropout=0.25",
            ])
            let plan = try ModelPlan(configuration, imageSize: 32)
            #expect(plan.network.name == family.word)
            #expect(plan.network.family.statistics == .running)
            #expect(plan.size == 32 && plan.configuration.data.size == 32)
            #expect(plan.graph.nodes.contains { $0.name.hasSuffix("head.dropout") })
            #expect(plan.parameterCount > 0)
        }
    }

    /// What the family declares can be set, and reaches the graph.
    @Test func optionsReachTheGraph() throws {
        let configuration = try RunConfiguration().overridden(by: [
            "network.architecture=unet-small", "network.options={depth: 2, upsampling: bilinear}",
        ])
        #expect(
            try configuration.network.family() as? SmallUNet == SmallUNet(depth: 2, upsampling: .bilinear)
        )
        let wide = try RunConfiguration().overridden(by: [
            "network.architecture=unet", "network.encoder=resnet18",
            "network.options={decoder_channels: [64, 32, 16, 8, 4]}",
        ])
        let plan = try ModelPlan(wide, imageSize: 32)
        let parameter = try #require(plan.layout.parameters.first { $0.name == "decoder.blocks.0.conv1.0.weight" })
        #expect(parameter.shape[0] == 64)
        #expect(throws: SetupError.self) { try ModelPlan(wide, imageSize: 48) }
    }
}
