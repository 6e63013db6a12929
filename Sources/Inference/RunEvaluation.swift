import Configuration
import ModelSetup
import Platform
package import Radiography
import RunFolder
import Sampling
package import Storage

/// A network's scores on a validation fold, and the search for the rule that makes masks of its probabilities.
package struct RunEvaluation: Sendable {
    /// The figures of a plain threshold of 0.5.
    package let half: Evaluation
    /// The rule with the highest mean Dice, or the one that was given, and its figures.
    package let rule: MaskRule
    package let figures: Evaluation
    /// The images in their order, under `rule`.
    package let images: [ScoredImage]
    package let seconds: Double

    /// The rules that are tried, 0.5 first: it stays where none is better.
    ///
    /// The grid of triplets lies about the ones that the challenge's winner used.
    package static var rules: [MaskRule] {
        var rules: [MaskRule] = [.threshold(0.5)]
        for percent in stride(from: 5, through: 95, by: 5) where percent != 50 {
            rules.append(.threshold(Float(percent) / 100))
        }
        for top: Float in [0.5, 0.6, 0.7, 0.75, 0.8, 0.9] {
            for area in [250, 500, 1000, 1500, 2000, 3000] {
                for bottom: Float in [0.2, 0.25, 0.3, 0.4, 0.5] {
                    rules.append(.triplet(top: top, area: area, bottom: bottom))
                }
            }
        }
        return rules
    }

    /// Scores the samples, in their order, under `rule`, or under the best that a search finds. There is at least one.
    package init(
        _ pool: InferencePool,
        dataset: Dataset,
        samples: [Int],
        flips: Bool,
        rule: MaskRule? = nil,
        progress: (Int) -> Void = { _ in }
    ) throws {
        let start = ContinuousClock.now
        let search = RuleSearch(rules: rule.map { [.threshold(0.5), $0] } ?? Self.rules)
        let size = pool.model.size
        let found = try pool.map(samples.count, progress: progress) { index, engine in
            let image = try dataset.image(samples[index])
            let map = engine.probabilities(of: image, side: dataset.size, flips: flips)
            let counts = search.counts(of: map, size: size, truth: dataset.mask(of: samples[index]))
            return (counts: counts, probability: map.reduce(0) { max($0, $1) })
        }
        func images(under rule: MaskRule) -> [ScoredImage] {
            zip(samples, found).map { sample, found in
                ScoredImage(
                    id: dataset.id(of: sample),
                    patient: dataset.metadata(of: sample).patient,
                    counts: search.counts(of: found.counts, under: rule),
                    probability: found.probability
                )
            }
        }
        self.rule = rule ?? search.best(of: found.map(\.counts)).rule
        half = Evaluation(images(under: .threshold(0.5)))
        self.images = images(under: self.rule)
        figures = Evaluation(self.images)
        seconds = (ContinuousClock.now - start).seconds
    }

    /// Opens other labelled shards than those of the validation fold, all of whose samples are scored, and says what
    /// speaks against the score; shards that the network was trained on give their validation fold.
    ///
    /// Throws where the shards have no labels, or are the run's own and have no validation fold.
    package static func samples(
        of model: InferenceModel,
        on data: String
    ) throws -> (dataset: Dataset, samples: [Int], warnings: [String]) {
        let dataset = try Dataset.open(data)
        guard dataset.manifest.schema.isLabelled else {
            throw RunError.data(
                "The shards in \(data) have no labels, so there is nothing to compare with. Predict them with `pleura "
                    + "predict RUN --input \(data)`."
            )
        }
        if dataset.manifest.datasetDigest.description == model.checkpoint.trainer.datasetDigest {
            let (dataset, samples) = try Self.samples(of: model, shards: data)
            let sentence = "These are the shards that the run was trained on: their validation fold is scored."
            return (dataset, samples, [sentence])
        }
        try requireChallengeLabels(dataset, data)
        return (dataset, Array(0..<dataset.count), knownSamples(of: model, in: dataset).map { [$0] } ?? [])
    }

    /// Says how many samples, or patients of them, are among those that the network was trained on, where these can be
    /// found; nil where none are.
    private static func knownSamples(of model: InferenceModel, in dataset: Dataset) -> String? {
        guard let own = try? Dataset.open(model.configuration.data.shards) else { return nil }
        var ids: Set<String> = []
        var patients: Set<String> = []
        for sample in 0..<own.count {
            ids.insert(own.id(of: sample))
            patients.insert(own.metadata(of: sample).patient)
        }
        patients.remove("")
        let known = (0..<dataset.count).count {
            ids.contains(dataset.id(of: $0)) || patients.contains(dataset.metadata(of: $0).patient)
        }
        guard known > 0 else { return nil }
        return
            "\(known) of \(dataset.count) radiographs are, or are of patients who are, in the shards that the run was "
            + "trained with (\(own.directory)): the score is better than it is on others."
    }

    private static func requireChallengeLabels(_ dataset: Dataset, _ folder: String) throws {
        guard dataset.labelSize == RunLengthMask.challengeSide else {
            throw RunError.data(
                "The labels in \(folder) are \(dataset.labelSize) pixels wide; scores are taken at "
                    + "\(RunLengthMask.challengeSide)."
            )
        }
    }

    /// Opens the data set that a network was trained on and finds the validation fold's samples.
    ///
    /// `shards` goes before the folder that the configuration names. Throws where it is another data set, or has no
    /// validation fold.
    package static func samples(
        of model: InferenceModel,
        shards: String? = nil
    ) throws -> (dataset: Dataset, samples: [Int]) {
        var configuration = model.configuration
        if let shards { configuration.data.shards = shards }
        let folder = configuration.data.shards
        let dataset = try Dataset.open(folder)
        let digest = dataset.manifest.datasetDigest.description
        guard digest == model.checkpoint.trainer.datasetDigest else {
            throw RunError.data(
                "The checkpoint \(model.checkpoint.path) was trained on the data set "
                    + "\(model.checkpoint.trainer.datasetDigest); \(folder) has \(digest). Give the folder with the "
                    + "same shards, or other labelled ones with --data."
            )
        }
        try requireChallengeLabels(dataset, folder)
        return (dataset, try RunSetup(configuration, dataset: dataset).folds.validation)
    }
}

extension Dataset {
    /// A sample's image, row by row.
    func image(_ sample: Int) throws -> [UInt8] {
        var pixels = [UInt8](repeating: 0, count: size * size)
        try pixels.withUnsafeMutableBytes { try readImage(sample, into: $0) }
        return pixels
    }

    /// A sample's true mask at full resolution.
    func mask(of sample: Int) -> RunLengthMask {
        RunLengthMask(
            runs: runs(of: sample).map { RunLengthMask.Run(start: $0.start, length: $0.length) },
            width: labelSize,
            height: labelSize
        )
    }
}
