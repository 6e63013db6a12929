import Graph
package import Kernels
import Losses
import Networks
import Optimization
import Platform
package import Storage

/// Trains two tiny networks in this process alone and hashes what they became.
///
/// Each numerics profile promises the same bits from every kernel variant on every machine; this is the shortest program
/// that passes through all of a step's kernels: convolutions with their three passes, batch normalisation, dropout,
/// pooling, upsampling, loss, the sum of microbatches, gradient norm and Adam. It opens no file and no socket and
/// starts no process, so that it also runs under an emulator of a lesser processor.
package enum HashTest {
    /// Trains with `tables`, in fp32 and in bf16; the digest is over all runs' weights, buffers and optimizer slots, in the
    /// order of checkpoints. Blocks the calling thread for a second or, emulated, a minute.
    package static func run(tables: KernelTables) throws -> SHA256Digest {
        let small = Networks.Network(SmallUNet(baseWidth: 8, dropout: 0.1), height: 32, width: 32)
        let resnet = Networks.Network(UNet(encoder: .resnet18), height: 32, width: 32, inputChannels: 3)
        var bytes: [UInt8] = []
        let runs: [(Networks.Network, ElementFormat, Int)] = [
            (small, .float32, 3), (resnet, .float32, 2), (small, .bfloat16, 2),
        ]
        for (network, precision, steps) in runs {
            let trainer = try SingleTrainer(network, tables: tables, precision: precision)
            for step in 0..<steps { trainer.step(step) }
            bytes += trainer.stateHash.bytes
        }
        return SHA256Digest.of(bytes)
    }
}

/// Training of one network on one thread, with samples made by a formula: a worker's arithmetic without the worker.
private final class SingleTrainer {
    private static let seed: UInt64 = 1
    private static let microbatches = 2
    private static let images = 2

    private let network: Networks.Network
    private let layout: ParameterLayout
    private let optimizer = {
        var constants = OptimizerConstants()
        constants.weightDecay = 1e-4
        return Adam(constants)
    }()
    private let kernels: KernelTable
    private let executor: Executor
    private let arena: PageMemory
    private let weights: PageMemory
    private let buffers: PageMemory
    private let slots: [PageMemory]
    /// Each microbatch's gradients, statistics and losses.
    private let sums: [PageMemory]
    private let input: PageMemory
    private let targets: PageMemory

    init(_ network: Networks.Network, tables: KernelTables, precision: ElementFormat) throws {
        self.network = network
        kernels = tables.float32
        let graph = try network.graph(loss: SegmentationLoss(diceScope: .microbatch))
        let layout = ParameterLayout(graph)
        self.layout = layout
        let program = try Program(graph, layout: layout, images: Self.images, mode: .training, precision: precision)
        arena = try PageMemory(bytes: program.arenaBytes)
        executor = Executor(program, kernels: tables[precision], arena: arena.base)
        weights = try PageMemory(bytes: 4 * layout.weightCount)
        buffers = try PageMemory(bytes: 4 * layout.bufferCount)
        slots = try optimizer.slots.map { _ in try PageMemory(bytes: 4 * layout.weightCount) }
        sums = try (0..<Self.microbatches).map { _ in try PageMemory(bytes: 4 * layout.sumCount) }
        let pixels = network.height * network.width * Self.images
        input = try PageMemory(bytes: 4 * pixels * network.inputChannels)
        targets = try PageMemory(bytes: 4 * pixels)
        layout.initialize(seed: Self.seed, weights: weights.floats, buffers: buffers.floats)
    }

    /// One step over all microbatches, as a worker does it.
    func step(_ step: Int) {
        let model = ModelMemory(weights: weights.floats, buffers: buffers.floats)
        for microbatch in 0..<Self.microbatches {
            fill(step: step, microbatch: microbatch)
            executor.runTraining(
                input: input.floats,
                targets: targets.floats,
                model: model,
                sampleWeight: 1 / Double(Self.microbatches),
                sums: sums[microbatch].floats,
                dropout: DropoutKey(
                    seed: Self.seed,
                    step: UInt32(step),
                    position: UInt32(microbatch),
                    firstWord: 0
                )
            )
        }
        let total = sums[0].floats
        for other in sums.dropFirst() { kernels.addVectors(total, other.floats, layout.sumCount) }
        let norm = GradientNorm.norm(total, count: layout.trainedCount, kernels: kernels)
        // Small, so that clipping takes part: the ResNet's first gradients have norms in the tens and above.
        let scale = GradientNorm.clipScale(norm: norm, maximum: 0.125)
        optimizer.update(words: optimizer.words(step: step + 1, rate: 1e-3), scale: scale)?.apply(
            to: weights.floats,
            gradients: total,
            slots: slots.map(\.floats),
            range: 0..<layout.trainedCount,
            kernels: kernels
        )
        layout.applyStatistics(total, to: buffers.floats)
    }

    /// The hash of a checkpoint with this state.
    var stateHash: SHA256Digest {
        var tensors: [StateTensor] = []
        for parameter in layout.parameters {
            func add(_ group: String, _ vector: PageMemory) {
                tensors.append(
                    StateTensor(
                        name: "\(group)/\(parameter.name)",
                        shape: parameter.shape,
                        values: layout.export(parameter, from: vector.floats)
                    )
                )
            }
            add("model", weights)
            if parameter.isTrained {
                for (name, vector) in zip(optimizer.slots, slots) { add("optimizer/\(name)", vector) }
            }
        }
        for buffer in layout.buffers {
            let values = UnsafeBufferPointer(start: buffers.floats + buffer.offset, count: buffer.count)
            tensors.append(StateTensor(name: "buffers/\(buffer.name)", shape: buffer.shape, values: Array(values)))
        }
        return StateHash.of(tensors)
    }

    /// Texture from -1 to 1, and a disc to find in all samples but every third. Integers only, up to one exact division.
    private func fill(step: Int, microbatch: Int) {
        let (height, width, channels) = (network.height, network.width, network.inputChannels)
        for image in 0..<Self.images {
            let number = (step * Self.microbatches + microbatch) * Self.images + image
            let (centerX, centerY) = (8 + 5 * number % 16, 8 + 7 * number % 16)
            let radius = number % 3 == 2 ? 0 : 5
            for y in 0..<height {
                for x in 0..<width {
                    let (dx, dy) = (x - centerX, y - centerY)
                    let isInside = dx * dx + dy * dy < radius * radius
                    let pixel = (image * height + y) * width + x
                    targets.floats[pixel] = isInside ? 1 : 0
                    for channel in 0..<channels {
                        let texture = (x * x * 7 + y * 13 + x * y * 3 + number * 31 + channel * 17) % 64
                        let value = isInside ? texture / 2 + 32 : texture
                        input.floats[pixel * channels + channel] = Float(value - 32) / 32
                    }
                }
            }
        }
    }
}
