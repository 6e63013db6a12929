package import Collectives
import Configuration
package import Coordination
import Graph
package import KernelSelection
import Kernels
package import ModelSetup
import Optimization
import Platform
import Reduction
import Sampling
package import Storage
import Synchronization

/// What a worker does between messages: computes microbatches, takes part in the all-reduce, applies steps, validates.
///
/// The shell calls it from its loop; work runs on the compute threads and on two threads that may block, and ends in
/// an event. One step is under way at a time.
package final class WorkerEngine: Sendable {
    package typealias Report = @Sendable (WorkerMachine.Event) -> Void

    package let setup: RunSetup
    let dataset: Dataset
    package let state: ModelState
    let pool: ComputePool
    package let allreduce: Allreduce
    let worker: WorkerNumber
    let kernels: KernelTable
    let engines: [ThreadEngine]
    let loader: SampleLoader
    let report: Report
    let faults: WorkerFaults
    let plannedFaults: PlannedFaults?
    let scratch: ScratchVectors
    private let programs: ProgramSet
    /// The thread that waits for sums, and applies them.
    let steps: SerialThread
    /// The thread that hands snapshots over.
    let streams: SerialThread

    private struct Current: Sendable {
        var step: StepExecution?
        var sums: ReducedSums?
        var norm = 0.0
        /// The attempt that was asked for last; memory may have to become free before it begins.
        var latest: (step: UInt64, generation: UInt32)?
        /// The nodes of the step, over all its attempts, and the microbatches that are computed.
        var fills: [TreeNode: NodeFill] = [:]
        var computed: Set<Int> = []
        /// What is found of the step's audited microbatches, over all its attempts.
        var audits: StepAudits?
    }
    private let current = Mutex(Current())
    /// Held while an attempt begins, so that two begin in the order in which they were asked for.
    private let beginning = Mutex(())

    /// Builds everything a run needs; `programs` are those of `setup`.
    package init(
        setup: RunSetup,
        programs: ProgramSet,
        dataset: Dataset,
        variant: KernelVariant,
        threads: Int,
        worker: WorkerNumber,
        incarnation: UInt64,
        job: String,
        transport: TransportChoice,
        listen: String,
        advertisedHost: String?,
        host: String,
        keys: PlaneKeys? = nil,
        faults: WorkerFaults = WorkerFaults(),
        plannedFaults: PlannedFaults? = nil,
        onRefusal: (@Sendable (Int, String) -> Void)? = nil,
        report: @escaping Report
    ) throws {
        self.setup = setup
        self.dataset = dataset
        self.worker = worker
        self.report = report
        self.faults = faults
        self.plannedFaults = plannedFaults
        kernels = variant.table
        let tables = variant.tables
        self.programs = programs
        state = try ModelState(setup)
        engines = try (0..<threads).map { _ in try ThreadEngine(programs, setup: setup, kernels: tables) }
        loader = try SampleLoader(setup, dataset: dataset, capacity: 2 * threads + 2, delay: faults.loadDelay)
        scratch = ScratchVectors(count: setup.layout.sumCount)
        pool = try ComputePool(threads: threads)
        steps = try SerialThread(name: "pleura-step")
        streams = try SerialThread(name: "pleura-stream")
        // A contiguous run of leaves is covered by at most two nodes of each level.
        let tree = SumTree(leafCount: max(1, setup.configuration.training.microbatches))
        var configuration = Allreduce.Configuration(
            worker: worker,
            incarnation: incarnation,
            job: PeerAddress.jobNumber(of: job),
            layout: setup.buckets,
            maximumNodes: max(1, 2 * tree.rootLevel),
            transport: transport,
            listen: listen,
            advertisedHost: advertisedHost,
            additions: VectorAdditions(kernels),
            host: host
        )
        configuration.roundedCount = setup.roundedCount
        configuration.keys = keys
        configuration.silence = .milliseconds(Int(setup.configuration.workers.timeouts.silenceSeconds * 1000))
        configuration.onRefusal = onRefusal
        allreduce = try Allreduce(configuration)
    }

    /// Ends all threads, each after those that wait for it: queued microbatches are given up, running ones finish, and
    /// nobody waits for sums any more.
    package func close() {
        abandon()
        // A thread that waits for audits looks again within a second.
        for fill in current.withLock({ Array($0.fills.values) }) { fill.cancel {} }
        allreduce.close()
        steps.close()
        pool.close()
        loader.close()
        streams.close()
    }

    // MARK: Steps

    /// Computes the step's microbatches and reduces by its plan; ends in `.reduced` or `.failed`.
    ///
    /// A further attempt at the same step goes on with what an earlier one has begun.
    package func begin(_ work: StepWork) {
        let plan = work.assignment.plan
        do { try check(work) } catch {
            report(.failed(message: "\(error)", suspect: nil))
            return
        }
        let owned = Set(
            plan.contributions.filter { $0.owner == worker }.map { plan.tree.canonical($0.node) }
        )
        let stale = current.withLock { current in
            current.step?.cancel()
            current.latest = (plan.step, plan.generation)
            let stale = current.fills.values.filter { $0.step != plan.step || !owned.contains($0.fold.node) }
            for fill in stale {
                current.fills[fill.fold.node] = nil
                current.computed.subtract(fill.fold.leaves)
            }
            return stale
        }
        let idle = CountDown(stale.count)
        if stale.isEmpty { start(work) }
        for fill in stale {
            fill.cancel { [self] in if idle.signal() { start(work) } }
        }
    }

    /// Begins an attempt, the memory of what it does not go on with being free; gives up where a later one was asked for.
    private func start(_ work: StepWork) {
        let plan = work.assignment.plan
        do {
            try beginning.withLock { _ in
                guard current.withLock({ $0.latest.map { $0 == (plan.step, plan.generation) } ?? false }) else {
                    return
                }
                let peers = try work.membership.members.compactMap { member -> PeerAddress? in
                    guard plan.members.contains(member.worker) else { return nil }
                    guard let text = member.endpoints.first else {
                        throw WorkerError.address(
                            worker: member.worker,
                            "Worker \(member.worker) has not said where its data plane is."
                        )
                    }
                    return try PeerAddress(text: text, worker: member.worker)
                }
                let nodes = try allreduce.begin(plan: plan, peers: peers)
                loader.want(upcoming(work))
                run(work, nodes)
            }
        } catch {
            report(.failed(message: "\(error)", suspect: Self.suspect(error)))
        }
    }

    private func run(_ work: StepWork, _ nodes: [Allreduce.OwnedNode]) {
        let plan = work.assignment.plan
        let fresh = nodes.compactMap { owned -> NodeFill? in
            if owned.isPublished.allSatisfy({ $0 }) || current.withLock({ $0.fills[owned.node] != nil }) { return nil }
            let fold = NodeFold(
                node: owned.node,
                tree: plan.tree,
                layout: setup.buckets,
                buffer: owned.buffer,
                scratch: scratch,
                kernels: kernels,
                roundedCount: setup.roundedCount
            )
            return NodeFill(fold, step: plan.step)
        }
        let (execution, computed) = current.withLock { current in
            for fill in fresh { current.fills[fill.fold.node] = fill }
            let computed = current.computed.intersection(work.microbatches)
            let audits = current.audits.flatMap { $0.step == plan.step ? $0 : nil } ?? StepAudits(step: plan.step)
            audits.want(work.assignment.auditedMicrobatches(of: worker))
            current.audits = audits
            let execution = StepExecution(
                work,
                microbatches: work.microbatches.count - computed.count,
                audits: audits
            )
            current.step = execution
            current.sums = nil
            return (execution, computed)
        }
        for index in computed.sorted() {
            report(.microbatchComputed(step: plan.step, generation: plan.generation, index: index))
        }
        for fill in fresh {
            for leaf in fill.fold.leaves { pool.submit { [self] thread in compute(leaf, of: fill, thread) } }
        }
        audit(work.assignment, of: execution.audits, computed: computed)
        steps.submit { [self] in finish(execution) }
    }

    /// A microbatch is done: it counts for the attempt that is under way by now.
    private func computed(
        _ leaf: Int,
        of fill: NodeFill,
        data: Duration,
        compute: Duration,
        samples: Int,
        operations: Int
    ) {
        let execution = current.withLock { current -> StepExecution? in
            guard current.fills[fill.fold.node] === fill else { return nil }
            current.computed.insert(leaf)
            return current.step
        }
        guard let execution, execution.work.assignment.step == fill.step else { return }
        // An attempt may have begun meanwhile that wants its digest.
        auditIfMissing(leaf, execution.audits)
        execution.add(data: data, compute: compute, samples: samples, operations: operations)
        let assignment = execution.work.assignment
        report(.microbatchComputed(step: assignment.step, generation: assignment.generation, index: leaf))
        execution.computed.signal()
    }

    /// Throws where the run has no such step: the order comes from another process.
    private func check(_ work: StepWork) throws {
        let (step, total) = (work.assignment.step, setup.schedule.totalSteps)
        guard step < total else {
            throw WorkerError.order("The coordinator assigned step \(step) of a run that has \(total).")
        }
        let expected = setup.schedule.location(of: step).batch.microbatchCount
        let found = work.assignment.plan.tree.leafCount
        guard found == expected, work.microbatches.allSatisfy((0..<expected).contains) else {
            throw WorkerError.order(
                "The coordinator's plan of step \(step) has \(found) microbatches, the step itself \(expected)."
            )
        }
    }

    /// The attempt is not wanted any more; its microbatches go on, since another attempt will want them.
    package func abandon() { current.withLock { $0.step }?.cancel() }

    /// This step's microbatches, then those that this worker will probably have in the next.
    private func upcoming(_ work: StepWork) -> [SampleLoader.Key] {
        let step = work.assignment.step
        var keys = work.microbatches.map { SampleLoader.Key(step: step, index: $0) }
        keys += work.assignment.audits.filter { $0.worker == worker }.map {
            SampleLoader.Key(step: step, index: $0.microbatch)
        }
        if step + 1 < setup.schedule.totalSteps {
            let count = setup.schedule.location(of: step + 1).batch.microbatchCount
            keys += work.microbatches.filter { $0 < count }.map { SampleLoader.Key(step: step + 1, index: $0) }
        }
        return keys
    }

    private func compute(_ leaf: Int, of fill: NodeFill, _ thread: Int) {
        guard fill.enter() else { return }
        defer { fill.leave() }
        let (fold, step) = (fill.fold, fill.step)
        let start = ContinuousClock.now
        let key = SampleLoader.Key(step: step, index: leaf)
        let loaded = loader.take(key)
        defer { loader.recycle(loaded) }
        if let failure = loaded.failure {
            report(.failed(message: failure, suspect: nil))
            return
        }
        let ready = ContinuousClock.now
        guard let executor = engines[thread].training[loaded.sampleCount] else {
            report(.failed(message: "No program was made for \(loaded.sampleCount) images.", suspect: nil))
            return
        }
        do {
            let sums = try fold.buffer(of: leaf)
            for _ in 1..<(step >= faults.repeatsFrom ? faults.repeats : 1) {
                run(executor, loaded, step: step, leaf: leaf, into: sums) { _ in pool.notePiece() }
            }
            let audits = current.withLock { $0.audits }.flatMap { $0.step == step && $0.lacks(leaf) ? $0 : nil }
            var digest = GradientDigest()
            run(executor, loaded, step: step, leaf: leaf, into: sums) { bucket in
                pool.notePiece()
                plannedFaults?.reach(.computing, step: step, worker: worker)
                // Before it is added to anything.
                if audits != nil { digest.add(sums, setup.buckets.buckets[bucket]) }
                if fold.finished(leaf: leaf, bucket: bucket) {
                    allreduce.publish(bucket: bucket, node: fold.node)
                }
            }
            audits?.note(leaf, digest.value)
            computed(
                leaf,
                of: fill,
                data: ready - start,
                compute: .now - ready,
                samples: loaded.sampleCount,
                operations: executor.program.flops
            )
        } catch {
            report(.failed(message: "\(error)", suspect: nil))
        }
    }

    /// One microbatch's forward and backward pass with the present weights.
    func run(
        _ executor: Executor,
        _ loaded: LoadedMicrobatch,
        step: UInt64,
        leaf: Int,
        into sums: UnsafeMutablePointer<Float>,
        onBucketReady: (Int) -> Void
    ) {
        let batch = setup.schedule.location(of: step).batch
        if let first = faults.poisonsFrom, step >= first, leaf == 1 { loaded.input[0] = .nan }
        let flips = faults.flipsFrom.map { step >= $0 } ?? false
        executor.runTraining(
            input: loaded.input,
            targets: loaded.targets,
            model: state.model,
            sampleWeight: Double(loaded.sampleCount) / Double(batch.sampleCount),
            sums: sums,
            dropout: DropoutKey(
                seed: UInt64(setup.configuration.run.seed),
                step: UInt32(truncatingIfNeeded: step),
                position: UInt32(leaf),
                firstWord: 0
            ),
            onBucketReady: { bucket in
                if flips, bucket == 0 {
                    let first = setup.buckets.buckets[0].lowerBound
                    sums[first] = Float(bitPattern: sums[first].bitPattern ^ 1)
                }
                onBucketReady(bucket)
            }
        )
    }

    /// Waits for the sums and reports them.
    private func finish(_ execution: StepExecution) {
        let plan = execution.work.assignment.plan
        do {
            execution.computed.wait()
            guard !execution.isCancelled else { return }
            let computing = execution.elapsed
            // Longer than the coordinator waits: it sees all workers, and finds better who stands still.
            let limit = setup.configuration.workers.timeouts.phaseSeconds + 30
            let sums = try allreduce.waitReduced(within: .milliseconds(Int(limit * 1000)))
            guard !execution.isCancelled else { return }
            let norm = gradientNorm(sums)
            let tail = Tail(sums, layout: setup.layout)
            current.withLock {
                $0.sums = sums
                $0.norm = norm
            }
            let losses = tail.losses(setup.layout)
            let isFinite = norm.isFinite && losses.allSatisfy(\.isFinite)
            let finding = isFinite ? nil : explainNonFinite(sums, of: execution)
            let audited = execution.work.assignment.auditedMicrobatches(of: worker)
            guard let audits = execution.audits.wait(for: audited, unless: { execution.isCancelled }) else { return }
            guard !execution.isCancelled else { return }
            report(
                .reduced(
                    ReducedReport(
                        step: plan.step,
                        generation: plan.generation,
                        sumsDigest: Digest(high: 0, low: sums.digest),
                        stateDigest: execution.work.assignment.wantsStateDigest
                            ? state.partialDigest(step: plan.step) : nil,
                        losses: losses.map(Float.init),
                        gradientNorm: norm,
                        nonFinite: finding?.what,
                        nonFiniteMicrobatch: finding?.microbatch,
                        audits: audits,
                        timings: execution.timings(sums.timings, computing: computing, threads: pool.threadCount)
                    )
                )
            )
        } catch {
            if case .superseded = error { return }
            if execution.isCancelled { return }
            report(.failed(message: "\(error)", suspect: Self.suspect(error)))
        }
    }

    private static func suspect(_ error: any Error) -> WorkerNumber? {
        if case .address(let worker, _)? = error as? WorkerError { return worker }
        return switch error as? AllreduceError {
        case .peerLost(let worker, _, _, _, _), .corrupted(let worker, _, _), .unreachable(let worker, _): worker
        case .timedOut(_, let behind, _, _, _): behind.count == 1 ? behind.first : nil
        default: nil
        }
    }

    // MARK: Norms

    /// The norm of the gradients: blocks of fixed size, shared among the compute threads, added in order.
    private func gradientNorm(_ sums: ReducedSums) -> Double {
        let count = setup.layout.trainedCount
        let blocks = GradientNorm.blockCount(of: count)
        let partial = BlockSums(count: blocks)
        let table = kernels
        pool.runOnAll { _, share, shares in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: GradientNorm.blockSize) { memory in
                guard let scratch = memory.baseAddress else { return }
                for block in blocks * share / shares..<blocks * (share + 1) / shares {
                    let first = block * GradientNorm.blockSize
                    let range = first..<min(first + GradientNorm.blockSize, count)
                    var value = 0.0
                    var isWhole = false
                    // A block that lies in one piece is read in place.
                    sums.forEachPiece(in: range) { piece, pointer in
                        if piece == range {
                            value = table.sumOfSquares(pointer, range.count)
                            isWhole = true
                        } else {
                            (scratch + (piece.lowerBound - first)).update(from: pointer, count: piece.count)
                        }
                    }
                    partial[block] = isWhole ? value : table.sumOfSquares(scratch, range.count)
                }
            }
        }
        return GradientNorm.norm(of: (0..<blocks).map { partial[$0] })
    }

    // MARK: Apply

    /// Applies the sums of `step`; ends in `.applied`.
    package func apply(step: UInt64, _ values: StepHyperparameters, wantsStateDigest: Bool) {
        steps.submit { [self] in
            let (sums, norm, audits) = current.withLock { ($0.sums, $0.norm, $0.audits) }
            audits?.close()
            guard let sums, sums.step == step else {
                report(.failed(message: "The sums of step \(step) are not here any more.", suspect: nil))
                return
            }
            if !values.skipsUpdate, !update(sums, norm: norm, values) {
                let count = values.optimizer.count
                report(
                    .failed(
                        message: "The coordinator sent \(count) numbers for the optimizer of step \(step), which takes "
                            + "another count: it is of another version of the program.",
                        suspect: nil
                    )
                )
                return
            }
            plannedFaults?.reach(.applying, step: step, worker: worker)
            current.withLock { $0.sums = nil }
            allreduce.release(step: step)
            report(
                .applied(
                    completedSteps: step + 1,
                    stateDigest: wantsStateDigest ? state.partialDigest(step: step + 1) : nil
                )
            )
        }
    }

    /// False, and nothing is changed, where the optimizer does not know the numbers that came for it.
    private func update(_ sums: ReducedSums, norm: Double, _ values: StepHyperparameters) -> Bool {
        let layout = setup.layout
        let state = state
        let table = kernels
        let scale = GradientNorm.clipScale(
            norm: norm,
            maximum: values.clipNorm.isFinite ? Double(values.clipNorm) : nil
        )
        guard let rule = setup.optimizer.update(words: values.optimizer, scale: scale) else { return false }
        let units = (layout.trainedCount + 1023) / 1024
        pool.runOnAll { _, share, shares in
            let first = min(layout.trainedCount, units * share / shares * 1024)
            let last = min(layout.trainedCount, units * (share + 1) / shares * 1024)
            sums.forEachPiece(in: first..<last) { piece, pointer in
                rule.apply(
                    to: state.weights,
                    gradients: pointer - piece.lowerBound,
                    slots: state.slots,
                    range: piece,
                    kernels: table
                )
                if let average = state.average, values.averageWeight > 0 {
                    WeightAverage.update(
                        average,
                        towards: state.weights,
                        weight: values.averageWeight,
                        range: piece,
                        kernels: table
                    )
                }
            }
            if share == 0 { Tail(sums, layout: layout).apply(to: state.buffers, layout) }
        }
        return true
    }
}

