/// Which samples an epoch is made of.
package enum SamplingPolicy: Hashable, Sendable {
    /// Every training sample once.
    case all
    /// Every positive once, and so many negatives, drawn with replacement, that positives have the given share.
    case positives(PositiveShare)
}

/// The share of positives in an epoch: constant, or linear in the epoch.
package struct PositiveShare: Hashable, Sendable {
    /// The share in epoch 0, in 0 < share ≤ 1.
    package let first: Double
    /// The share from epoch `epochs` on, in 0 < share ≤ 1.
    package let last: Double
    /// The number of epochs over which the share moves from `first` to `last`.
    package let epochs: Int

    /// The same share in every epoch.
    package static func constant(_ share: Double) -> PositiveShare {
        PositiveShare(first: share, last: share, epochs: 1)
    }

    /// A share that moves from `first` in epoch 0 to `last` in epoch `epochs`, and stays there.
    package static func linear(from first: Double, to last: Double, over epochs: Int) -> PositiveShare {
        PositiveShare(first: first, last: last, epochs: epochs)
    }

    /// The share of positives in `epoch`.
    package func share(in epoch: Int) -> Double {
        first == last || epoch >= epochs ? last : first - (first - last) * Double(epoch) / Double(epochs)
    }

    /// The negatives that go with `positives` positives in `epoch`: ⌊positives · (1 - p) / p⌋.
    ///
    /// Evaluated from left to right in `Double`, as the first place's sampler does, so counts agree with it.
    package func negatives(for positives: Int, in epoch: Int) -> Int {
        let p = share(in: epoch)
        return Int(Double(positives) * (1 - p) / p)
    }

    /// What is wrong with the shares, or nil.
    package var defect: String? {
        for share in [first, last] where !(share >= 0.001 && share <= 1) {
            return "a share of positives of \(share) is not in 0.001...1"
        }
        return epochs < 1 ? "a share of positives cannot move over \(epochs) epochs" : nil
    }
}
