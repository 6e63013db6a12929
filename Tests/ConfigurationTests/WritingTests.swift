import Configuration
import Foundation
import Settings
import Testing

@Suite("Configurations are written and explained")
struct WritingTests {
    /// A configuration in which no field has its default.
    private static let everythingChanged = """
        precision: bf16
        memory: recompute
        run: {directory: "runs/a \\"b\\"\\tü", seed: 9007199254740993, name: "true"}
        data: {shards: ./s, folds: {validation: all, train: [1, 3]}, size: 64, channels: 1, normalisation: {mean: 0.1, std: 0.5}}
        init: {weights: encoder.safetensors, partial: true}
        sampler: {policy: all, positive_share: 0.8, positive_share_end: 0.22}
        augmentation:
          enabled: false
          flip: {probability: 0.1}
          affine: {probability: 0.2, shift: 0.3, scale: 0.4, rotate: 45.5}
          crop: {probability: 0.6, minimum: 0.5}
          brightness: {probability: 0.7, range: 0.1}
          contrast: {probability: 0.8, range: 0.15}
          gamma: {probability: 0.9, range: [0.6, 1.4]}
          clahe: {probability: 0.35, limit: 3, tiles: 4}
          border: constant
        network: {architecture: unet-small, encoder: resnet18, base_width: 8, normalisation: frozen, dropout: 0.25, options: {depth: 3}}
        loss: {cross_entropy: 2.7, dice: 0.9, focal: 4, dice_per: microbatch, smoothing: 1e-6, focal_gamma: 1.5, terms: [{term: dice, weight: 2, per_image: true, smoothing: 0.5}, {term: focal, output: presence, weight: 0.1}]}
        optimizer: {name: sgd, learning_rate: 7.5e-5, momentum: 0.8, nesterov: true, betas: [0.8, 0.99], epsilon: 1e-7, weight_decay: 1e-5, clip_norm: 0.1, groups: [{match: [a.*, vectors], rate: 0.1, decay: 0}, {match: "*.bias", decay: 0.5}]}
        schedule: {name: plateau, warmup_steps: 3, minimum: 1e-7, period_epochs: 8, every_step: false, cycle_epochs: 4, cycle_growth: 2, factor: 0.5, milestones: [3, 9], patience: 3, threshold: 0.001}
        averaging: {ema: 0.999}
        training: {epochs: 3, steps: 12, microbatches: 6, microbatch_size: 3, early_stop_patience: 5, on_nonfinite: skip}
        validation: {every_epochs: 2, threshold: 0.4, metric: positive_dice}
        checkpoint: {every_steps: 100, every_minutes: 2.5, keep_last: 5, keep_best: 3, metric: loss}
        workers: {count: 4, minimum: 2, maximum: 6, respawns: 3, threads: 2, transport: zeromq, heartbeat_seconds: 0.5, grace_seconds: 7, timeouts: {join_seconds: 8, silence_seconds: 9, phase_seconds: 10}}
        audit: {rate: 0.5, minimum_steps: 3}
        collectives: {bucket_bytes: 1048576, dtype: bf16}
        security: {mode: curve, keys: ./keys, data: none}
        """

    @Test func writtenConfigurationsReadBackEqual() throws {
        let changed = try RunConfiguration.parse(Self.everythingChanged, file: "c.yaml")
        for configuration in [changed, RunConfiguration()] {
            for documented in [false, true] {
                let text = configuration.resolvedYAML(documented: documented)
                let again = try RunConfiguration.parse(text, file: "resolved.yaml")
                #expect(again == configuration)
                #expect(again.resolvedYAML(documented: documented) == text)
            }
        }
    }

    /// A field that the table forgot would keep its default in the file above, or be lost when written.
    @Test func theTableCoversEveryPropertyOnce() throws {
        var changed = try RunConfiguration.parse(Self.everythingChanged, file: "c.yaml")
        // Of the two that name weights a file may have one.
        changed.initial.from = "runs/first"
        for field in ConfigurationField.all {
            #expect(field.text(in: changed) != field.defaultText, "\(field.name) must differ from its default here")
        }
        #expect(leaves(of: RunConfiguration()) == ConfigurationField.all.filter { !$0.isDeclared }.count)
        #expect(Set(ConfigurationField.all.map(\.name)).count == ConfigurationField.all.count)
    }

