import Configuration
import Diagnostics
import Losses
import Networks
import Optimization
import Radiography
import Sampling
import Testing

@Suite struct LossTermTests {
    /// The keys that have weights of their own are three terms, until a list takes their place.
    @Test func aListTakesThePlaceOfTheKeys() throws {
        func entries(_ text: String) throws -> [String] {
            try RunConfiguration.parse(text, file: "c.yaml").loss.rule.entries.map {
                "\(type(of: $0.term).name) \($0.weight) \($0.output)"
            }
        }
        #expect(
            try entries("loss: {cross_entropy: 3, dice: 0, focal: 4}") == [
                "cross_entropy 3.0 mask", "dice 0.0 mask", "focal 4.0 mask",
            ]
        )
        #expect(
            try entries("loss: {cross_entropy: 3, terms: [{term: dice_nonempty, weight: 2}]}") == [
                "dice_nonempty 2.0 mask"
            ]
        )
        #expect(try entries("loss: {cross_entropy: 0, dice: 0, terms: [{term: dice}]}") == ["dice 1.0 mask"])
        let focal = try RunConfiguration.parse(
            "loss: {focal_gamma: 1, terms: [{term: focal, gamma: 3, output: presence}]}",
            file: "c.yaml"
        ).loss.rule
        #expect(focal.focalGamma == 3 && focal.entries[0].output == "presence")
    }

    @Test func everyTermIsExplained() {
        let text = RunConfiguration.explain("loss.terms", width: 10_000) ?? ""
        for term in lossTerms {
            #expect(text.contains("\(term.name): \(term.summary)"))
            for option in term.options { #expect(text.contains("\(option.name): ")) }
        }
        #expect(Set(lossTerms.map { $0.name }).count == lossTerms.count)
    }
}

/// Names of parameters, as the groups of an optimizer have them.
@Suite struct ParameterGroupTests {
    private func contains(_ pattern: String, _ name: String, shape: [Int] = [8, 4, 3, 3]) throws -> Bool {
        let configuration = try RunConfiguration.parse(
            "optimizer: {groups: [{match: \"\(pattern)\"}]}",
            file: "c.yaml"
        )
        return configuration.optimizer.groups[0].contains(name, shape: shape)
    }

    @Test(arguments: [
        ("encoder.conv1.weight", true), ("encoder.*", true), ("*.weight", true), ("*", true), ("*conv*", true),
        ("e*c*1*t", true), ("encoder.conv1.weight*", true), ("**weight", true), ("encoder", false), ("*.bias", false),
        ("encoder.conv1.weight.*", false), ("conv1.*", false), ("*e*x*", false), ("vectors", false),
    ])
    func aStarStandsForAnyCharacters(pattern: String, fits: Bool) throws {
        #expect(try contains(pattern, "encoder.conv1.weight") == fits)
    }

    @Test func vectorsAreBiasesAndNormalisations() throws {
        #expect(try contains("vectors", "encoder.bn1.weight", shape: [64]))
        #expect(try !contains("vectors", "encoder.conv1.weight"))
    }

    @Test func factorsOfAllGroupsAreMultiplied() throws {
        let optimizer = try RunConfiguration.parse(
            """
            optimizer:
              groups: [{match: vectors, decay: 0}, {match: [encoder.*, a.*], rate: 0.1}, {match: encoder.layer1.*, rate: 0.5}]
            """,
            file: "c.yaml"
        ).optimizer
        #expect(optimizer.factors(of: "decoder.weight", shape: [1, 1, 1, 1]) == .init())
        #expect(optimizer.factors(of: "decoder.bias", shape: [1]) == .init(decay: 0))
        #expect(optimizer.factors(of: "encoder.layer1.weight", shape: [1, 1, 1, 1]) == .init(rate: 0.05))
        #expect(optimizer.factors(of: "encoder.layer2.bn1.bias", shape: [4]) == .init(rate: 0.1, decay: 0))
    }

