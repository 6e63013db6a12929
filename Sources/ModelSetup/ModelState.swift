import Configuration
package import Coordination
package import Graph
import Networks
import Optimization
import Platform
package import Storage

/// The replicated state of a worker: weights, running statistics, optimizer slots, moving average.
///
/// Flat vectors in the order of `ParameterLayout`. Compute threads read it while they run microbatches; only `apply`
/// and loading write it, when no microbatch runs.
package final class ModelState: @unchecked Sendable {
    // The pointers are immutable; the worker's loop orders reads and writes of what they point to.
    package let setup: RunSetup
    package let weights: UnsafeMutablePointer<Float>
    package let buffers: UnsafeMutablePointer<Float>
    package let slots: [UnsafeMutablePointer<Float>]
    package let average: UnsafeMutablePointer<Float>?
    private let memory: [PageMemory]

    package var layout: ParameterLayout { setup.layout }

    /// Takes the memory; the state is not valid before `initialize` or `load`.
    package init(_ setup: RunSetup) throws {
        self.setup = setup
        let layout = setup.layout
        var memory: [PageMemory] = []
        func vector(_ count: Int) throws -> UnsafeMutablePointer<Float> {
            let pages = try PageMemory(bytes: 4 * count)
            memory.append(pages)
            return pages.floats
        }
        weights = try vector(layout.weightCount)
        buffers = try vector(layout.bufferCount)
        slots = try setup.optimizer.slots.map { _ in try vector(layout.weightCount) }
        average = try setup.average.map { _ in try vector(layout.weightCount) }
        self.memory = memory
    }

    /// What a run reads.
    package var model: ModelMemory {
        ModelMemory(weights: weights, buffers: buffers)
    }

    /// Draws a fresh state from the configuration's seed.
    package func initialize() {
        // Drawing weights is the first arithmetic of a run, on a thread that has read files before.
        Arithmetic.restore()
        layout.initialize(
            seed: UInt64(setup.configuration.run.seed),
            weights: weights,
            buffers: buffers
        )
        if let average { average.update(from: weights, count: layout.weightCount) }
    }

    /// Loads a checkpoint whose tensors are exactly this state's.
    package func load(_ checkpoint: CheckpointContents) throws {
        let signatures = tensors.map(\.signature)
        try checkpoint.require(signatures, network: setup.network.name)
        for tensor in tensors {
            let values = try checkpoint.values(of: tensor.signature.name)
            switch tensor.place {
            case .parameter(let parameter, let vector):
                guard layout.import(values, as: parameter, into: vector) else {
                    throw SetupError.tensor(name: tensor.signature.name, values: values.count)
                }
            case .buffer(let buffer):
                for (index, value) in values.enumerated() { buffers[buffer.offset + index] = value }
            }
        }
    }

    // MARK: Tensors, as checkpoints name them

    /// One tensor of a checkpoint and its place in this state.
    package struct StateEntry {
        package let signature: TensorSignature
        package let place: Place

        package enum Place {
            case parameter(ParameterSpec, UnsafeMutablePointer<Float>)
            case buffer(BufferSpec)
        }

        package var byteCount: Int { 4 * signature.shape.reduce(1, *) }
    }

    /// All tensors in the order of their names' bytes: the order in which checkpoints are divided among workers.
    package var tensors: [StateEntry] {
        var entries: [StateEntry] = []
        for parameter in layout.parameters {
            func add(_ group: String, _ vector: UnsafeMutablePointer<Float>) {
                entries.append(
                    StateEntry(
                        signature: TensorSignature("\(group)/\(parameter.name)", parameter.shape),
                        place: .parameter(parameter, vector)
                    )
                )
            }
            add("model", weights)
            if let average { add("ema", average) }
            if parameter.isTrained {
                for (name, vector) in zip(setup.optimizer.slots, slots) { add("optimizer/\(name)", vector) }
            }
        }
        for buffer in layout.buffers {
            entries.append(
                StateEntry(
                    signature: TensorSignature("buffers/\(buffer.name)", buffer.shape),
                    place: .buffer(buffer)
                )
            )
        }
        return entries.sorted { $0.signature.name.utf8.lexicographicallyPrecedes($1.signature.name.utf8) }
    }

    // MARK: Digests

    private var vectors: [UnsafeRawBufferPointer] {
        var all = [
            UnsafeRawBufferPointer(start: weights, count: 4 * layout.weightCount),
            UnsafeRawBufferPointer(start: buffers, count: 4 * layout.bufferCount),
        ]
        for slot in slots { all.append(UnsafeRawBufferPointer(start: slot, count: 4 * layout.weightCount)) }
        if let average { all.append(UnsafeRawBufferPointer(start: average, count: 4 * layout.weightCount)) }
        return all
    }

    /// The digest of the whole state: the fold of the vectors' hashes.
    package func digest() -> Digest {
        let words = vectors.flatMap { vector in
            let hash = XXH3.hash128(vector)
            return [hash.high, hash.low]
        }
        let hash = words.withUnsafeBytes { XXH3.hash128($0) }
        return Digest(high: hash.high, low: hash.low)
    }

    /// The digest of one part of the state, another one at each step, so that the whole is compared every `parts` steps
    /// at a small part of its cost.
    package func partialDigest(step: UInt64, parts: Int = 64) -> Digest {
        let part = Int(step % UInt64(parts))
        let words = vectors.flatMap { vector in
            let lower = vector.count / parts * part
            let upper = part == parts - 1 ? vector.count : vector.count / parts * (part + 1)
            let hash = XXH3.hash128(UnsafeRawBufferPointer(rebasing: vector[lower..<upper]))
            return [hash.high, hash.low]
        }
        let hash = words.withUnsafeBytes { XXH3.hash128($0) }
        return Digest(high: hash.high, low: hash.low)
    }
}
