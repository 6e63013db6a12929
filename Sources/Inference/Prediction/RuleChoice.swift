import Configuration
import Platform
package import Radiography
import RunFolder
import Storage

/// Which rule makes the masks of a prediction, and whether it fits the checkpoint.
package struct RuleChoice: Sendable, Equatable {
    package let rule: MaskRule
    /// Whether probabilities are the means over images and their mirror images.
    package let flips: Bool
    /// Which checkpoint is used with which rule, in one sentence.
    package let sentence: String
    /// What does not fit, as sentences.
    package let warnings: [String]

    /// Chooses `given`, a rule of the command line, or else the rule `stored` with the run, or else
    /// `validation.threshold`; mirror images are taken as `flips` says, or else as the stored rule was found.
    package init(_ choice: CheckpointChoice, stored: SegmentationRule?, given: MaskRule?, flips: Bool?) {
        let model = choice.model
        let used = given == nil ? stored : nil
        let (step, file) = (model.step, model.checkpoint.path)
        rule = given ?? stored?.rule ?? .threshold(Float(model.configuration.validation.threshold))
        self.flips = flips ?? used?.flip ?? true
        var warnings: [String] = []
        let origin: String
        if given != nil {
            origin = "the rule of the command line"
        } else if let used, let directory = choice.directory {
            let fits = used.step == step && used.checkpoint == FileSystem.name(of: file)
            origin = fits ? "the rule that was found with it" : "the rule in \(directory.rule)"
            let search = "`pleura evaluate \(directory.path)` finds one for it"
            if !fits {
                warnings.append(
                    "The rule was found with another checkpoint, \(used.checkpoint), and may not fit this one; \(search)."
                )
            } else if let newest = choice.newestStep, newest > step {
                warnings.append(
                    "There is a newer checkpoint, of step \(newest): --newest uses it, and \(search)."
                )
            }
            if used.flip != self.flips {
                warnings.append(
                    "The rule was found \(used.flip ? "with" : "without") mirror images (--flip), unlike here."
                )
            }
        } else {
            origin = "validation.threshold of the run"
        }
        self.warnings = warnings
        sentence =
            "Predicting with \(file) (step \(step)\(model.usesAverage ? ", averaged weights" : "")) and \(origin): "
            + "\(rule.words)."
    }
}
