import Configuration
import ModelSetup
import Platform
package import Radiography
import RunFolder
import Sampling
package import Storage

/// A network's scores on a validation fold, and the search for the rule that makes masks of its probabilities.
package struct RunEvaluation: Sendable {
    /// The score of a plain threshold of 0.5.
    package let half: DiceScore
    /// The rule with the highest mean Dice, and its score.
    package let best: MaskRule
    package let bestScore: DiceScore
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

    /// Scores the samples, in their order. There is at least one.
    package init(
        _ pool: InferencePool,
        dataset: Dataset,
        samples: [Int],
        flips: Bool,
        progress: (Int) -> Void = { _ in }
    ) throws {
        let start = ContinuousClock.now
        let search = RuleSearch(rules: Self.rules)
        let size = pool.model.size
        let counts = try pool.map(samples.count, progress: progress) { index, engine in
            let image = try dataset.image(samples[index])
            return search.counts(
                of: engine.probabilities(of: image, side: dataset.size, flips: flips),
                size: size,
                truth: dataset.mask(of: samples[index])
            )
        }
        let outcome = search.best(of: counts)
        half = outcome.scores[0]
        best = outcome.rule
        bestScore = outcome.score
        seconds = (ContinuousClock.now - start).seconds
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
                    + "same shards."
            )
        }
        guard dataset.labelSize == RunLengthMask.challengeSide else {
            throw RunError.data(
                "The labels in \(folder) are \(dataset.labelSize) pixels wide; scores are taken at "
                    + "\(RunLengthMask.challengeSide)."
            )
        }
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