    /// Patterns with many stars are no work: each part is looked for from where the last one ended.
    @Test func starsTakeNoTime() throws {
        let pattern = String(repeating: "a*", count: 99)
        #expect(try !contains(pattern + "c", String(repeating: "a", count: 4000)))
        #expect(try contains(pattern, String(repeating: "a", count: 4000)))
    }
}

@Suite("Configurations are read")
struct ReadingTests {
    @Test func anEmptyFileGivesTheDefaults() throws {
        #expect(try RunConfiguration.parse("", file: "c.yaml") == RunConfiguration())
        #expect(try RunConfiguration.parse("# only a comment\n", file: "c.yaml") == RunConfiguration())
        #expect(try RunConfiguration.parse("optimizer:\n  # all commented out\n", file: "c.yaml") == RunConfiguration())
    }

    @Test func valuesOfEveryKindAreRead() throws {
        var configuration = try RunConfiguration.parse(
            """
            run: {directory: runs/α β, seed: 7, name: 123}
            data:
              shards: "a: b"
              folds: {validation: [4, 2], train: all}
              channels: 3
              normalisation: imagenet
            sampler: {policy: positives, positive_share: .8, positive_share_end: 0.22}
            augmentation:
              enabled: false
              gamma: {probability: 1, range: [0.6, 1.2]}
              border: constant
            network: {architecture: unet, encoder: resnet18, normalisation: frozen}
            optimizer: {name: sgd, learning_rate: 1e-4, nesterov: true, betas: [0.8, 0.99]}
            averaging: {ema: 0.99}
            workers: {transport: shared-memory, timeouts: {silence_seconds: 5}}
            """,
            file: "c.yaml"
        )
        #expect(configuration.run.directory == "runs/α β")
        #expect(configuration.run.seed == 7)
        #expect(configuration.run.name == "123")
        #expect(configuration.data.shards == "a: b")
        #expect(configuration.data.folds.validation == .listed([2, 4]))
        #expect(configuration.data.folds.train == .all)
        #expect(configuration.data.normalisation == .imagenet)
        #expect(configuration.sampler.policy == .positives)
        #expect(try configuration.sampler.rule() as? PositivesAndShare == PositivesAndShare(0.8, last: 0.22))
        #expect(!configuration.augmentation.enabled)
        #expect(try configuration.augmentation.plan() == nil)
        configuration.augmentation.enabled = true
        let plan = try #require(try configuration.augmentation.plan())
        #expect(plan.steps.compactMap { $0 as? GammaChange } == [GammaChange(probability: 1, range: [0.6, 1.2])])
        #expect(plan.border == .constant(0))
        #expect(configuration.augmentation.border == .constant)
        #expect(configuration.network.architecture == .unet)
        #expect(configuration.network.encoder == .resnet18)
        #expect(configuration.network.normalisation == .frozen)
        #expect(configuration.optimizer.name == .sgd)
        #expect(configuration.optimizer.learningRate == 1e-4)
        #expect(configuration.optimizer.nesterov)
        #expect(configuration.optimizer.betas == [0.8, 0.99])
        #expect(configuration.averaging.ema == 0.99)
        #expect(configuration.workers.transport == .sharedMemory)
        #expect(configuration.workers.timeouts.silenceSeconds == 5)
        #expect(configuration.workers.timeouts.joinSeconds == RunConfiguration().workers.timeouts.joinSeconds)
    }

    @Test func normalisationTakesOneNumberOrThree() throws {
        let one = try RunConfiguration.parse("data: {normalisation: {mean: 0.49, std: 0.247}}", file: "c.yaml")
        #expect(one.data.normalisation == .values(mean: [0.49], std: [0.247]))
        #expect(one.data.normalisation.statistics(channels: 3).mean == [0.49, 0.49, 0.49])
        let three = try RunConfiguration.parse(
            "data: {channels: 3, normalisation: {mean: [0.1, 0.2, 0.3], std: 1}}",
            file: "c.yaml"
        )
        #expect(three.data.normalisation.statistics(channels: 3).mean == [0.1, 0.2, 0.3])
        #expect(three.data.normalisation.statistics(channels: 3).std == [1, 1, 1])
        #expect(RunConfiguration.Normalisation.imagenet.statistics(channels: 1).mean == [0.449])
    }

