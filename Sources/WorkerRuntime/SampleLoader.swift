import Configuration
import Coordination
import Glibc
import Graph
package import ModelSetup
import Networks
import Numerics
import Platform
import Radiography
package import Sampling
package import Storage
import Synchronization

/// The inputs of one microbatch, ready to be computed.
package final class LoadedMicrobatch: @unchecked Sendable {
    // One thread fills it, then another reads it; the loader's lock orders the two.
    package let input: UnsafeMutablePointer<Float>
    package let targets: UnsafeMutablePointer<Float>
    fileprivate let memory: PageMemory
    package fileprivate(set) var step: UInt64 = 0
    package fileprivate(set) var index = 0
    package fileprivate(set) var sampleCount = 0
    package fileprivate(set) var failure: String?

    fileprivate init(inputCount: Int, targetCount: Int) throws {
        // The kernels' slack stands behind each part.
        let inputBytes = (inputCount * 4 + 64 + 63) / 64 * 64
        memory = try PageMemory(bytes: inputBytes + targetCount * 4 + 64)
        input = memory.floats
        targets = (memory.base + inputBytes).assumingMemoryBound(to: Float.self)
    }
}

/// Reads and augments the samples of microbatches ahead of their computation, on a thread of its own.
///
/// A pure function of (seed, epoch, position, sample) as far as results go: who asks, and how far ahead, changes
/// nothing.
package final class SampleLoader: Sendable {
    /// A microbatch of a step.
    package struct Key: Hashable, Sendable {
        package var step: UInt64
        package var index: Int

        package init(step: UInt64, index: Int) {
            self.step = step
            self.index = index
        }
    }

    private struct State: Sendable {
        /// What to load, in order.
        var wanted: [Key] = []
        var loading: Set<Key> = []
        var ready: [Key: LoadedMicrobatch] = [:]
        var free: [LoadedMicrobatch] = []
        var isClosed = false
        var thread: OwnedThread?
    }

    private struct Plans: Sendable {
        var plans: [Int: EpochPlan] = [:]
    }

    private let setup: RunSetup
    private let dataset: Dataset
    private let state = Mutex(State())
    private let plans = Mutex(Plans())
    private let condition = ThreadCondition()
    private let capacity: Int
    private let delay: Duration

    /// `capacity` microbatches at most are held at once; each takes `delay` longer than it needs.
    package init(_ setup: RunSetup, dataset: Dataset, capacity: Int, delay: Duration = .zero) throws {
        self.setup = setup
        self.dataset = dataset
        self.capacity = capacity
        self.delay = delay
        let size = setup.size
        let images = setup.configuration.training.microbatchSize
        for _ in 0..<capacity {
            let buffer = try LoadedMicrobatch(
                inputCount: images * size * size * setup.network.inputChannels,
                targetCount: images * size * size
            )
            state.withLock { $0.free.append(buffer) }
        }
        // The thread owns the loader until it is closed: its owner may fail to be made after it.
        let thread = try OwnedThread(name: "pleura-load") { [self] in run() }
        state.withLock { $0.thread = thread }
    }

    /// Names what is computed next, in order: what was loaded and is not named is dropped.
    package func want(_ keys: [Key]) {
        state.withLock { state in
            let kept = Set(keys)
            for (key, buffer) in state.ready where !kept.contains(key) {
                state.ready[key] = nil
                state.free.append(buffer)
            }
            state.wanted = keys.filter { state.ready[$0] == nil && !state.loading.contains($0) }
        }
        condition.broadcast()
    }

    /// The microbatch, once it is loaded; waits for it. Loads it on the calling thread where the loader has not begun.
    package func take(_ key: Key) -> LoadedMicrobatch {
        while true {
            let seen = condition.ticket
            let (found, mine) = state.withLock { state -> (LoadedMicrobatch?, LoadedMicrobatch?) in
                if let ready = state.ready.removeValue(forKey: key) { return (ready, nil) }
                if state.loading.contains(key) { return (nil, nil) }
                state.wanted.removeAll { $0 == key }
                // What lies ready for later makes room for what is needed now.
                if state.free.isEmpty,
                    let victim = state.ready.keys.max(by: { ($0.step, $0.index) < ($1.step, $1.index) }),
                    let buffer = state.ready.removeValue(forKey: victim)
                {
                    state.free.append(buffer)
                    state.wanted.append(victim)
                }
                guard let buffer = state.free.popLast() else { return (nil, nil) }
                state.loading.insert(key)
                return (nil, buffer)
            }
            if let found { return found }
            if let mine {
                load(key, into: mine)
                state.withLock { _ = $0.loading.remove(key) }
                return mine
            }
            condition.wait(since: seen)
        }
    }

    /// Gives a microbatch's memory back.
    package func recycle(_ microbatch: LoadedMicrobatch) {
        state.withLock { $0.free.append(microbatch) }
        condition.broadcast()
    }

    package func close() {
        let thread = state.withLock { state in
            state.isClosed = true
            defer { state.thread = nil }
            return state.thread
        }
        condition.broadcast()
        thread?.join()
    }

    private func run() {
        while true {
            let seen = condition.ticket
            let (isClosed, work) = state.withLock { state -> (Bool, (Key, LoadedMicrobatch)?) in
                if state.isClosed { return (true, nil) }
                guard !state.wanted.isEmpty, let buffer = state.free.popLast() else { return (false, nil) }
                let key = state.wanted.removeFirst()
                state.loading.insert(key)
                return (false, (key, buffer))
            }
            if isClosed { return }
            guard let (key, buffer) = work else {
                condition.wait(since: seen)
                continue
            }
            Arithmetic.restore()
            load(key, into: buffer)
            state.withLock { state in
                state.loading.remove(key)
                state.ready[key] = buffer
            }
            condition.broadcast()
        }
    }

    // MARK: Loading

    /// The microbatch's samples and weight.
    package func microbatch(_ key: Key) -> (epoch: Int, microbatch: Microbatch) {
        let location = setup.schedule.location(of: key.step)
        let plan = plans.withLock { plans in
            if let plan = plans.plans[location.epoch] { return plan }
            let plan = setup.sampler.plan(
                of: location.epoch,
                microbatches: setup.configuration.training.microbatches,
                microbatchSize: setup.configuration.training.microbatchSize
            )
            // The present epoch and its neighbours; older ones are not asked for again.
            plans.plans = plans.plans.filter { abs($0.key - location.epoch) <= 1 }
            plans.plans[location.epoch] = plan
            return plan
        }
        return (location.epoch, plan.microbatch(key.index, ofStep: location.stepInEpoch))
    }

    private func load(_ key: Key, into buffer: LoadedMicrobatch) {
        if delay > .zero { usleep(useconds_t(clamping: delay.inNanoseconds / 1000)) }
        let (epoch, microbatch) = microbatch(key)
        buffer.step = key.step
        buffer.index = key.index
        buffer.sampleCount = microbatch.samples.count
        buffer.failure = nil
        let size = setup.size
        let channels = setup.network.inputChannels
        for (place, position) in microbatch.positions.enumerated() {
            let sample = microbatch.samples[position]
            let draw =
                setup.augmentation?.plan(
                    sequence: RandomSequence(
                        seed: UInt64(setup.configuration.run.seed),
                        purpose: .augmentation,
                        epoch: UInt32(epoch),
                        position: UInt32(position)
                    )
                ) ?? .identity
            do {
                try setup.load(
                    sample,
                    of: dataset,
                    drawing: draw,
                    input: buffer.input + place * size * size * channels,
                    targets: buffer.targets + place * size * size
                )
            } catch {
                buffer.failure = "Sample \(sample) cannot be read. \(error)"
                return
            }
        }
    }
}

