package import Kernels

/// A weighted sum of segmentation losses on logits with one channel, averaged over the samples of a microbatch.
///
/// loss = crossEntropy · mean BCE + dice · mean Dice loss + focal · mean focal loss. Sums over pixels come from the
/// kernels; everything else is computed in `Double` in the order written here.
package struct SegmentationLoss: Hashable, Sendable, Codable {
    /// Over what one Dice coefficient is taken.
    package enum DiceScope: String, Hashable, Sendable, Codable {
        /// One for each image; the loss is the images' mean.
        case image
        /// One over all images of the microbatch ("batch Dice").
        case microbatch
    }

    package var crossEntropy: Double
    package var dice: Double
    package var focal: Double
    package var focalGamma: Double
    package var diceScope: DiceScope
    /// Dice loss = 1 - (2I + numeratorSmoothing) / (D + denominatorSmoothing).
    package var numeratorSmoothing: Double
    package var denominatorSmoothing: Double
    /// Whether D = Σp² + Σt² rather than Σp + Σt.
    package var squaredDenominator: Bool

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
        self.crossEntropy = crossEntropy
        self.dice = dice
        self.focal = focal
        self.focalGamma = focalGamma
        self.diceScope = diceScope
        self.numeratorSmoothing = numeratorSmoothing
        self.denominatorSmoothing = denominatorSmoothing
        self.squaredDenominator = squaredDenominator
    }

    /// The parts of a microbatch's loss, unweighted, and their weighted total.
    package struct Values: Hashable, Sendable {
        package var total = 0.0
        package var crossEntropy = 0.0
        package var dice = 0.0
        package var focal = 0.0
    }

    /// What is wrong with the numbers, or nil.
    package var defect: String? {
        if ![crossEntropy, dice, focal].allSatisfy({ $0 >= 0 && $0.isFinite }) || crossEntropy + dice + focal == 0 {
            return "the weights of a loss must be finite, not negative and not all zero, found \(crossEntropy), "
                + "\(dice), \(focal)."
        }
        if !(focalGamma >= 0 && focalGamma.isFinite) { return "the focal gamma must not be negative: \(focalGamma)." }
        if !(numeratorSmoothing >= 0 && denominatorSmoothing >= 0) {
            return "the smoothing of Dice must not be negative."
        }
        return nil
    }

    /// The losses of `images` images of `pixels` pixels each from their sums.
    package func values(_ sums: UnsafePointer<LossSums>, images: Int, pixels: Int) -> Values {
        var result = Values()
        let elements = Double(images) * Double(pixels)
        for n in 0..<images {
            result.crossEntropy += sums[n].crossEntropy
            result.focal += sums[n].focal
        }
        result.crossEntropy /= elements
        result.focal /= elements
        switch diceScope {
        case .image:
            for n in 0..<images { result.dice += diceTerms(sums[n]).loss }
            result.dice /= Double(images)
        case .microbatch:
            result.dice = diceTerms(Self.joined(sums, images: images)).loss
        }
        result.total = crossEntropy * result.crossEntropy + dice * result.dice + focal * result.focal
        return result
    }

    /// The coefficients of the gradient of `weight` · loss for each image.
    package func coefficients(
        _ sums: UnsafePointer<LossSums>,
        images: Int,
        pixels: Int,
        weight: Double,
        into coefficients: UnsafeMutablePointer<LossCoefficients>
    ) {
        let elements = Double(images) * Double(pixels)
        var shared = LossSums()
        if diceScope == .microbatch { shared = Self.joined(sums, images: images) }
        for n in 0..<images {
            let terms = diceTerms(diceScope == .image ? sums[n] : shared)
            let diceWeight = weight * dice / (diceScope == .image ? Double(images) : 1)
            // d(1 - U/D)/dx = -(2t/D - U/D² · dD/dp) · p(1 - p), dD/dp = 1, or 2p with the squared denominator.
            let ratio = terms.defined ? terms.numerator / (terms.denominator * terms.denominator) : 0
            var c = LossCoefficients()
            c.cross = Float(weight * crossEntropy / elements)
            c.focal = Float(weight * focal / elements)
            c.target = terms.defined ? Float(diceWeight * -2 / terms.denominator) : 0
            c.constant = squaredDenominator ? 0 : Float(diceWeight * ratio)
            c.probability = squaredDenominator ? Float(diceWeight * 2 * ratio) : 0
            coefficients[n] = c
        }
    }

    /// Without smoothing, an image with an empty mask and no probability has no Dice coefficient: its loss is 0.
    private func diceTerms(
        _ sums: LossSums
    ) -> (numerator: Double, denominator: Double, defined: Bool, loss: Double) {
        let numerator = 2 * sums.intersection + numeratorSmoothing
        let denominator =
            (squaredDenominator
                ? sums.squaredProbability + sums.squaredTarget : sums.probability + sums.target)
            + denominatorSmoothing
        let defined = denominator > 0
        return (numerator, denominator, defined, defined ? 1 - numerator / denominator : 0)
    }

    private static func joined(_ sums: UnsafePointer<LossSums>, images: Int) -> LossSums {
        var total = LossSums()
        for n in 0..<images {
            total.probability += sums[n].probability
            total.target += sums[n].target
            total.intersection += sums[n].intersection
            total.squaredProbability += sums[n].squaredProbability
            total.squaredTarget += sums[n].squaredTarget
        }
        return total
    }
}