    /// Counts the stored properties below the sections, but for what registries declare.
    private func leaves(of value: Any) -> Int {
        Mirror(reflecting: value).children.reduce(0) { count, child in
            if child.value is SettingValues { return count }
            let mirror = Mirror(reflecting: child.value)
            return count + (mirror.displayStyle == .struct && !mirror.children.isEmpty ? leaves(of: child.value) : 1)
        }
    }

    @Test func sectionsStandTogetherAndAreDescribed() {
        var seen: [String] = []
        for field in ConfigurationField.all {
            for depth in 1...max(1, field.sections.count) where !field.sections.isEmpty {
                let name = field.sections.prefix(depth).joined(separator: ".")
                #expect(ConfigurationField.sections[name] != nil, "\(name) has no description")
                if seen.last(where: { $0 == name || $0.hasPrefix(name + ".") }) == nil {
                    seen.append(name)
                } else {
                    let last = seen.last ?? ""
                    #expect(
                        last == name || last.hasPrefix(name + ".") || name.hasPrefix(last + "."),
                        "\(name) is continued after \(last)"
                    )
                }
            }
        }
        #expect(Set(seen) == Set(ConfigurationField.sections.keys))
    }

    @Test func defaultsPassTheirOwnChecks() throws {
        #expect(try RunConfiguration.parse(RunConfiguration().resolvedYAML(), file: "d.yaml") == RunConfiguration())
    }

    @Test func explanationsNameDefaultTypeAndRange() throws {
        let text = try #require(RunConfiguration.explain("optimizer", width: 80))
        #expect(text.hasPrefix("optimizer: How a step changes the weights.\n  optimizer.name = adamw\n"))
        #expect(text.contains("optimizer.learning_rate = 0.0003\n"))
        #expect(text.contains("a\n      number, above 0, up to 1000)"))
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 80 })
        #expect(RunConfiguration.explain("optimizer.betas")?.contains("optimizer.name") == false)
        #expect(RunConfiguration.explain("nothing") == nil)
        #expect(try #require(RunConfiguration.explain()).contains("collectives.bucket_bytes = 4194304"))
    }

    /// What the repository advises for a data set of real radiographs is what a run does of which nothing else is said.
    @Test func theDefaultsAreTheAdvisedConfiguration() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let advised = try RunConfiguration.load(path: root.appending(path: "configs/unet-resnet34-512.yaml").path())
        let own: Set = ["run.directory", "data.shards", "data.size", "schedule.warmup_steps"]
        for field in ConfigurationField.all where !own.contains(field.name) {
            #expect(field.text(in: advised) == field.defaultText, "\(field.name)")
        }
        #expect(advised.schedule.warmupSteps == .count(RunConfiguration().warmUpSteps(of: 6000)))
        #expect(RunConfiguration().data.size == 0)
    }

    @Test(arguments: [
        ("demo.yaml", 8), ("real.yaml", 8), ("bench/unet-resnet34-256.yaml", 8), ("unet-resnet34-512.yaml", 32),
    ])
    func theConfigurationsOfTheRepositoryAreGood(name: String, globalBatchSize: Int) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let configuration = try RunConfiguration.load(path: root.appending(path: "configs/\(name)").path())
        #expect(configuration.globalBatchSize == globalBatchSize)
    }
}

@Suite("Spelling")
struct SpellingTests {
    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("form", "from", 1), ("optimiser", "optimizer", 1),
    ])
    func editDistance(first: String, second: String, distance: Int) {
        #expect(Spelling.distance(first, second) == distance)
        #expect(Spelling.distance(second, first) == distance)
    }

    @Test func onlyNearWordsAreSuggested() {
        #expect(Spelling.nearest(to: "epoch", in: ["steps", "epochs"]) == "epochs")
        #expect(Spelling.nearest(to: "EPOCHS", in: ["steps", "epochs"]) == "epochs")
        #expect(Spelling.nearest(to: "banana", in: ["steps", "epochs"]) == nil)
        #expect(Spelling.nearest(to: "x", in: ["on"]) == nil)
    }
}
