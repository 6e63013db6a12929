import Foundation
import Platform
package import Radiography
package import RunFolder
import Storage

/// The rule that `evaluate` found on a run's validation fold, as `rule.json` in the run's folder keeps it.
package struct SegmentationRule: Codable, Equatable, Sendable {
    /// The threshold, or nil for a triplet.
    package var threshold: Float?
    package var top: Float?
    package var area: Int?
    package var bottom: Float?
    /// Whether probabilities were the means over images and their mirror images.
    package var flip: Bool
    /// The file name and the steps of the checkpoint that it was searched with.
    package var checkpoint: String
    package var step: Int
    /// What it reached on the validation fold.
    package var meanDice: Double?

    enum CodingKeys: String, CodingKey {
        case threshold, top, area, bottom, flip, checkpoint, step
        case meanDice = "mean_dice"
    }

    package init(_ rule: MaskRule, flip: Bool, checkpoint: String, step: Int, meanDice: Double?) {
        switch rule {
        case .threshold(let value): threshold = value
        case .triplet(let top, let area, let bottom):
            self.top = top
            self.area = area
            self.bottom = bottom
        }
        self.flip = flip
        self.checkpoint = checkpoint
        self.step = step
        self.meanDice = meanDice
    }

    /// The rule; nil where the values make none.
    package var rule: MaskRule? {
        func isProbability(_ value: Float) -> Bool { value >= 0 && value <= 1 }
        switch (threshold, top, area, bottom) {
        case (let threshold?, nil, nil, nil) where isProbability(threshold): return .threshold(threshold)
        case (nil, let top?, let area?, let bottom?) where isProbability(top) && isProbability(bottom) && area >= 0:
            return .triplet(top: top, area: area, bottom: bottom)
        default: return nil
        }
    }

    /// Reads a run's rule; nil where there is none.
    ///
    /// Throws where there is one that cannot be used.
    package static func read(_ directory: RunDirectory) throws -> SegmentationRule? {
        guard FileSystem.exists(directory.rule) else { return nil }
        let bytes = try OpenFile(directory.rule, .read).readAll(limit: 1 << 16)
        guard let stored = try? JSONDecoder().decode(SegmentationRule.self, from: Data(bytes)), stored.rule != nil
        else {
            throw RunError.data(
                "\(directory.rule) holds no rule. Find one with `pleura evaluate \(directory.path)`, or give "
                    + "--threshold or --triplet."
            )
        }
        return stored
    }

    /// Throws where a rule that this program has not written stands in the run's folder: it is somebody's own.
    package static func requireOwn(_ directory: RunDirectory) throws {
        guard let obstacle = OutputOwnership.obstacle(directory.rule, .sealedJSON) else { return }
        throw OccupiedOutput(
            "The best rule cannot be saved with the run",
            [obstacle],
            advice: "Move the file away, and give the command again."
        )
    }

    package func write(_ directory: RunDirectory) throws {
        try Self.requireOwn(directory)

        try AtomicFile.write(try SealedJSON.encode(self), to: directory.rule)
        try RunManifest.note(FileSystem.name(of: directory.rule), in: directory)
    }
}

extension MaskRule {
    /// The rule as the option takes it that asks for it: `threshold 0.5`, `triplet 0.75,1000,0.3`.
    package var argument: String {
        switch self {
        case .threshold(let value): "threshold \(value)"
        case .triplet(let top, let area, let bottom): "triplet \(top),\(area),\(bottom)"
        }
    }

    /// The rule in words for people.
    package var words: String {
        switch self {
        case .threshold(let value): "threshold \(value)"
        case .triplet(let top, let area, let bottom):
            "triplet: at least \(area) pixels above \(top), then all above \(bottom)"
        }
    }
}