    @Test func overridesWinInTheirOrder() throws {
        let configuration = try RunConfiguration.parse(
            "optimizer: {learning_rate: 1}",
            file: "c.yaml",
            overrides: [
                "optimizer.learning_rate=1e-4", "optimizer.learning_rate=2e-4", "data.folds.validation=[1,2]",
                "augmentation.flip={probability: 0.25}", "run.directory=/tmp/a=b c", "data.normalisation=imagenet",
                "averaging.ema=off", "run.name=\"\"",
            ]
        )
        #expect(configuration.optimizer.learningRate == 2e-4)
        #expect(configuration.data.folds.validation == .listed([1, 2]))
        let plan = try #require(try configuration.augmentation.plan())
        #expect(plan.steps.compactMap { $0 as? Flip } == [Flip(probability: 0.25)])
        #expect(configuration.run.directory == "/tmp/a=b c")
        #expect(configuration.data.normalisation == .imagenet)
        #expect(configuration.averaging.ema == nil)

        let later = try configuration.overridden(by: ["training.epochs=3"])
        #expect(later.training.epochs == 3)
        #expect(later.optimizer.learningRate == 2e-4)
    }

    /// One key says which network is the best; the other is for a plateau that watches something else.
    @Test func oneMetricDecides() throws {
        let plain = try RunConfiguration.parse("", file: "c.yaml")
        #expect(plain.checkpoint.metric == .meanDice && plain.scheduleMetric == .meanDice)
        let loss = try RunConfiguration.parse("checkpoint: {metric: loss}", file: "c.yaml")
        #expect(loss.scheduleMetric == .loss && !loss.scheduleMetric.largerIsBetter)
        let both = try RunConfiguration.parse("validation: {metric: positive_dice}", file: "c.yaml")
        #expect(both.scheduleMetric == .positiveDice && both.checkpoint.metric == .meanDice)
    }

    @Test func foldersAreAskedForOnlyWhereARunStarts() throws {
        let error = #expect(throws: ConfigurationError.self) { try RunConfiguration().checkTrainable() }
        #expect(error?.description.contains("--set data.shards=FOLDER") == true)
        #expect(error?.description.contains("--set run.directory=FOLDER") == true)
        var configuration = RunConfiguration()
        configuration.data.shards = "shards"
        configuration.run.directory = "runs/first"
        try configuration.checkTrainable()
        #expect(configuration.displayName == "first")
    }

    @Test func aFileThatIsNotThereIsMissingInput() {
        let error = #expect(throws: ConfigurationError.self) { try RunConfiguration.load(path: "no/such.yaml") }
        #expect(error?.exitStatus == .missingInput)
        #expect(error?.description.hasPrefix("no/such.yaml: no such configuration") == true)
    }

    @Test(arguments: ["r/a: b", "runs/x #1", "[a", "{b}", "*c", "- d", "true", "a'b"])
    func textOfAnOverrideIsTakenAsItIs(text: String) throws {
        let read = try RunConfiguration.parse("", file: "c.yaml", overrides: ["run.directory=\(text)"])
        #expect(read.run.directory == text)
        // It comes back from the configuration that is saved with the run.
        let again = try RunConfiguration.parse(read.resolvedYAML(), file: "c.yaml")
        #expect(again.run.directory == text)
    }

