import Graph
import KernelSelection
import Kernels
import Losses
import Networks
import Optimization
import TestSupport

func fixture(_ name: String) -> String {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(2)
    return parts.joined(separator: "/") + "/Fixtures/" + name
}

/// A network in training on one thread: what the worker does, without workers.
final class Rig {
    let layout: ParameterLayout
    let program: Program
    let kernels: KernelTable
    let weights: AlignedBuffer
    let buffers: AlignedBuffer
    let arena: AlignedBuffer
    let sums: AlignedBuffer
    let slots: [AlignedBuffer]
    let images: AlignedBuffer
    let masks: AlignedBuffer
    let executor: Executor
    private(set) var step = 0

    init(
        _ network: Network,
        loss: SegmentationLoss,
        images count: Int,
        seed: UInt64,
        kernels: KernelTable = KernelVariant.best.table,
        options: Program.Options = .init()
    ) throws {
        self.kernels = kernels
        let graph = try network.graph(loss: loss)
        layout = ParameterLayout(graph)
        program = try Program(graph, layout: layout, images: count, mode: .training, options: options)
        weights = AlignedBuffer(count: layout.weightCount)
        buffers = AlignedBuffer(count: layout.bufferCount)
        arena = AlignedBuffer(count: program.arenaBytes / 4)
        sums = AlignedBuffer(count: layout.sumCount)
        slots = [AlignedBuffer(count: layout.weightCount), AlignedBuffer(count: layout.weightCount)]
        images = AlignedBuffer(count: count * program.inputShape.elements)
        masks = AlignedBuffer(count: count * program.outputShape.elements)
        executor = Executor(program, kernels: kernels, arena: arena.base)
        layout.initialize(seed: seed, weights: weights.base, buffers: buffers.base)
    }

    /// Forward, backward and one step of Adam; returns the loss before it.
    func train(learningRate: Double) -> Double {
        computeSums()
        let loss = layout.lossValues(sums.base)[0].value
        step += 1
        let optimizer = Adam(OptimizerConstants())
        optimizer.update(words: optimizer.words(step: step, rate: learningRate), scale: 1)?.apply(
            to: weights.base,
            gradients: sums.base,
            slots: slots.map(\.base),
            range: 0..<layout.trainedCount,
            kernels: kernels
        )
        layout.applyStatistics(sums.base, to: buffers.base)
        return loss
    }

    func computeSums() {
        executor.runTraining(
            input: images.base,
            targets: masks.base,
            model: ModelMemory(weights: weights.base, buffers: buffers.base),
            sampleWeight: 1,
            sums: sums.base,
            dropout: DropoutKey(seed: 1, step: 0, position: 0, firstWord: 0)
        )
    }
}
