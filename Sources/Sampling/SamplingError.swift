package import Diagnostics

/// Why no epochs can be made of the given samples.
package enum SamplingError: ReportableError, Equatable {
    /// There is nothing to train on.
    case noSamples
    /// The policy needs positives and there is none.
    case noPositives(samples: Int)
    /// The policy draws negatives and there is none.
    case noNegatives(samples: Int)
    /// The shares of positives make no sense; the sentence says why.
    case badShare(String)
    /// More samples than positions can be numbered.
    case tooManySamples(Int)
    /// A fold was asked for that no sample has.
    case noSuchFold(asked: Int, present: [Int])
    /// The folds leave nothing to train on or nothing to validate on.
    case emptySelection(String)

    package var description: String {
        switch self {
        case .noSamples:
            "Expected training samples, found none; check the folds and the data set."
        case .noPositives(let samples):
            "The sampler takes positives and negatives, but none of the \(samples) training samples is positive; use the "
                + "policy that takes all samples, or other folds."
        case .noNegatives(let samples):
            "The sampler draws negatives, but all \(samples) training samples are positive; use the policy that takes all "
                + "samples, or positives with a share of 1."
        case .badShare(let sentence):
            "The sampler's configuration is wrong: \(sentence)."
        case .tooManySamples(let count):
            "An epoch of \(count) samples is too long; at most \(UInt32.max) can be numbered."
        case .noSuchFold(let asked, let present):
            "Fold \(asked) was asked for, but the data set has the folds \(present.map(String.init).joined(separator: ", "))."
        case .emptySelection(let sentence):
            "The folds leave no samples: \(sentence)."
        }
    }

    package var exitStatus: ExitStatus { .badConfiguration }
}
