import Configuration
import Coordination
import Graph
import Optimization
package import Platform
import Reduction
import RunLinks

/// The memory that a worker takes by design, part by part, in bytes: known before the run, and all of it, since a step
/// allocates nothing.
package struct MemoryPlan: Hashable, Sendable, Codable {
    /// Code, libraries, the samples' index and small allocations: measured, and much the same for every network.
    package var program: Int
    package var threads: Int
    /// One compute thread's own: its arena, and the buffers of validation.
    package var thread: Int
    /// Weights, buffers, the optimizer's slots, the moving average.
    package var state: Int
    /// The step's sums: a vector for each tree node that the worker holds, those that folding borrows, its slice.
    package var gradients: Int
    /// Microbatches that are loaded ahead.
    package var samples: Int
    /// Other workers' memory of this host that the worker reads in place: the system counts it as resident in both.
    package var peers: Int
    /// What a checkpoint takes besides, while it is handed over; 0 where the run saves at its end alone.
    package var checkpoint: Int

    enum CodingKeys: String, CodingKey {
        case threads
        case program = "program_bytes"
        case thread = "thread_bytes"
        case state = "state_bytes"
        case gradients = "gradients_bytes"
        case samples = "samples_bytes"
        case peers = "peers_bytes"
        case checkpoint = "checkpoint_bytes"
    }

    /// What a worker adds to the memory in use.
    package var bytes: Int { program + threads * thread + state + gradients + samples }
    /// The most that the system counts as resident in the worker between checkpoints.
    package var residentBytes: Int { bytes + peers }

    /// The plan for each worker of the model's configuration.
    ///
    /// - Parameters:
    ///   - arenaBytes: of a compute thread's arena.
    ///   - threads: where a worker is started with another number than the configuration has.
    package init(_ plan: ModelPlan, arenaBytes: Int, threads: Int? = nil) {
        let configuration = plan.configuration
        let layout = plan.layout
        let size = plan.size
        let training = configuration.training
        let workers = max(1, configuration.workers.count)
        let threads = max(1, threads ?? configuration.threads(usable: UsableProcessors.count))
        let pixels = size * size
        let channels = configuration.data.channels
        self.threads = threads
        program = Self.programBytes + threads * Self.stackBytes
        thread = arenaBytes + (configuration.validates ? 4 * pixels * (channels + 2) : 0)

        let slots = plan.optimizer.slots.count
        let vectors = 1 + slots + (configuration.averaging.ema == nil ? 0 : 1)
        state = 4 * (vectors * layout.weightCount + layout.bufferCount)

        let leaves = max(1, training.microbatches)
        let work = Self.heaviestWork(leaves: leaves, workers: workers, threads: threads)
        let vector = 4 * layout.sumCount
        // Whoever is alone has the sum in its node; frames from other hosts bring all sums, not only a slice.
        let sums = workers == 1 ? 0 : configuration.workers.transport == .zeromq ? vector : vector / workers
        // Frames wait in libzmq until their peers take them, and as many that have come until they are added: measured.
        let frames = workers > 1 && configuration.workers.transport == .zeromq ? 4 * vector : 0
        gradients = (work.nodes + work.borrowed) * vector + sums + frames
        let others = work.allNodes - work.nodes
        peers = others * vector / workers
        if configuration.workers.transport != .zeromq { peers += vector - vector / workers }
        if workers == 1 { peers = 0 }

        let held = min(2 * threads + 2, 2 * work.leaves)
        samples = held * 4 * pixels * training.microbatchSize * (channels + 1)

        let saves = configuration.checkpoint
        let isSaving = saves.everySteps > 0 || saves.everyMinutes > 0 || configuration.validates
        // The worker's share in the storage layout, a tensor in PyTorch's, and the pieces on their way.
        let largest = 4 * (layout.parameters.map(\.elementCount).max() ?? 0)
        checkpoint = isSaving ? state / workers + largest + min(state / workers, Self.windowBytes) : 0
    }

    /// The plan of a run whose programs are compiled; `threads` where a worker was started with another number.
    package init(_ setup: RunSetup, programs: ProgramSet, threads: Int? = nil) {
        self.init(setup.plan, arenaBytes: programs.arenaBytes, threads: threads)
    }

    /// What a worker process holds besides: 42 MiB of code that it has touched, and its heap.
    private static let programBytes = 70 << 20
    private static let stackBytes = 1 << 18
    /// Pieces of a checkpoint that may be under way.
    private static let windowBytes = 8 * BulkMessage.largestPayload

    /// What the worker that needs most vectors holds: leaves, nodes, vectors that its folding borrows at once; and the
    /// nodes of all workers.
    private static func heaviestWork(
        leaves: Int,
        workers: Int,
        threads: Int
    ) -> (leaves: Int, nodes: Int, borrowed: Int, allNodes: Int) {
        let members = (0..<workers).map { number in
            Member(
                worker: WorkerNumber(number),
                hostName: "",
                hostIdentity: "",
                threads: UInt32(threads),
                endpoints: []
            )
        }
        let plan = WorkSplit.plan(step: 0, generation: 0, leafCount: leaves, members: members)
        var heaviest = (leaves: 0, nodes: 0, borrowed: 0, allNodes: plan.contributions.count)
        for member in members {
            let nodes = plan.contributions.filter { $0.owner == member.worker }.map {
                plan.tree.leaves(of: $0.node).count
            }
            // A leaf but the node's first borrows a vector until it is added to its left: with one thread, leaf k waits
            // beside as many as k has ones.
            let waiting = nodes.map { (0..<max(1, $0)).map(\.nonzeroBitCount).max() ?? 0 }.max() ?? 0
            let all = nodes.reduce(0, +)
            let borrowed = max(0, min(all - nodes.count, waiting + threads - 1))
            if nodes.count + borrowed >= heaviest.nodes + heaviest.borrowed {
                heaviest = (all, nodes.count, borrowed, heaviest.allNodes)
            }
        }
        return heaviest
    }
}

