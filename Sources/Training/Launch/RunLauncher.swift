package import Configuration
package import Coordination
import Diagnostics
import Foundation
import Glibc
import Graph
import Kernels
import Messaging
import Networks
import Optimization
import Reporting
import Sampling
import Storage
import Synchronization

/// Starts a run, or goes on with one: coordinator in this process, workers as its children.
package struct RunLauncher {
    /// What the command line adds to the configuration.
    package struct Options: Sendable {
        /// Where the coordinator listens; loopback unless workers come from other hosts.
        package var bind: String
        /// Start no workers here: they come by `pleura worker`.
        package var startsWorkers: Bool
        package var isVerbose: Bool
        package var isQuiet: Bool
        /// Hears of each committed step, on the coordinator's loop: it must return soon.
        package var onStep: (@Sendable (Coordination.StepRecord) -> Void)?

        package init(
            bind: String = "tcp://127.0.0.1:*",
            startsWorkers: Bool = true,
            isVerbose: Bool = false,
            isQuiet: Bool = false,
            onStep: (@Sendable (Coordination.StepRecord) -> Void)? = nil
        ) {
            self.bind = bind
            self.startsWorkers = startsWorkers
            self.isVerbose = isVerbose
            self.isQuiet = isQuiet
            self.onStep = onStep
        }
    }

    private let configuration: RunConfiguration
    private let directory: RunDirectory
    private let options: Options
    private let console: Console

    /// A run of `configuration`, whose folder and shards are set.
    package init(_ configuration: RunConfiguration, options: Options) throws {
        try configuration.checkTrainable()
        self.configuration = configuration
        self.options = options
        directory = RunDirectory(configuration.run.directory)
        console = Console(isVerbose: options.isVerbose, isQuiet: options.isQuiet)
    }

    // MARK: The two ways in

    /// Starts the run afresh. A folder that holds a run already is refused.
    package func launch() throws -> RunOutcome {
        if directory.exists { throw RunError.alreadyExists(directory.path) }
        let dataset = try Dataset.open(configuration.data.shards)
        let setup = try RunSetup(configuration, dataset: dataset)
        try checkMemory(setup)
        try directory.create()
        let lock = try directory.lock()
        try AtomicFile.write(setup.configuration.resolvedYAML(), to: directory.configuration)
        return try withExtendedLifetime(lock) {
            let outcome = try run(setup, resume: nil, fencing: 1)
            writeReport(outcome, dataset)
            return outcome
        }
    }

    /// Goes on from the newest intact checkpoint.
    package func resume() throws -> RunOutcome {
        let lock = try directory.lock()
        return try withExtendedLifetime(lock) {
            let dataset = try Dataset.open(configuration.data.shards)
            let setup = try RunSetup(configuration, dataset: dataset)
            _ = try directory.store.removeTemporaries()
            let found = try directory.store.newestIntact { checkpoint in
                try accept(checkpoint, setup: setup)
            }
            for skipped in found.skipped {
                console.log(.warning, "The checkpoint \(skipped.record.path) is not used: \(skipped)")
            }
            guard let checkpoint = found.contents else { throw RunError.nothingToResume(directory.path) }
            let progress = try RunProgress(checkpoint.trainer, path: checkpoint.path)
            if isComplete(progress, setup) {
                let steps = progress.completedSteps
                return RunOutcome(
                    kind: .completed,
                    message: "The run in \(directory.path) is already complete: \(steps) steps are done and saved. "
                        + "Nothing was changed.",
                    completedSteps: steps,
                    savedSteps: steps
                )
            }
            try directory.create()
            try AtomicFile.write(setup.configuration.resolvedYAML(), to: directory.configuration)
            _ = try Metrics.cutBack(
                path: directory.metrics,
                toStep: Int(progress.completedSteps),
                validations: Int(progress.transition)
            )
            let name = checkpoint.path.split(separator: "/").last.map(String.init) ?? checkpoint.path
            console.log(.notice, "resuming \(directory.path) at step \(progress.completedSteps) from \(name)")
            let outcome = try run(
                setup,
                resume: ResumePoint(progress: progress, file: name),
                fencing: try nextFencing()
            )
            writeReport(outcome, dataset)
            return outcome
        }
    }

    private func accept(_ checkpoint: CheckpointContents, setup: RunSetup) throws {
        let state = try ModelState(setup, kernels: .reference, transpositions: [])
        try checkpoint.require(state.tensors.map(\.signature), network: setup.network.name)
        if checkpoint.trainer.datasetDigest != setup.datasetDigest {
            throw RunError.data(
                "The checkpoint \(checkpoint.path) was trained on the data set \(checkpoint.trainer.datasetDigest); "
                    + "\(configuration.data.shards) has \(setup.datasetDigest). Set data.shards to the same shards."
            )
        }
        if checkpoint.trainer.numericsProfile != setup.numericsProfile {
            throw RunError.data(
                "The checkpoint \(checkpoint.path) has the numerics profile \(checkpoint.trainer.numericsProfile), "
                    + "the run \(setup.numericsProfile)."
            )
        }
    }

    private func isComplete(_ progress: RunProgress, _ setup: RunSetup) -> Bool {
        if progress.stoppedEarly { return true }
        guard progress.completedSteps >= setup.schedule.totalSteps else { return false }
        let validates = configuration.validates && !setup.folds.validation.isEmpty
        return !validates || progress.validatedAt == progress.completedSteps
    }

    /// One more than any coordinator of the run had.
    private func nextFencing() throws -> UInt64 {
        guard FileSystem.exists(directory.journal) else { return 2 }
        let entries: [JournalLine]
        do {
            entries = try Journal<JournalLine>.read(directory.journal).entries
        } catch let error as any ReportableError {
            console.log(.warning, "The journal is damaged and is kept aside as journal.damaged. \(error)")
            try FileSystem.rename(directory.journal, to: "\(directory.path)/journal.damaged")
            return UInt64(max(2, Int(RunRecorder.time)))
        }
        return (entries.compactMap(\.fencing).max() ?? 1) + 1
    }

    /// Refuses a run that cannot fit before anything is written.
    private func checkMemory(_ setup: RunSetup) throws {
        let programs = try ProgramSet(setup)
        let threads = configuration.workers.threads
        let perWorker = MemoryEstimate(setup, programs: programs, threads: threads).bytes
        let workers = options.startsWorkers ? configuration.workers.count : 0
        let available = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
        if perWorker * workers > available {
            throw RunError.data(
                "\(workers) workers would need \(perWorker * workers >> 20) MiB, this machine has "
                    + "\(available >> 20) MiB. Lower training.microbatch_size, workers.threads or workers.count."
            )
        }
        console.log(.info, "each worker takes about \(perWorker >> 20) MiB")
    }

    // MARK: The run

    private func run(_ setup: RunSetup, resume: ResumePoint?, fencing: UInt64) throws -> RunOutcome {
        let state = try ModelState(setup, kernels: .reference, transpositions: [])
        let count = configuration.workers.count
        let shell = try CoordinatorShell(
            setup,
            CoordinatorShell.Options(
                directory: directory,
                job: job,
                fencing: fencing,
                expectedWorkers: count,
                bind: [options.bind],
                resume: resume,
                console: console,
                checkpointBytes: state.checkpointBytes,
                onStep: options.onStep
            )
        )
        defer { shell.close() }
        let signals = SignalWatch([SIGINT, SIGTERM]) { signal in
            shell.drain(reason: signal == SIGINT ? "Ctrl-C" : "SIGTERM")
        }
        defer { signals.cancel() }
        let workers = LocalWorkers()
        if options.startsWorkers {
            for index in 0..<count { try start(index, workers, shell) }
        } else {
            console.say(
                "waiting for \(count) workers: start each with\n  pleura worker --coordinator \(shell.endpoint)"
            )
        }
        let outcome = try shell.run()
        workers.stop(after: .seconds(outcome.kind == .stopped ? 1 : 5))
        return outcome
    }

    /// Writes the run's page where it ended in order; what goes wrong with that is said and changes nothing.
    private func writeReport(_ outcome: RunOutcome, _ dataset: Dataset) {
        guard [.completed, .drained].contains(outcome.kind) else { return }
        // Everything is saved: from here on Ctrl-C ends the program at once, as it does by default.
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
        do {
            let notes = try RunReportBuilder.write(directory, dataset: dataset)
            for note in notes { console.log(.warning, note) }
            console.say("report: \(directory.report)")
        } catch {
            console.log(.warning, "The report could not be written: \(error) `pleura report` tries again.")
        }
    }

    /// The job's name: its folder's own, so that a worker of another run is refused.
    private var job: String {
        "\(configuration.displayName)-\(XXH3.hash64(Array(directory.path.utf8) + Array("\(configuration.run.seed)".utf8)))"
    }

    private func start(_ index: Int, _ workers: LocalWorkers, _ shell: CoordinatorShell) throws {
        let incarnation = UInt64.random(in: 1 ... .max)
        let arguments = [
            "worker", "--coordinator", shell.endpoint, "--threads", "\(configuration.workers.threads)",
            "--incarnation", "\(incarnation)", "--parent", "\(getpid())",
        ]
        _ = try workers.start(
            program: LocalWorkers.ownProgram,
            arguments: arguments,
            log: "\(directory.logs)/worker-\(index).log",
            incarnation: incarnation
        ) { child, cause in
            shell.workerExited(incarnation: child.incarnation, process: child.process, cause)
        }
    }
}

