package import Configuration
import Coordination
import CoordinatorRuntime
package import Diagnostics
import Foundation
import Glibc
package import KernelSelection
import Kernels
import Launching
import ModelSetup
import Networks
import Optimization
import Phantoms
import Platform
import Radiography
import RunLinks
import Sampling
import Storage
import Synchronization

/// Times whole training steps of a configuration: real coordinator and worker processes, on phantom shards of its own,
/// in a temporary folder that it removes.
package struct TrainingBenchmark {
    /// How much to run.
    package struct Options: Sendable {
        package var workers: Int
        /// Compute threads of each worker; each computes one microbatch of a step.
        package var threads: Int
        /// Counted steps.
        package var steps: Int
        /// Steps before those.
        package var warmUps: Int

        /// All at least 1, `warmUps` too: a step's time begins with the commit before it.
        package init(workers: Int, threads: Int, steps: Int, warmUps: Int = 2) {
            precondition(workers > 0 && threads > 0 && steps > 0 && warmUps > 0, "nothing to measure")
            self.workers = workers
            self.threads = threads
            self.steps = steps
            self.warmUps = warmUps
        }
    }

    private let configuration: RunConfiguration
    private let options: Options
    private let variant: KernelVariant

    /// `configuration` gives network, size, loss, optimizer, augmentation and the microbatch's size; what would measure
    /// something else (validation, checkpoints on the way, epochs) is switched off. `variant` is the one that the
    /// workers choose.
    package init(_ configuration: RunConfiguration, options: Options, variant: KernelVariant) {
        var run = configuration
        run.run.name = "bench"
        if run.data.size == 0 { run.data.size = 256 }
        run.data.folds.train = .all
        run.sampler.policy = .all
        run.schedule.name = .constant
        run.schedule.warmupSteps = .count(0)
        run.training.epochs = 1
        run.training.steps = options.warmUps + options.steps
        run.training.microbatches = options.workers * options.threads
        run.validation.everyEpochs = 0
        run.checkpoint.everySteps = 0
        run.checkpoint.everyMinutes = 0
        run.checkpoint.keepBest = 0
        run.checkpoint.keepLast = 1
        run.workers.count = options.workers
        run.workers.threads = .count(options.threads)
        self.configuration = run
        self.options = options
        self.variant = variant
    }

    /// Measures; `notice` hears of the stages. Blocks the calling thread, which must be the workers' parent to the end.
    ///
    /// Ctrl-C, SIGTERM and SIGHUP end it early with `TrainingBenchmarkError.interrupted`. The folder is removed in any
    /// case.
    package func run(notice: (String) -> Void) throws -> Report {
        let interruption = Interruption()
        let signals = try SignalWatch(SignalWatch.requests) { _ in interruption.happen() }
        defer { signals.cancel() }
        let model = try ModelPlan(configuration, imageSize: configuration.data.size)
        // Before anything else runs: it is the limit of an idle core.
        notice("measuring the limit of one core")
        let limit = CoreLimits.fmaLimit(variant.tables[model.precision])

        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-bench-\(UUID())").path
        defer {
            do {
                if FileSystem.exists(folder) { try FileManager.default.removeItem(atPath: folder) }
            } catch {
                notice("The folder \(folder) could not be removed: \(error.localizedDescription)")
            }
        }
        var configuration = configuration
        configuration.run.directory = "\(folder)/run"
        configuration.data.shards = "\(folder)/shards"
        notice("drawing phantoms")
        try makeShards(in: configuration.data.shards, unless: interruption)

        let commits = Commits()
        let launcher = try RunLauncher(
            configuration,
            options: RunLauncher.Options(
                isQuiet: true,
                hears: { commits.note($0) }
            )
        )
        notice("training \(options.warmUps) + \(options.steps) steps")
        let outcome = try launcher.launch()
        if interruption.hasHappened { throw TrainingBenchmarkError.interrupted }
        guard outcome.kind == .completed else { throw TrainingBenchmarkError.ended(outcome.message) }
        let network = model.network
        let name = "\(network.name)/\(network.family.variant)"
        return try report(commits.all, commits.plan, network: name, limit: limit)
    }

    // MARK: Samples

    /// Draws the phantoms of whole global batches, so that every step of every epoch is full.
    private func makeShards(in folder: String, unless interruption: Interruption) throws {
        let batch = configuration.globalBatchSize
        let steps = min(configuration.training.steps, (64 + batch - 1) / batch)
        let size = min(max(configuration.data.size, PhantomOptions.sizes.lowerBound), PhantomOptions.sizes.upperBound)
        let painter = PhantomPainter(options: PhantomOptions(seed: 1, size: size))
        let schema = ShardSchema(size: size)
        let writer = try ShardWriter(directory: folder, schema: schema)
        for index in 0..<batch * steps {
            if interruption.hasHappened { throw TrainingBenchmarkError.interrupted }
            let image = painter.paint(index)
            let mask = image.mask
            try writer.append(
                ShardSample(
                    id: "phantom-\(index)",
                    image: image.pixels,
                    mask: mask.downscaled(to: size),
                    runs: mask.runs.map { ShardRun(start: $0.start, length: $0.length) }
                )
            )
        }
        let shard = try writer.finishShard(number: 0)
        try DatasetManifest.publish(in: folder, schema: schema, shards: [shard])
    }

    // MARK: Figures

    private func report(
        _ commits: [Commits.Entry],
        _ plan: MemoryPlan?,
        network: String,
        limit: Double
    ) throws -> Report {
        let total = options.warmUps + options.steps
        guard commits.count == total else {
            throw TrainingBenchmarkError.ended("\(commits.count) of \(total) steps were recorded.")
        }
        let counted = commits[options.warmUps...]
        let seconds = zip(counted, commits[(options.warmUps - 1)...]).map { ($0.at - $1.at).seconds }
        let step = Self.median(seconds)
        let images = configuration.globalBatchSize
        let workers = (0..<options.workers).compactMap { position -> Report.Worker? in
            let parts = counted.compactMap { entry in
                entry.record.workers.indices.contains(position) ? entry.record.workers[position] : nil
            }
            guard parts.count == counted.count, let worker = parts.first?.worker else { return nil }
            func median(_ value: (StepTimings) -> Double) -> Double { Self.median(parts.map { value($0.timings) }) }
            return Report.Worker(
                worker: Int(worker),
                imagesPerSecond: median { Double($0.samples) } / step,
                dataSeconds: median { $0.data.seconds },
                computeSeconds: median { $0.compute.seconds },
                communicationSeconds: median { $0.communication.seconds },
                waitSeconds: median { $0.wait.seconds },
                hiddenCommunication: median {
                    let all = $0.communication.seconds
                    return all > 0 ? $0.hiddenCommunication.seconds / all : 0
                },
                gflops: median { Double($0.operations) } / step / 1e9,
                peakResidentBytes: parts.map { Int($0.timings.residentBytes) }.max() ?? 0,
                plannedBytes: plan?.residentBytes ?? 0
            )
        }
        guard workers.count == options.workers else {
            throw TrainingBenchmarkError.ended("Some steps were done without all \(options.workers) workers.")
        }
        let gflops = workers.reduce(0) { $0 + $1.gflops }
        return Report(
            network: network,
            size: configuration.data.size,
            kernels: variant.table.name,
            workersCount: options.workers,
            threads: options.threads,
            microbatchSize: configuration.training.microbatchSize,
            steps: options.steps,
            stepSeconds: step,
            stepSecondsMinimum: seconds.min() ?? step,
            stepSecondsMaximum: seconds.max() ?? step,
            imagesPerSecond: Double(images) / step,
            gflops: gflops,
            fmaLimitGflops: limit,
            fractionOfLimit: gflops / (limit * Double(options.workers * options.threads)),
            workers: workers
        )
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        if sorted.isEmpty { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}

/// Why a benchmark has no figures.
package enum TrainingBenchmarkError: ReportableError {
    case interrupted
    /// The run that was measured did not complete; its own sentences say why.
    case ended(String)

    package var exitStatus: ExitStatus { .temporary }

    package var description: String {
        switch self {
        case .interrupted: "The benchmark was interrupted; its folder is removed."
        case .ended(let sentences): "The benchmark's run did not complete, so there are no figures. \(sentences)"
        }
    }
}

/// The committed steps with the instants at which they were.
private final class Commits: Sendable {
    struct Entry: Sendable {
        var record: Coordination.StepRecord
        var at: Instant
    }

    private let entries = Mutex<[Entry]>([])
    private let planned = Mutex<MemoryPlan?>(nil)

    var plan: MemoryPlan? { planned.withLock { $0 } }

    var all: [Entry] { entries.withLock { $0 } }

    func note(_ event: RunEvent) {
        switch event {
        case .planned(let plan): planned.withLock { $0 = plan }
        case .stepped(let step):
            guard let record = step.record else { return }
            let entry = Entry(record: record, at: MonotonicClock.now)
            entries.withLock { $0.append(entry) }
        default: break
        }
    }
}

/// Whether the user asked for the end.
private final class Interruption: Sendable {
    private let flag = Atomic<Bool>(false)

    var hasHappened: Bool { flag.load(ordering: .relaxed) }

    func happen() { flag.store(true, ordering: .relaxed) }
}