extension MemoryPlan: CustomStringConvertible {
    package var description: String {
        func mebibytes(_ bytes: Int) -> Int { (bytes + 1 << 19) >> 20 }
        let arenas =
            threads == 1
            ? "\(mebibytes(thread)) compute thread" : "\(threads) × \(mebibytes(thread)) compute threads"
        var text =
            "\(mebibytes(bytes)) MiB a worker: \(arenas), \(mebibytes(state)) state, \(mebibytes(gradients)) gradients, "
            + "\(mebibytes(samples)) samples, \(mebibytes(program)) program"
        if peers > 0 { text += "; \(mebibytes(peers)) of the other workers' are read in place" }
        if checkpoint > 0 { text += "; \(mebibytes(checkpoint)) more while a checkpoint is handed over" }
        return text
    }
}

// MARK: Room

extension MemoryPlan {
    /// Throws where `workers` such workers and their coordinator do not fit into `memory`, and says what to lower.
    package func requireRoom(for workers: Int, in memory: AvailableMemory, of setup: RunSetup) throws {
        let needed = (bytes + checkpoint) * workers + Self.programBytes
        guard needed > memory.bytes else { return }
        var advice = [
            "training.microbatch_size (\(setup.configuration.training.microbatchSize) images take \(thread >> 20) MiB of "
                + "each compute thread)",
            "data.size (\(setup.size))",
        ]
        if threads > 1 { advice.append("workers.threads (\(threads))") }
        if workers > 1 { advice.append("workers.count (\(workers), \(bytes >> 20) MiB each)") }
        var sentence = "Lower " + advice.dropLast().joined(separator: ", ") + " or \(advice[advice.count - 1])."
        if setup.memoryPolicy != .recompute {
            let program = try setup.plan.trainingProgram(
                images: setup.configuration.training.microbatchSize,
                memory: .recompute
            )
            let plan = MemoryPlan(setup.plan, arenaBytes: program.arenaBytes)
            if plan.thread < thread {
                sentence += " `memory: recompute` takes \(plan.thread >> 20) MiB of each compute thread."
            }
        }
        throw SetupError.memory(
            "\(workers == 1 ? "A worker" : "\(workers) workers") and the coordinator would need \(needed >> 20) MiB, and "
                + "\(memory.bytes >> 20) MiB are free (\(memory.source)). The plan: \(self). \(sentence)"
        )
    }
}