/// The memory that a worker plans to use.
package struct MemoryEstimate: Hashable, Sendable {
    /// Weights, optimizer state and what the backward pass reads transposed.
    package let stateBytes: Int
    /// Gradients of the worker's nodes, and the sums.
    package let gradientBytes: Int
    /// One arena for each compute thread.
    package let arenaBytes: Int
    package let inputBytes: Int

    package var bytes: Int { stateBytes + gradientBytes + arenaBytes + inputBytes }

    package init(_ setup: RunSetup, programs: ProgramSet, threads: Int) {
        let layout = setup.layout
        let vectors = 1 + setup.optimizer.slots.count + (setup.average == nil ? 0 : 1)
        stateBytes = 4 * (vectors * layout.weightCount + layout.transposedCount + layout.bufferCount)
        // A node each for a single leaf; folding takes a vector for each level besides.
        let leaves = max(1, setup.configuration.training.microbatches / max(1, setup.configuration.workers.count))
        var levels = 1
        while 1 << (levels - 1) < leaves { levels += 1 }
        gradientBytes = 4 * layout.sumCount * (min(leaves, levels + threads - 1) + 1)
        arenaBytes = threads * programs.arenaBytes
        let pixels = setup.size * setup.size
        let images = setup.configuration.training.microbatchSize
        inputBytes = (2 * threads + 2) * 4 * pixels * images * (setup.network.inputChannels + 1)
    }
}

/// Calls a handler for signals, on a thread of Dispatch's.
package final class SignalWatch: @unchecked Sendable {
    // The sources are made once and only cancelled.
    private let sources: [any DispatchSourceSignal]
    /// Signals taken from their default action. Dispatch puts a handler of its own in the place of `SIG_IGN` with the
    /// first source of a signal only: to ignore it again would make it deaf to a second watch and to the first.
    private static let taken = Mutex<Set<Int32>>([])

    package init(_ signals: [Int32], _ handler: @escaping @Sendable (Int32) -> Void) {
        sources = signals.map { number in
            if Self.taken.withLock({ $0.insert(number).inserted }) { signal(number, SIG_IGN) }
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { handler(number) }
            source.resume()
            return source
        }
    }

    package func cancel() { for source in sources { source.cancel() } }
}
