import Graph
import Kernels
import Losses
import TestSupport
import Testing

/// A U-Net in miniature: skips, residuals, a transposed convolution, a tensor in two concatenations.
private func miniature(dropout: Bool = true, scale: Int = 1) throws -> Graph {
    var b = try GraphBuilder(input: FeatureShape(height: 8 * scale, width: 12 * scale, channels: 1))
    func block(_ x: Tensor, _ name: String, _ channels: Int) throws -> Tensor {
        let y = try b.convolution(x, name: "\(name).conv", outputChannels: channels, kernel: 3)
        return try b.relu(try b.batchNormalization(y, name: "\(name).bn"), name: "\(name).relu")
    }
    let top = try block(b.input, "a", 5)
    var x = try b.maxPool(top, name: "pool", size: 2)
    let middle = try block(x, "b", 7)
    let inner = try b.convolution(middle, name: "c.conv", outputChannels: 7, kernel: 3)
    let sum = try b.add(try b.batchNormalization(inner, name: "c.bn"), middle, name: "c.add")
    x = try b.relu(sum, name: "c.relu")
    if dropout { x = try b.dropout(x, name: "dropout", probability: 0.25) }
    let up = try b.transposedConvolution(x, name: "up", outputChannels: 4)
    let first = try b.concatenate([up, top], name: "join 1")
    x = try block(first, "d", 6)
    let wide = try b.upsampleBilinear(middle, name: "wide", height: 8 * scale, width: 12 * scale)
    x = try b.concatenate([x, top, wide], name: "join 2")
    x = try block(x, "e", 6)
    let gate = try b.sigmoid(x, name: "gate")
    let logits = try b.convolution(
        try b.add(gate, x, name: "f"),
        name: "head",
        outputChannels: 1,
        kernel: 1,
        bias: true
    )
    try b.segmentationLoss(logits, SegmentationLoss())
    return try b.finish()
}

/// Residual blocks, one after the other.
private func deep() throws -> Graph {
    var b = try GraphBuilder(input: FeatureShape(height: 16, width: 16, channels: 4))
    var x = b.input
    for block in 0..<8 {
        var y = x
        for half in 1...2 {
            y = try b.convolution(y, name: "\(block).conv\(half)", outputChannels: 4, kernel: 3)
            y = try b.batchNormalization(y, name: "\(block).bn\(half)")
            if half == 1 { y = try b.relu(y, name: "\(block).relu\(half)") }
        }
        x = try b.relu(try b.add(y, x, name: "\(block).add"), name: "\(block).relu")
    }
    try b.segmentationLoss(try b.convolution(x, name: "head", outputChannels: 1, kernel: 1), SegmentationLoss())
    return try b.finish()
}

@Suite struct MemoryTests {
    private let input = randomValues(2 * 96, seed: 3)
    private let targets = randomMask(2 * 96, seed: 4)

    @Test(arguments: [ProgramMode.training, .inference(probabilities: true)])
    func `blocks in use at once do not overlap`(_ mode: ProgramMode) throws {
        let rig = try Rig(miniature(), images: 2, mode: mode)
        let blocks = rig.program.blocks
        for (index, a) in blocks.enumerated() {
            #expect(a.offset % 16 == 0 && (a.offset + a.count) * 4 <= rig.program.arenaBytes)
            for b in blocks[..<index] where a.uses.contains(where: { own in b.uses.contains { $0.overlaps(own) } }) {
                #expect(a.offset + a.count <= b.offset || b.offset + b.count <= a.offset)
            }
        }
        #expect(rig.program.peakBytes <= rig.program.arenaBytes)
        #expect(rig.program.arenaBytes < rig.program.peakBytes * 5 / 4, "the plan wastes memory")
    }

    @Test func `freed memory is never read`() throws {
        for kernels in tables {
            let plain = try Rig(miniature(), images: 2, kernels: kernels, options: .init(sharesMemory: false))
            plain.train(input, targets)
            let poisoned = try Rig(miniature(), images: 2, kernels: kernels)
            poisoned.poisonFreedMemory()
            poisoned.train(input, targets)
            #expect(areFinite(poisoned.sums.values))
            #expect(poisoned.sums.values == plain.sums.values)
            // A second run in the poisoned arena gives the same.
            poisoned.train(input, targets)
            #expect(poisoned.sums.values == plain.sums.values)
        }
    }

