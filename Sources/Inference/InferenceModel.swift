package import Configuration
import Diagnostics
import Graph
package import Kernels
import ModelSetup
import Networks
import Platform
import Radiography
import RunFolder
package import Storage

/// The network of a checkpoint with its weights, for inference.
///
/// The weights are their moving average where the configuration keeps one, as in validation. Shared by all threads.
package final class InferenceModel: @unchecked Sendable {
    // The memory is written in `init` and only read afterwards.

    /// The run's resolved configuration, as the checkpoint keeps it.
    package let configuration: RunConfiguration
    /// The file that the weights come from.
    package let checkpoint: CheckpointContents
    /// Side of an input and of a map of probabilities in pixels.
    package let size: Int
    package let channels: Int
    package let parameterCount: Int
    package let usesAverage: Bool
    let program: Program
    let tables: KernelTables
    /// Of vectors and of logits.
    var kernels: KernelTable { tables.float32 }
    let normalization: ChannelNormalization
    private let weights: PageMemory
    private let buffers: PageMemory

    /// Steps that the weights have seen.
    package var step: Int { checkpoint.trainer.step }

    /// Reads the weights out of a checkpoint, and checks them.
    ///
    /// Throws where the checkpoint is damaged, or its tensors are not those of its configuration's network.
    package init(_ checkpoint: CheckpointContents, kernels tables: KernelTables) throws {
        self.checkpoint = checkpoint
        self.tables = tables
        configuration = try RunConfiguration.parse(
            checkpoint.trainer.configuration,
            file: "the configuration in \(checkpoint.path)"
        )
        let plan = try ModelPlan(configuration, imageSize: Self.size(configuration, checkpoint.path))
        size = plan.size
        channels = plan.network.inputChannels
        normalization = plan.normalization
        let layout = plan.layout
        program = try plan.inferenceProgram()
        parameterCount = plan.parameterCount
        try checkpoint.require(
            layout.parameters.map { TensorSignature("model/\($0.name)", $0.shape) }
                + layout.buffers.map { TensorSignature("buffers/\($0.name)", $0.shape) },
            network: plan.network.name
        )
        usesAverage = configuration.averaging.ema != nil
        weights = try PageMemory(bytes: 4 * layout.weightCount)
        buffers = try PageMemory(bytes: 4 * layout.bufferCount)
        let group = usesAverage ? "ema" : "model"
        for parameter in layout.parameters {
            let name = "\(group)/\(parameter.name)"
            let values = try checkpoint.values(of: name)
            try Self.requireFinite(values, name, checkpoint.path)
            guard layout.import(values, as: parameter, into: weights.floats) else {
                throw RunError.data("The tensor \(name) in \(checkpoint.path) has \(values.count) values.")
            }
        }
        for buffer in layout.buffers {
            let values = try checkpoint.values(of: "buffers/\(buffer.name)")
            try Self.requireFinite(values, "buffers/\(buffer.name)", checkpoint.path)
            for (index, value) in values.enumerated() { buffers.floats[buffer.offset + index] = value }
        }
    }

    /// Training never keeps such a state; its masks would all be empty, and would be taken for an answer.
    private static func requireFinite(_ values: [Float], _ name: String, _ path: String) throws {
        guard let index = values.firstIndex(where: { !$0.isFinite }) else { return }
        throw RunError.data(
            "Element \(index) of the tensor \(name) in \(path) is \(values[index]): a network with such weights predicts "
                + "nothing. Take another checkpoint."
        )
    }

    var memory: ModelMemory {
        ModelMemory(weights: weights.floats, buffers: buffers.floats)
    }

    private static func size(_ configuration: RunConfiguration, _ path: String) throws -> Int {
        if configuration.data.size > 0 { return configuration.data.size }
        let shards = configuration.data.shards
        do {
            return try DatasetManifest.read(in: shards).schema.size
        } catch let error as any ReportableError {
            throw RunError.data(
                "The checkpoint \(path) leaves the size of its network's input to the shards, and those cannot be "
                    + "read: \(error) Call this where \(shards.isEmpty ? "the shards" : shards) can be found."
            )
        }
    }
}

/// One compute thread's memory for inference; used on that thread only.
package final class InferenceEngine: @unchecked Sendable {
    // Owned by one compute thread at a time: the pool hands a thread only its own engine.
    package let model: InferenceModel
    private let executor: Executor
    private let memory: [PageMemory]
    private let input: UnsafeMutablePointer<Float>
    private let map: UnsafeMutablePointer<Float>
    private let mirrored: UnsafeMutablePointer<Float>

    init(_ model: InferenceModel) throws {
        self.model = model
        let pixels = model.size * model.size
        let arena = try PageMemory(bytes: model.program.arenaBytes)
        let inputs = try PageMemory(bytes: 4 * pixels * model.channels)
        let maps = try PageMemory(bytes: 4 * pixels)
        let mirrors = try PageMemory(bytes: 4 * pixels)
        memory = [arena, inputs, maps, mirrors]
        input = inputs.floats
        map = maps.floats
        mirrored = mirrors.floats
        executor = Executor(model.program, kernels: model.tables[model.program.precision], arena: arena.base)
    }

    /// The probabilities of a grey image of `side` × `side`: `size` × `size` values, row by row, valid until the next
    /// call.
    ///
    /// `flips` takes the mean over the image and its mirror image. The image is treated as in validation: resampled
    /// where its side is not the network's, and normalised.
    package func probabilities(
        of image: UnsafePointer<UInt8>,
        side: Int,
        flips: Bool
    ) -> UnsafeBufferPointer<Float> {
        let size = model.size
        AugmentationDraw.identity.apply(
            image: image,
            mask: nil,
            width: side,
            height: side,
            outputSize: size,
            into: input,
            channels: model.channels,
            normalization: model.normalization,
            maskInto: nil
        )
        run(into: map)
        if flips {
            mirrorInput()
            run(into: mirrored)
            for y in 0..<size {
                let row = y * size
                for x in 0..<size { map[row + x] = 0.5 * (map[row + x] + mirrored[row + size - 1 - x]) }
            }
        }
        return UnsafeBufferPointer(start: map, count: size * size)
    }

    private func run(into target: UnsafeMutablePointer<Float>) {
        let size = model.size
        let logits = UnsafeMutablePointer(mutating: executor.runInference(input: input, model: model.memory))
        model.kernels.sigmoid(
            TensorView(logits, images: 1, height: size, width: size, channels: 1),
            TensorView(target, images: 1, height: size, width: size, channels: 1)
        )
    }

    private func mirrorInput() {
        let (size, channels) = (model.size, model.channels)
        for y in 0..<size {
            let row = input + y * size * channels
            for x in 0..<size / 2 {
                for channel in 0..<channels {
                    let (left, right) = (x * channels + channel, (size - 1 - x) * channels + channel)
                    (row[left], row[right]) = (row[right], row[left])
                }
            }
        }
    }
}