/// The end of a training graph, without an output: compares logits with the microbatch's masks.
struct SegmentationLossHead: Operator {
    static let kind = "segmentation loss"

    var tail: TailNeed { .losses }

    var loss: SegmentationLoss

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if inputs[0].channels != 1 {
            throw ShapeDefect("the segmentation losses take logits with one channel, found \(inputs[0]).")
        }
        if let defect = loss.defect { throw ShapeDefect(defect) }
        return FeatureShape(height: 1, width: 1, channels: 1)
    }

    func forward(_ node: Node, in lowering: Lowering) {
        guard lowering.mode == .training, let tail = lowering.tail.losses[node.name] else { return }
        let logits = node.inputs[0]
        let sums = lowering.vector(lowering.images * MemoryLayout<LossSums>.stride / 4)
        let coefficients = lowering.vector(lowering.images * MemoryLayout<LossCoefficients>.stride / 4)
        lowering.save([coefficients], for: node)
        lowering.emit(
            LossValue(
                loss: loss,
                logits: logits.index,
                targets: lowering.targets,
                sums: sums,
                coefficients: coefficients,
                total: lowering.tail.total,
                parts: tail
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        lowering.contribute(to: node.inputs[0]) { destination in
            LossGradient(
                gamma: Float(loss.focalGamma),
                logits: node.inputs[0].index,
                targets: lowering.targets,
                coefficients: lowering.saved(for: node)[0],
                gradient: destination
            )
        }
    }
}

extension GraphBuilder {
    /// Adds a loss on `logits` against the microbatch's masks; the step's loss is the sum over all that were added.
    ///
    /// `name` names the loss's parts in metrics.
    package mutating func segmentationLoss(
        _ logits: Tensor,
        name: String = "loss",
        _ loss: SegmentationLoss
    ) throws(GraphError) {
        let output = shape(of: self.output ?? logits)
        if shape(of: logits) != output {
            throw GraphError(
                layer: name,
                problem: "a loss compares with masks of \(output), the shape of the first one, found "
                    + "\(shape(of: logits))."
            )
        }
        if self.output == nil { self.output = logits }
        _ = try apply(SegmentationLossHead(loss: loss), to: [logits], name: name)
    }
}

/// Sums, values and coefficients of a loss; writes the values to the tail of the step's sums.
struct LossValue: Instruction {
    var loss: SegmentationLoss
    var logits: Int
    var targets: Int
    var sums: Int
    var coefficients: Int
    /// Offsets in the tail.
    var total: Int
    var parts: Int

    var reads: [Int] { [logits, targets] }
    var writes: [Int] { [sums, coefficients] }

    func run(_ context: ExecutionContext) {
        let logits = context.view(logits)
        let sums = UnsafeMutableRawPointer(context.pointer(sums)).assumingMemoryBound(to: LossSums.self)
        let coefficients = UnsafeMutableRawPointer(context.pointer(coefficients))
            .assumingMemoryBound(to: LossCoefficients.self)
        context.kernels.lossSums(logits, context.view(targets), Float(loss.focalGamma), sums)
        let values = loss.values(sums, images: logits.images, pixels: logits.pixelsPerImage)
        loss.coefficients(
            sums,
            images: logits.images,
            pixels: logits.pixelsPerImage,
            weight: context.sampleWeight,
            into: coefficients
        )
        context.totalLoss += values.total
        context.storePair(context.totalLoss * context.sampleWeight, at: total)
        context.storePair(values.crossEntropy * context.sampleWeight, at: parts)
        context.storePair(values.dice * context.sampleWeight, at: parts + 2)
        context.storePair(values.focal * context.sampleWeight, at: parts + 4)
    }
}

struct LossGradient: Instruction {
    var gamma: Float
    var logits: Int
    var targets: Int
    var coefficients: Int
    var gradient: Int

    var reads: [Int] { [logits, targets, coefficients] }
    var writes: [Int] { [gradient] }

    func run(_ context: ExecutionContext) {
        let coefficients = UnsafeMutableRawPointer(context.pointer(coefficients))
            .assumingMemoryBound(to: LossCoefficients.self)
        context.kernels.lossGradient(
            context.view(logits),
            context.view(targets),
            gamma,
            coefficients,
            context.view(gradient)
        )
    }
}