    @Test func quotedTextOfAnOverrideIsYAML() throws {
        let read = try RunConfiguration.parse(
            "",
            file: "c.yaml",
            overrides: [#"run.name="a\x41b""#, "run.directory='c #1'"]
        )
        #expect(read.run.name == "aAb" && read.run.directory == "c #1")
    }

    @Test func idleThreadsAreRemarked() throws {
        let few = ["training.microbatches=3", "workers.count=2", "workers.threads=2"]
        let remark = try RunConfiguration.parse("", file: "c.yaml", overrides: few).remarks.first
        #expect(remark?.contains("training.microbatches is 3") == true && remark?.contains("1 of them has") == true)
        let enough = ["training.microbatches=4", "workers.count=2", "workers.threads=2"]
        #expect(try RunConfiguration.parse("", file: "c.yaml", overrides: enough).remarks.isEmpty)
    }

    @Test func fieldsThatMeanNothingToANetworkAreRemarked() throws {
        func remarks(_ overrides: String...) throws -> [String] {
            try RunConfiguration.parse("", file: "c.yaml", overrides: overrides).remarks.filter {
                $0.hasPrefix("network.")
            }
        }
        #expect(
            try remarks("network.architecture=unet-small", "network.encoder=resnet50").first
                == "network.encoder means nothing to unet-small; it is for unet, deeplabv3plus and fpn."
        )
        #expect(
            try remarks("network.architecture=fpn", "network.base_width=8").first
                == "network.base_width means nothing to fpn; it is for unet-small."
        )
        #expect(try remarks("network.architecture=fpn", "network.encoder=resnet50").isEmpty)
    }

    /// Numbers that a family takes as such may be written without a point.
    @Test func optionsOfANetworkAreRead() throws {
        let configuration = try RunConfiguration.parse(
            "network: {architecture: fpn, options: {decoder_dropout: 0, decoder_pyramid_channels: 64}}",
            file: "c.yaml"
        )
        #expect(
            try configuration.network.family() as? FPN
                == FPN(encoder: configuration.network.encoder, pyramidChannels: 64, decoderDropout: 0)
        )
        let again = try RunConfiguration.parse(configuration.resolvedYAML(), file: "c.yaml")
        #expect(again == configuration)
    }

    /// Each rule takes what it declares, and a value that only another one reads is told of.
    @Test func rulesTakeTheirSettings() throws {
        func read(_ overrides: String...) throws -> RunConfiguration {
            try RunConfiguration.parse("", file: "c.yaml", overrides: overrides)
        }
        let restarts = try read("schedule.name=restarts", "schedule.cycle_epochs=4", "schedule.cycle_growth=2")
        #expect(
            try restarts.schedule.rule() as? CosineRestarts
                == CosineRestarts(cycleEpochs: 4, cycleGrowth: 2, minimum: 1e-6)
        )
        let steps = try read("schedule.name=steps", "schedule.milestones=[3, 7]", "schedule.factor=0.5")
        #expect(try steps.schedule.rule() as? StepwiseRate == StepwiseRate(milestones: [3, 7], factor: 0.5))
        let byEpoch = try read("schedule.name=cosine", "schedule.every_step=false")
        #expect(
            try byEpoch.schedule.rule() as? CosineRate == CosineRate(periodEpochs: 0, minimum: 1e-6, everyStep: false)
        )
        #expect(try read("sampler.policy=balanced").sampler.rule() is BalancedSamples)
        let clahe = try read("augmentation.clahe.probability=0.5", "augmentation.clahe.tiles=4")
        let plan = try #require(try clahe.augmentation.plan())
        #expect(plan.steps.contains { $0 as? LocalContrast == LocalContrast(probability: 0.5, tiles: 4) })
        #expect(
            try read("schedule.name=cosine", "schedule.patience=5").remarks.contains(
                "schedule.patience means nothing to cosine; it is for plateau."
            )
        )
        #expect(
            try read("sampler.policy=all", "sampler.positive_share=0.4").remarks.contains(
                "sampler.positive_share means nothing to all; it is for positives."
            )
        )
        // A value that is the default is no change.
        #expect(try read("schedule.patience=2") == RunConfiguration())
    }
}