/// The end of the step's sums, statistics and losses, copied out of wherever its pieces lie.
struct Tail {
    private let values: [Float]
    private let offset: Int

    init(_ sums: ReducedSums, layout: ParameterLayout) {
        let first = layout.trainedCount
        var values = [Float](repeating: 0, count: layout.sumCount - first)
        values.withUnsafeMutableBufferPointer { values in
            guard let base = values.baseAddress else { return }
            sums.forEachPiece(in: first..<layout.sumCount) { piece, pointer in
                (base + (piece.lowerBound - first)).update(from: pointer, count: piece.count)
            }
        }
        self.values = values
        offset = first
    }

    func losses(_ layout: ParameterLayout) -> [Double] {
        values.withUnsafeBufferPointer { values in
            guard let base = values.baseAddress else { return [] }
            return layout.lossValues(base - offset).map(\.value)
        }
    }

    func apply(to buffers: UnsafeMutablePointer<Float>, _ layout: ParameterLayout) {
        values.withUnsafeBufferPointer { values in
            guard let base = values.baseAddress else { return }
            layout.applyStatistics(base - offset, to: buffers)
        }
    }
}

/// Results of blocks that several threads compute, each its own.
final class BlockSums: @unchecked Sendable {
    // Every element is written by one thread and read after all have ended.
    private let values: UnsafeMutablePointer<Double>

    init(count: Int) {
        values = .allocate(capacity: max(1, count))
        values.initialize(repeating: 0, count: max(1, count))
    }

    deinit { values.deallocate() }

    subscript(index: Int) -> Double {
        get { values[index] }
        set { values[index] = newValue }
    }
}
