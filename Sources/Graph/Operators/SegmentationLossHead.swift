import Kernels
package import Losses

/// The end of a training graph, without an output: compares logits with what is known of the microbatch.
struct SegmentationLossHead: Operator {
    static let kind = "segmentation loss"

    var tail: TailNeed { .losses(loss.names) }

    var loss: SegmentationLoss
    var target = LossTarget.mask

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if inputs[0].channels != 1 {
            throw ShapeDefect("the segmentation losses take logits with one channel, found \(inputs[0]).")
        }
        if target == .presence, inputs[0].height != 1 || inputs[0].width != 1 {
            throw ShapeDefect("a loss on presence takes one logit an image, found \(inputs[0]).")
        }
        if let defect = loss.defect { throw ShapeDefect(defect) }
        return FeatureShape(height: 1, width: 1, channels: 1)
    }

    func forward(_ node: Node, in lowering: Lowering) {
        guard lowering.mode == .training, let parts = lowering.tail.losses[node.name] else { return }
        let logits = node.inputs[0]
        var targets = lowering.targets
        if target == .presence {
            targets = lowering.temporary(like: logits.index)
            lowering.emit(MaskPresence(masks: lowering.targets, presence: targets))
        }
        let sums = lowering.vector(lowering.images * MemoryLayout<LossSums>.stride / 4)
        let coefficients = lowering.vector(lowering.images * MemoryLayout<LossCoefficients>.stride / 4)
        lowering.save([targets, sums, coefficients], for: node)
        lowering.emit(
            LossValue(
                loss: loss,
                logits: logits.index,
                targets: targets,
                sums: sums,
                coefficients: coefficients,
                total: lowering.tail.total,
                parts: parts
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        lowering.contribute(to: node.inputs[0]) { destination in
            let saved = lowering.saved(for: node)
            let visitsPixels = loss.entries.contains { $0.term.visitsPixels && $0.weight != 0 }
            return LossGradient(
                loss: loss,
                logits: node.inputs[0].index,
                targets: saved[0],
                sums: visitsPixels ? saved[1] : nil,
                coefficients: saved[2],
                gradient: destination
            )
        }
    }
}

/// An output of a network that a loss can take.
package struct LossInput {
    package var name: String
    package var logits: Tensor
    package var target: LossTarget

    package init(_ name: String, _ logits: Tensor, _ target: LossTarget) {
        self.name = name
        self.logits = logits
        self.target = target
    }
}

extension GraphBuilder {
    /// Adds a loss on `logits` against the microbatch's masks, or against whether they have a pixel; the step's loss is the
    /// sum over all that were added.
    ///
    /// `name` names the loss's parts in metrics.
    package mutating func segmentationLoss(
        _ logits: Tensor,
        name: String = "loss",
        target: LossTarget = .mask,
        _ loss: SegmentationLoss
    ) throws(GraphError) {
        if target == .mask {
            let output = shape(of: self.output ?? logits)
            if shape(of: logits) != output {
                throw GraphError(
                    layer: name,
                    problem: "a loss compares with masks of \(output), the shape of the first one, found "
                        + "\(shape(of: logits))."
                )
            }
            if self.output == nil { self.output = logits }
        }
        _ = try apply(SegmentationLossHead(loss: loss, target: target), to: [logits], name: name)
    }

    /// Adds the terms of `loss`, each on the output of `outputs` that it takes; the first one is the mask.
    package mutating func segmentationLoss(
        on outputs: [LossInput],
        _ loss: SegmentationLoss
    ) throws(GraphError) {
        let known = outputs.map(\.name)
        if let stranger = loss.entries.first(where: { !known.contains($0.output) }) {
            throw GraphError(
                layer: "loss",
                problem: "the term \(type(of: stranger.term).name) takes the output \(stranger.output), and this "
                    + "network has \(known.joined(separator: ", "))."
            )
        }
        for output in outputs {
            let own = loss.on(output.name)
            if own.entries.isEmpty { continue }
            let name = output.name == SegmentationLoss.mask ? "loss" : "loss.\(output.name)"
            try segmentationLoss(output.logits, name: name, target: output.target, own)
        }
    }
}

/// presence[n] ← 1 where a pixel of mask n is not 0, else 0.
struct MaskPresence: Instruction {
    var masks: Int
    var presence: Int

    var reads: [Int] { [masks] }
    var writes: [Int] { [presence] }

    func run(_ context: ExecutionContext) {
        let masks = context.view(masks)
        let presence = context.view(presence)
        let count = masks.pixelsPerImage
        for n in 0..<masks.images {
            let isPresent = (n * count..<(n + 1) * count).contains { masks[pixel: $0] != 0 }
            presence[pixel: n] = isPresent ? 1 : 0
        }
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
        let sums = UnsafeMutableRawPointer(context.pointer(sums)).assumingMemoryBound(to: LossSums.self)
        let coefficients = UnsafeMutableRawPointer(context.pointer(coefficients))
            .assumingMemoryBound(to: LossCoefficients.self)
        let (logits, targets) = (context.view(logits), context.view(targets))
        context.kernels.lossSums(logits, targets, loss.focalGamma, sums)
        let batch = LossBatch(logits, targets: targets, sums: sums)
        for image in 0..<batch.images {
            var slopes = LossSlopes()
            for entry in loss.entries {
                entry.term.addGradient(context.sampleWeight * entry.weight, image: image, batch, to: &slopes)
            }
            coefficients[image] = slopes.rounded
        }
        let weight = context.sampleWeight
        context.totalLoss += loss.value(batch) { position, value in
            context.storePair(value * weight, at: parts + 2 * position)
        }
        context.storePair(context.totalLoss * weight, at: total)
    }
}

struct LossGradient: Instruction {
    var loss: SegmentationLoss
    var logits: Int
    var targets: Int
    /// Nil where no term visits pixels.
    var sums: Int?
    var coefficients: Int
    var gradient: Int

    var reads: [Int] { [logits, targets, coefficients] + (sums.map { [$0] } ?? []) }
    var writes: [Int] { [gradient] }

    func run(_ context: ExecutionContext) {
        let coefficients = UnsafeMutableRawPointer(context.pointer(coefficients))
            .assumingMemoryBound(to: LossCoefficients.self)
        let (logits, targets, gradient) = (context.view(logits), context.view(targets), context.view(gradient))
        context.kernels.lossGradient(logits, targets, loss.focalGamma, coefficients, gradient)
        guard let sums else { return }
        let batch = LossBatch(
            logits,
            targets: targets,
            sums: UnsafeMutableRawPointer(context.pointer(sums)).assumingMemoryBound(to: LossSums.self)
        )
        for entry in loss.entries where entry.term.visitsPixels && entry.weight != 0 {
            entry.term.addPixelGradient(context.sampleWeight * entry.weight, batch, to: gradient)
        }
    }
}
