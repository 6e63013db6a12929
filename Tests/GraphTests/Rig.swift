import Graph
import KernelSelection
import Kernels
import Numerics
import TestSupport

/// A graph with memory of its own: compiles it, runs it, and gives parameters and gradients by name.
final class Rig {
    let graph: Graph
    let layout: ParameterLayout
    let program: Program
    let kernels: KernelTable
    let weights: AlignedBuffer
    let buffers: AlignedBuffer
    let arena: AlignedBuffer
    let sums: AlignedBuffer
    let executor: Executor

    init(
        _ graph: Graph,
        images: Int,
        mode: ProgramMode = .training,
        kernels: KernelTable = .reference,
        layout: ParameterLayout? = nil,
        options: Program.Options = .init(),
        bucketBytes: Int = .max / 16
    ) throws {
        self.graph = graph
        self.kernels = kernels
        self.layout = layout ?? ParameterLayout(graph)
        program = try Program(graph, layout: self.layout, images: images, mode: mode, options: options)
        weights = AlignedBuffer(count: self.layout.weightCount)
        buffers = AlignedBuffer(count: self.layout.bufferCount)
        arena = AlignedBuffer(count: program.arenaBytes / 4)
        sums = AlignedBuffer(count: self.layout.sumCount)
        executor = Executor(
            program,
            kernels: kernels,
            arena: arena.base,
            buckets: self.layout.bucketLayout(targetBytes: bucketBytes)
        )
        self.layout.initialize(seed: 11, weights: weights.base, buffers: buffers.base)
        poison()
    }

    var model: ModelMemory { ModelMemory(weights: weights.base, buffers: buffers.base) }

    /// Fills everything that a run must write before it reads with NaN.
    func poison() {
        for index in 0..<arena.count { arena.base[index] = .nan }
        for index in 0..<sums.count { sums.base[index] = .nan }
    }

    /// Fills arena memory with NaN as soon as its block's last use is over.
    func poisonFreedMemory() {
        let blocks = program.blocks
        let base = arena.base
        executor.observer = { index in
            for block in blocks where block.uses.contains(where: { $0.upperBound == index }) {
                (base + block.offset).update(repeating: .nan, count: block.count)
            }
        }
    }

    func train(
        _ input: [Float],
        _ targets: [Float],
        sampleWeight: Double = 1,
        dropout: DropoutKey = DropoutKey(seed: 99, step: 7, position: 3, firstWord: 0),
        onBucketReady: (Int) -> Void = { _ in }
    ) {
        let images = AlignedBuffer(count: input.count)
        images.set(input)
        let masks = AlignedBuffer(count: targets.count)
        masks.set(targets)
        executor.runTraining(
            input: images.base,
            targets: masks.base,
            model: model,
            sampleWeight: sampleWeight,
            sums: sums.base,
            dropout: dropout,
            onBucketReady: onBucketReady
        )
    }

    func infer(_ input: [Float]) -> [Float] {
        let images = AlignedBuffer(count: input.count)
        images.set(input)
        let output = executor.runInference(input: images.base, model: model)
        return Array(UnsafeBufferPointer(start: output, count: program.images * program.outputShape.elements))
    }

    func spec(_ name: String) -> ParameterSpec? { layout.parameters.first { $0.name == name } }
    var loss: Double { layout.lossValues(sums.base)[0].value }
    func gradient(_ spec: ParameterSpec) -> [Float] { layout.export(spec, from: sums.base) }
}

/// Numbers uniform in -1 ..< 1, the same at every run.
func randomValues(_ count: Int, seed: UInt64) -> [Float] {
    let sequence = RandomSequence(seed: seed, purpose: .simulation)
    return (0..<count).map { sequence.uniform($0, in: -1...1) }
}

/// Masks of 0 and 1, about 40 % ones.
func randomMask(_ count: Int, seed: UInt64) -> [Float] {
    randomValues(count, seed: seed).map { $0 < -0.2 ? 1 : 0 }
}

/// The kernel tables that this machine can run.
let tables: [KernelTable] = KernelVariant.allCases.filter(\.isSupported).map(\.table)

/// Whether no value is NaN or infinite.
func areFinite(_ values: [Float]) -> Bool { values.allSatisfy { $0.isFinite } }