    @Test func `sharing memory moves less and needs less`() throws {
        // Large enough for the feature maps to outweigh the scratch memory of convolutions.
        let plain = try Rig(miniature(scale: 4), images: 2, options: .init(sharesMemory: false, memory: .keep))
        let shared = try Rig(miniature(scale: 4), images: 2, options: .init(memory: .keep))
        #expect(shared.program.arenaBytes < plain.program.arenaBytes)
        let copies = shared.program.instructions.filter { $0.kind == "concatenation" && $0.phase == .forward }
        // `top` stands in two concatenations: one of them is a copy.
        #expect(copies.count == 1)
    }

    @Test func `fusion does not change a bit`() throws {
        for kernels in tables {
            let fused = try Rig(miniature(), images: 2, kernels: kernels)
            let separate = try Rig(
                miniature(),
                images: 2,
                kernels: kernels,
                layout: fused.layout,
                options: .init(fuses: false)
            )
            #expect(fused.program.instructions.count < separate.program.instructions.count)
            fused.train(input, targets)
            separate.train(input, targets)
            #expect(fused.sums.values == separate.sums.values, "\(kernels.name)")
        }
    }

    @Test func `what is computed once more has the same bits`() throws {
        for kernels in tables {
            let keeping = try Rig(miniature(), images: 2, kernels: kernels, options: .init(memory: .keep))
            keeping.train(input, targets)
            for policy in [MemoryPolicy.lean, .recompute] {
                let rig = try Rig(miniature(), images: 2, kernels: kernels, options: .init(memory: policy))
                rig.poisonFreedMemory()
                rig.train(input, targets)
                #expect(rig.sums.values == keeping.sums.values, "\(kernels.name), \(policy)")
                #expect(rig.program.flops == keeping.program.flops)
            }
        }
    }

    @Test(arguments: [true, false])
    func `each policy needs less memory than the one before`(_ sharesMemory: Bool) throws {
        let programs = try MemoryPolicy.allCases.map { policy in
            try Rig(deep(), images: 2, options: .init(sharesMemory: sharesMemory, memory: policy)).program
        }
        #expect(programs[1].peakBytes < programs[0].peakBytes)
        #expect(programs[2].peakBytes < programs[1].peakBytes)
        #expect(programs.map { $0.recomputedFlops > 0 } == [false, false, true])
        // Memory-bound instructions only, or at most one forward pass more.
        #expect(programs[2].recomputedFlops < programs[2].flops * 2 / 5)
    }

    @Test func `kernel tables give the same bits`() throws {
        let runs = try tables.map { kernels in
            let rig = try Rig(miniature(), images: 2, kernels: kernels)
            rig.train(input, targets)
            return rig.sums.values
        }
        #expect(runs.allSatisfy { $0 == runs[0] })
    }

    @Test func `inference shares its memory safely`() throws {
        for kernels in tables {
            let mode = ProgramMode.inference(probabilities: true)
            let plain = try Rig(
                miniature(),
                images: 2,
                mode: mode,
                kernels: kernels,
                options: .init(sharesMemory: false)
            )
            let shared = try Rig(miniature(), images: 2, mode: mode, kernels: kernels)
            shared.poisonFreedMemory()
            let output = shared.infer(input)
            let expected = plain.infer(input)
            #expect(output == expected)
            #expect(output.allSatisfy { $0 > 0 && $0 < 1 })
            #expect(shared.program.arenaBytes < plain.program.arenaBytes)
        }
    }

    @Test func `inference needs less memory than training`() throws {
        let training = try Rig(miniature(), images: 2)
        let inference = try Rig(miniature(), images: 2, mode: .inference(probabilities: false))
        #expect(inference.program.arenaBytes * 2 < training.program.arenaBytes)
    }

    @Test func `a short microbatch uses the same layout`() throws {
        let graph = try miniature()
        let layout = ParameterLayout(graph)
        let short = try Rig(graph, images: 1, layout: layout)
        short.train(Array(input[..<96]), Array(targets[..<96]))
        #expect(areFinite(short.sums.values))
    }
}
