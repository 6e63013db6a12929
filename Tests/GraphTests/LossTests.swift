import Graph
import Kernels
import Losses
import TestSupport
import Testing

/// Losses of several terms, on several outputs.
@Suite struct LossTests {
    private let shape = FeatureShape(height: 5, width: 4, channels: 2)

    /// A head of one convolution, and one that says whether there is a mask.
    private func graph(_ entries: [SegmentationLoss.Entry]) throws -> Graph {
        var b = try GraphBuilder(input: shape)
        let mask = try b.convolution(b.input, name: "head", outputChannels: 1, kernel: 1, bias: true)
        let pooled = try b.globalAveragePool(b.input, name: "pool")
        let presence = try b.linear(pooled, name: "presence", outputChannels: 1)
        try b.segmentationLoss(
            on: [LossInput("mask", mask, .mask), LossInput("presence", presence, .presence)],
            SegmentationLoss(entries)
        )
        return try b.finish(output: mask)
    }

    @Test func `terms name their parts and add up`() throws {
        let entries = [
            term(DiceLoss.self), term(DiceLoss.self, ["per_image": 1], weight: 2),
            term(ClampedCrossEntropyLoss.self, weight: 0.25), term(DiceLoss.self, ["squared": 1], weight: 0),
        ]
        let rig = try Rig(graph(entries), images: 3)
        rig.train(randomValues(120, seed: 1), randomMask(60, seed: 2), sampleWeight: 0.5)
        let losses = rig.layout.lossValues(rig.sums.base)
        #expect(
            losses.map(\.name) == [
                "loss", "loss.dice", "loss.dice_2", "loss.cross_entropy_clamped", "loss.dice_3",
            ]
        )
        let total = losses[1].value + 2 * losses[2].value + 0.25 * losses[3].value
        #expect(abs(losses[0].value - total) < 1e-7 && total > 0.1)
        // A term without weight is only told.
        #expect(losses[4].value > 0.1)
        // Nothing reads the other output.
        #expect(rig.spec("presence.weight")?.isTrained == false)
    }

    /// With weights of 0 every logit is the bias, so that values and gradients are known.
    @Test(arguments: [Float(0), 0.75, -2])
    func `a head learns whether there is a mask`(bias: Float) throws {
        let entries = [
            SegmentationLoss.Entry(CrossEntropyLoss(), weight: 1),
            SegmentationLoss.Entry(CrossEntropyLoss(), weight: 3, output: "presence"),
        ]
        for kernels in tables {
            let rig = try Rig(graph(entries), images: 4, kernels: kernels)
            for parameter in rig.layout.parameters {
                let value = parameter.name == "presence.bias" ? bias : 0
                let values = [Float](repeating: value, count: parameter.elementCount)
                _ = rig.layout.import(values, as: parameter, into: rig.weights.base)
            }
            // The last pixel of the second image and the first of the fourth: one of four is positive, and another.
            var masks = [Float](repeating: 0, count: 80)
            (masks[39], masks[60]) = (1, 0.25)
            rig.poisonFreedMemory()
            rig.train(randomValues(160, seed: 1), masks)
            let losses = rig.layout.lossValues(rig.sums.base)
            #expect(losses.map(\.name) == ["loss", "loss.cross_entropy", "loss.presence.cross_entropy"])
            let expected = (ScalarMath.softplus(bias) + ScalarMath.softplus(-bias)) / 2
            #expect(abs(Float(losses[2].value) - expected) < 1e-6)
            #expect(abs(losses[0].value - losses[1].value - 3 * losses[2].value) < 1e-6)
            let parameter = try #require(rig.spec("presence.bias"))
            #expect(abs(rig.gradient(parameter)[0] - 3 * (ScalarMath.sigmoid(bias) - 0.5)) < 1e-6)
            #expect(areFinite(rig.sums.values))
        }
    }

    @Test func `outputs that a network has not are refused by name`() throws {
        let entry = SegmentationLoss.Entry(DiceLoss(LossOptions(DiceLoss.self)), weight: 1, output: "presense")
        let error = #expect(throws: GraphError.self) { _ = try graph([entry]) }
        #expect(error?.description.contains("takes the output presense, and this network has mask, presence") == true)
        // A loss on presence takes one logit an image.
        var b = try GraphBuilder(input: shape)
        let logits = try b.convolution(b.input, name: "head", outputChannels: 1, kernel: 1)
        #expect(throws: GraphError.self) {
            try b.segmentationLoss(logits, target: .presence, SegmentationLoss())
        }
    }

    @Test func `a logit that is no number is a loss that is none`() throws {
        for family in lossTerms {
            let rig = try Rig(graph([term(family)]), images: 2)
            var input = randomValues(80, seed: 1)
            input[11] = .nan
            rig.train(input, randomMask(40, seed: 2))
            #expect(!rig.loss.isFinite, "\(family.name)")
        }
    }

    @Test func `empty masks are no loss of Dice on the others`() throws {
        let rig = try Rig(graph([term(NonEmptyDiceLoss.self)]), images: 2)
        rig.train(randomValues(80, seed: 1), [Float](repeating: 0, count: 40))
        #expect(rig.loss == 0 && rig.sums.values[..<rig.layout.trainedCount].allSatisfy { $0 == 0 })
    }

    @Test func `every term is tested against PyTorch`() {
        let tested = operatorCases.flatMap { $0.loss.entries.filter { $0.weight > 0 }.map { type(of: $0.term).name } }
        #expect(Set(tested) == Set(lossTerms.map { $0.name }))
    }

    /// One image outside of a program, as validation sees it.
    @Test func `a loss of one image is the program's`() throws {
        let entries = [term(ClampedCrossEntropyLoss.self, weight: 3), term(DiceLoss.self), term(FocalLoss.self)]
        let rig = try Rig(graph(entries), images: 1)
        let (input, masks) = (randomValues(40, seed: 1), randomMask(20, seed: 2))
        rig.train(input, masks)
        let inference = try Rig(
            graph(entries),
            images: 1,
            mode: .inference(probabilities: false),
            layout: rig.layout
        )
        inference.weights.set(rig.weights.values)
        let (logits, targets) = (AlignedBuffer(count: 20), AlignedBuffer(count: 20))
        logits.set(inference.infer(input))
        targets.set(masks)
        func view(_ buffer: AlignedBuffer) -> TensorView {
            TensorView(buffer.base, images: 1, height: 5, width: 4, channels: 1)
        }
        for kernels in tables {
            let value = SegmentationLoss(entries).value(view(logits), targets: view(targets), kernels: kernels)
            #expect(abs(value - rig.loss) < 1e-6)
        }
    }
}
