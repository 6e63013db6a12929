package import Kernels

/// A weighted sum of terms on the outputs of a network, averaged over the samples of a microbatch.
///
/// Sums over pixels come from the kernels; everything else is computed in `Double` in the order of the terms.
package struct SegmentationLoss: Sendable {
    /// A term with its weight and the output that it takes.
    package struct Entry: Sendable {
        package var term: any LossTerm
        package var weight: Double
        /// `mask`, or the name of a head of the network.
        package var output: String

        package init(_ term: any LossTerm, weight: Double, output: String = SegmentationLoss.mask) {
            self.term = term
            self.weight = weight
            self.output = output
        }
    }

    /// The name of the output that every network has.
    package static let mask = "mask"
    /// No loss has more terms: their values travel with each step.
    package static let limit = 16

    package var entries: [Entry]

    package init(_ entries: [Entry]) { self.entries = entries }

    /// Over what one Dice coefficient is taken.
    package enum DiceScope: String, Hashable, Sendable, Codable {
        /// One for each image; the loss is the images' mean.
        case image
        /// One over all images of the microbatch ("batch Dice").
        case microbatch
    }

    /// crossEntropy · mean BCE + dice · Dice loss + focal · mean focal loss, all three named in metrics.
    package init(
        crossEntropy: Double = 1,
        dice: Double = 1,
        focal: Double = 0,
        focalGamma: Double = 2,
        diceScope: DiceScope = .image,
        numeratorSmoothing: Double = 1,
        denominatorSmoothing: Double = 1,
        squaredDenominator: Bool = false
    ) {
        entries = [
            Entry(CrossEntropyLoss(), weight: crossEntropy),
            Entry(
                DiceLoss(
                    isPerImage: diceScope == .image,
                    numeratorSmoothing: numeratorSmoothing,
                    denominatorSmoothing: denominatorSmoothing,
                    isSquared: squaredDenominator
                ),
                weight: dice
            ),
            Entry(FocalLoss(gamma: focalGamma), weight: focal),
        ]
    }

    /// The terms that take the output `output`.
    package func on(_ output: String) -> SegmentationLoss {
        SegmentationLoss(entries.filter { $0.output == output })
    }

    /// What is wrong with the numbers, or nil.
    package var defect: String? {
        let weights = entries.map(\.weight)
        if !weights.allSatisfy({ $0 >= 0 && $0.isFinite }) || weights.allSatisfy({ $0 == 0 }) {
            return "the weights of a loss must be finite, not negative and not all zero, found "
                + weights.map { "\($0)" }.joined(separator: ", ") + "."
        }
        if entries.count > Self.limit {
            return "a loss has \(Self.limit) terms at most, found \(entries.count)."
        }
        let gammas = Set(entries.compactMap(\.term.focalGamma))
        if gammas.count > 1 || !gammas.allSatisfy({ $0 >= 0 && $0.isFinite }) {
            return "the focal terms of a loss need one gamma that is not negative, found "
                + gammas.sorted().map { "\($0)" }.joined(separator: ", ") + "."
        }
        return nil
    }

    /// The terms' names in metrics: a term that stands twice has a number from the second time on.
    package var names: [String] {
        var counts: [String: Int] = [:]
        return entries.map { entry in
            let name = type(of: entry.term).name
            counts[name, default: 0] += 1
            let count = counts[name] ?? 1
            return count == 1 ? name : "\(name)_\(count)"
        }
    }

    /// The exponent of the kernel's focal sums.
    package var focalGamma: Float {
        for entry in entries { if let gamma = entry.term.focalGamma { return Float(gamma) } }
        return 2
    }

    /// The weighted total; `term` gets each term's unweighted value.
    package func value(_ batch: LossBatch, _ term: (_ position: Int, _ value: Double) -> Void = { _, _ in }) -> Double {
        var total = 0.0
        for position in entries.indices {
            let value = entries[position].term.value(batch)
            total += entries[position].weight * value
            term(position, value)
        }
        return total
    }

    /// The loss of one image outside of a program, as validation takes it.
    package func value(_ logits: TensorView, targets: TensorView, kernels: KernelTable) -> Double {
        precondition(logits.images == 1, "one image, not \(logits.images)")
        var sums = LossSums()
        kernels.lossSums(logits, targets, focalGamma, &sums)
        return withUnsafePointer(to: sums) { value(LossBatch(logits, targets: targets, sums: $0)) }
    }
}