extension RunSetup {
    /// Reads `sample` and writes it as the network sees it: drawn, resized and normalised, the mask beside it.
    ///
    /// `input` has room for an image of the network's size and channels, `targets` for one channel.
    func load(
        _ sample: Int,
        of dataset: Dataset,
        drawing draw: AugmentationDraw,
        input: UnsafeMutablePointer<Float>,
        targets: UnsafeMutablePointer<Float>
    ) throws {
        let source = dataset.size
        try withUnsafeTemporaryAllocation(byteCount: 2 * source * source, alignment: 64) { bytes in
            let image = UnsafeMutableRawBufferPointer(rebasing: bytes[0..<source * source])
            let mask = UnsafeMutableRawBufferPointer(rebasing: bytes[source * source..<2 * source * source])
            try dataset.read(sample, image: image, mask: mask)
            // Reading has called others' code.
            Arithmetic.restore()
            guard let pixels = image.baseAddress, let labels = mask.baseAddress else { return }
            draw.apply(
                image: pixels.assumingMemoryBound(to: UInt8.self),
                mask: labels.assumingMemoryBound(to: UInt8.self),
                width: source,
                height: source,
                outputSize: size,
                into: input,
                channels: network.inputChannels,
                normalization: normalization,
                maskInto: targets
            )
        }
    }
}
