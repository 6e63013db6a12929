import Configuration
import Coordination
import CoordinatorRuntime
package import Foundation
import ModelSetup
import Networks
import Phantoms
import Platform
import Radiography
import RunFolder
import RunLinks
import Sampling
import Storage
import Synchronization

/// Times steps of the real coordinator over ZeroMQ on this machine, with mock workers in a process beside it.
///
/// Nothing is computed: a step is what the coordinator and the protocol cost where workers take no time at all. The mocks
/// share this machine's processors, so that their own time is told beside the coordinator's.
package struct CoordinationBenchmark: Sendable {
    package struct Row: Codable, Sendable {
        package var workers: Int
        package var steps: Int
        /// From commit to commit.
        package var stepSeconds: Double
        package var stepSecondsMinimum: Double
        package var stepSecondsMaximum: Double
        /// Processor time of a step: the coordinator's process, and all mocks together.
        package var coordinatorSeconds: Double
        package var mocksSeconds: Double
        /// From the start of the mocks to the first commit.
        package var startSeconds: Double
        package var peakResidentBytes: Int

        enum CodingKeys: String, CodingKey {
            case workers, steps
            case stepSeconds = "step_s"
            case stepSecondsMinimum = "step_min_s"
            case stepSecondsMaximum = "step_max_s"
            case coordinatorSeconds = "coordinator_s"
            case mocksSeconds = "mocks_s"
            case startSeconds = "start_s"
            case peakResidentBytes = "peak_resident_bytes"
        }
    }

    private struct Commit: Sendable {
        var at: Instant
        var processorSeconds: Double
    }

    private let executable: URL
    private let arguments: [String]

    /// `executable` with `arguments` is a process that runs a `MockCrew`; what it serves is added.
    package init(executable: URL, arguments: [String]) {
        self.executable = executable
        self.arguments = arguments
    }

    /// Measures; blocks the calling thread, with which the mocks end.
    package func run(workers: Int, steps: Int, warmUps: Int = 5) throws -> Row {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-bench-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let configuration = Self.configuration(folder, workers: workers, steps: warmUps + steps)
        try Self.makeShards(in: configuration.data.shards, count: workers)
        let setup = try RunSetup(configuration, dataset: Dataset.open(configuration.data.shards))
        let directory = RunDirectory("\(folder)/run")
        try directory.create()
        let commits = Mutex<[Commit]>([])
        let shell = try CoordinatorShell(
            setup,
            CoordinatorShell.Options(
                directory: directory,
                job: "bench",
                fencing: 1,
                expectedWorkers: workers,
                bind: ["tcp://127.0.0.1:*"],
                resume: nil,
                console: Console(isQuiet: true),
                tensors: [],
                hears: { event in
                    guard case .stepped = event else { return }
                    let commit = Commit(at: MonotonicClock.now, processorSeconds: processProcessorSeconds())
                    commits.withLock { $0.append(commit) }
                }
            )
        )
        defer { shell.close() }
        let begin = MonotonicClock.now
        let mocks = Process()
        mocks.executableURL = executable
        mocks.arguments =
            arguments + [
                "--endpoint", shell.endpoint, "--workers", "\(workers)", "--network-digest", setup.networkDigest,
                "--dataset-digest", setup.datasetDigest,
            ]
        let output = Pipe()
        mocks.standardOutput = output
        try mocks.run()
        defer {
            if mocks.isRunning { mocks.terminate() }
            mocks.waitUntilExit()
        }
        let outcome = try shell.run()
        let told = try output.fileHandleForReading.readToEnd() ?? Data()
        let counted = commits.withLock { $0 }
        // The last state cannot be saved, since the mocks have none: that is how such a run ends.
        guard outcome.kind == .notSaved, counted.count == warmUps + steps,
            let mockSeconds = Double(
                String(decoding: told, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            ),
            let first = counted.first, let last = counted.last
        else {
            throw TrainingBenchmarkError.ended("\(counted.count) of \(warmUps + steps) steps. \(outcome.message)")
        }
        let window = counted[(warmUps - 1)...]
        let seconds = zip(window.dropFirst(), window).map { ($0.at - $1.at).seconds }.sorted()
        let processor = (last.processorSeconds - (window.first?.processorSeconds ?? 0)) / Double(steps)
        return Row(
            workers: workers,
            steps: steps,
            stepSeconds: (seconds[(steps - 1) / 2] + seconds[steps / 2]) / 2,
            stepSecondsMinimum: seconds.first ?? .nan,
            stepSecondsMaximum: seconds.last ?? .nan,
            coordinatorSeconds: processor,
            // Their start is in it: the more steps, the less it counts.
            mocksSeconds: mockSeconds / Double(warmUps + steps),
            startSeconds: (first.at - begin).seconds,
            peakResidentBytes: Self.peakResidentBytes
        )
    }

    private static var peakResidentBytes: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }

    private static func configuration(_ folder: String, workers: Int, steps: Int) -> RunConfiguration {
        var run = RunConfiguration()
        run.run.name = "bench"
        run.run.directory = "\(folder)/run"
        run.data.shards = "\(folder)/shards"
        run.data.size = 64
        run.data.folds.train = .all
        run.data.channels = 1
        run.sampler.policy = .all
        run.network.architecture = .unetSmall
        run.workers.threads = .count(1)
        run.training.epochs = steps
        run.training.microbatches = workers
        run.training.microbatchSize = 1
        run.validation.everyEpochs = 0
        run.checkpoint.everySteps = 0
        run.checkpoint.everyMinutes = 0
        run.checkpoint.keepBest = 0
        run.workers.count = workers
        run.workers.minimum = workers
        return run
    }

    /// As many samples as there are workers, so that each step is an epoch and each worker has a microbatch.
    private static func makeShards(in folder: String, count: Int) throws {
        let size = 64
        let image = PhantomPainter(options: PhantomOptions(seed: 1, size: size)).paint(0)
        let schema = ShardSchema(size: size)
        let writer = try ShardWriter(directory: folder, schema: schema)
        for index in 0..<count {
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
}
