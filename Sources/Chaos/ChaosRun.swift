import Configuration
import Coordination
package import Diagnostics
import Foundation
import Glibc
import Launching
import Platform
import RunFolder
import Storage
import Synchronization

/// Runs a configuration undisturbed once, then again and again under faults, and compares what comes out.
///
/// Belongs to the thread that calls `run`, which starts all processes: the kernel ends workers with it.
package struct ChaosRun {
    package struct Options: Sendable {
        /// The file that the runs are launched from, and what is set for all of them.
        package var configuration: String
        package var overrides: [String]
        /// For how many minutes new runs are started; the last one is finished.
        package var duration: Duration
        /// After how many faults no more follow and no new run is begun, also before `duration` has passed.
        package var mostFaults = Int.max
        package var seed: UInt64
        package var faults: [ChaosFault]
        /// Where the runs are kept while they last; nil: beside the configuration's own folder.
        package var directory: String?
        /// How long a run may commit nothing before it counts as hung; nil: from the run's own deadlines.
        package var patience: Duration?
        /// The SHA-256 of an earlier undisturbed run's state, to compare with in place of this one's.
        package var expected: String?

        package init(
            configuration: String,
            overrides: [String],
            duration: Duration,
            seed: UInt64,
            faults: [ChaosFault] = ChaosFault.allCases
        ) {
            self.configuration = configuration
            self.overrides = overrides
            self.duration = duration
            self.seed = seed
            self.faults = faults
        }
    }

    /// Why chaos could not even begin, or what it found.
    package struct Failure: ReportableError {
        package let description: String
        package let exitStatus: ExitStatus

        package init(_ description: String, _ exitStatus: ExitStatus = .internal) {
            self.description = description
            self.exitStatus = exitStatus
        }
    }

    let options: Options
    let configuration: RunConfiguration
    /// The folder of all runs.
    let directory: String
    let say: @Sendable (String) -> Void

    /// `say` takes each fault and each result, a line at a time.
    package init(_ options: Options, say: @escaping @Sendable (String) -> Void) throws {
        guard !options.faults.isEmpty else { throw Failure("Chaos needs at least one kind of fault.", .usage) }
        self.options = options
        self.say = say
        configuration = try RunConfiguration.load(path: options.configuration, overrides: options.overrides)
        try configuration.checkTrainable()
        let own = FileSystem.absolute(configuration.run.directory)
        directory = options.directory.map(FileSystem.absolute) ?? own + "-chaos"
    }

    /// Does all of it on the calling thread; `report.failure` says what went wrong. Throws where nothing could begin.
    package func run() throws -> ChaosReport {
        let marker = "\(directory)/.chaos"
        if FileSystem.isDirectory(directory), !FileSystem.exists(marker),
            try !FileSystem.names(in: directory).isEmpty
        {
            throw Failure(
                "Chaos makes and removes runs in \(directory), where somebody else's files are. Give another folder with "
                    + "--directory FOLDER.",
                .usage
            )
        }
        try FileSystem.createDirectory(directory)
        try AtomicFile.write("", to: marker)
        let lock = try RunDirectory(directory).lock()
        return try withExtendedLifetime(lock) {
            let isInterrupted = ChaosInterruptFlag()
            let signals = try SignalWatch(SignalWatch.requests) { _ in isInterrupted.set() }
            defer { signals.cancel() }
            return try disturb(isInterrupted)
        }
    }

    private func disturb(_ isInterrupted: ChaosInterruptFlag) throws -> ChaosReport {
        var report = ChaosReport(seed: options.seed, workers: configuration.workers.count)
        say("an undisturbed run first, in \(directory)/reference")
        let reference = try undisturbed(isInterrupted)
        report.reference = reference
        say(
            "undisturbed: \(reference.steps) steps in \(text(reference.seconds)) s, median step "
                + "\(text(reference.medianStepSeconds)) s, state \(reference.stateSHA256)"
        )
        let patience = options.patience ?? patience(reference)
        say("a run that commits nothing for \(text(patience.seconds)) s counts as hung")
        var faults = options.faults
        let room = 3 * size(of: "\(directory)/reference/checkpoints") + (32 << 20)
        if faults.contains(.fullDisk), let reason = whyNoDisk(room) {
            faults.removeAll { $0 == .fullDisk }
            let sentence = "SKIPPED: \(ChaosFault.fullDisk.words): \(reason)"
            report.skipped.append(sentence)
            say(sentence)
            if faults.isEmpty { throw Failure("No kind of fault is left that can be done here. \(reason)", .usage) }
        }
        let start = ContinuousClock.now
        var number = 1
        repeat {
            let seed = options.seed &+ UInt64(number - 1)
            let name = "run-\(number)"
            let run = DisturbedRun(
                chaos: self,
                number: number,
                directory: RunDirectory("\(directory)/\(name)"),
                reference: reference,
                faults: faults,
                seed: seed,
                patience: patience,
                room: room,
                start: start,
                end: start + options.duration,
                mostFaults: options.mostFaults - report.events.count,
                isInterrupted: isInterrupted
            )
            let began = ContinuousClock.now
            do {
                defer { report.events += run.events }
                let end = try run.run()
                let expected = options.expected ?? reference.stateSHA256
                // Weights are a part of the state; where another run's state is given, it stands for both.
                let isEqual =
                    end.state == expected && (options.expected != nil || end.weights == reference.weightsSHA256)
                report.runs.append(
                    ChaosReport.Run(
                        number: number,
                        seed: seed,
                        seconds: (ContinuousClock.now - began).seconds,
                        resumes: run.resumes,
                        stateSHA256: end.state,
                        weightsSHA256: end.weights,
                        isEqual: isEqual
                    )
                )
                guard isEqual else {
                    throw Failure("Its state is \(end.state), and should be \(expected).")
                }
            } catch let failure as Failure {
                report.failure = explain(failure, run)
                return report
            } catch is ChaosInterruption {
                report.failure = "Chaos was asked to end in run \(number), of which nothing is known."
                return report
            }
            say(
                "run \(number): equal hashes after \(run.events.count) faults"
                    + (run.resumes > 0 ? ", resumed \(run.resumes) times" : "")
            )
            run.remove()
            number += 1
        } while ContinuousClock.now - start < options.duration && report.events.count < options.mostFaults
        return report
    }

    private func explain(_ failure: Failure, _ run: DisturbedRun) -> String {
        let lines = run.events.map { event in
            "  \(text(event.at)) s, step \(event.step): \(event.fault.words): \(event.detail)"
                + (event.recoverySeconds.map { "; recovered in \(text($0)) s" } ?? "; no step was committed after it")
        }
        return """
            Run \(run.number) of seed \(run.seed) failed. \(failure.description)
            Its faults:
            \(lines.isEmpty ? "  none" : lines.joined(separator: "\n"))
            The run is kept in \(run.directory.path), its log in \(run.log). `--seed \(run.seed)` draws the same faults.
            """
    }

    // MARK: The undisturbed run

    private func undisturbed(_ isInterrupted: ChaosInterruptFlag) throws -> ChaosReport.Reference {
        let run = RunDirectory("\(directory)/reference")
        let processes = ChaosProcesses()
        defer { processes.endAll() }
        try removeRun(run)
        let start = ContinuousClock.now
        let process = try processes.start(launchArguments(run), log: "\(run.path).log")
        while processes.end(of: process) == nil {
            if isInterrupted.isSet { throw Failure("Chaos was asked to end in the undisturbed run.", .temporary) }
            processes.wait(.milliseconds(200))
        }
        guard case .exited(0)? = processes.end(of: process), let last = try hashes(of: run) else {
            throw Failure(
                "The undisturbed run did not come to its end: \(LocalWorkers.note(log: "\(run.path).log", from: 0))",
                .temporary
            )
        }
        var tail = CommitTail(run.metrics)
        let times = tail.poll().map(\.time)
        let steps = zip(times.dropFirst(), times).map { $0 - $1 }.sorted()
        return ChaosReport.Reference(
            steps: last.step,
            stateSHA256: last.state,
            weightsSHA256: last.weights,
            seconds: (ContinuousClock.now - start).seconds,
            medianStepSeconds: ChaosReport.median(steps) ?? 0
        )
    }

    /// Longer than the run's own deadlines may take one after the other.
    private func patience(_ reference: ChaosReport.Reference) -> Duration {
        let timeouts = configuration.workers.timeouts
        let seconds =
            60 + timeouts.joinSeconds + 2 * timeouts.silenceSeconds + configuration.workers.graceSeconds
            + 20 * reference.medianStepSeconds
        return .milliseconds(Int(seconds * 1000))
    }

    private func whyNoDisk(_ bytes: Int) -> String? {
        let path = "\(directory)/disk"
        do {
            try ChaosDisk(at: path, bytes: bytes).unmount()
            rmdir(path)
            return nil
        } catch {
            rmdir(path)
            return "a small file system cannot be mounted here (that takes root). \(error)"
        }
    }

    // MARK: For every run

    /// `launch` of a run in its own folder.
    func launchArguments(_ run: RunDirectory) -> [String] {
        let workers = configuration.workers
        var sets = options.overrides + ["run.directory=\(run.path)", "workers.respawns=100000"]
        // Room for those that join.
        if workers.maximum == 0 { sets.append("workers.maximum=\(min(1024, workers.count + 2))") }
        return ["launch", options.configuration] + sets.flatMap { ["--set", $0] }
    }

    /// The step and the hashes of the newest intact checkpoint; nil where there is none.
    func hashes(of run: RunDirectory) throws -> (step: Int, state: String, weights: String)? {
        guard let checkpoint = try run.store.newestIntact().contents else { return nil }
        return (
            checkpoint.trainer.step, try checkpoint.stateHash().description,
            try checkpoint.weightsHash().description
        )
    }

    /// Removes a run of an earlier chaos in the same folder.
    func removeRun(_ run: RunDirectory) throws {
        // A chaos that was killed leaves its small disk behind.
        if FileSystem.exists("\(run.checkpoints)/\(ChaosDisk.markerName)") { ChaosDisk.unmount(run.checkpoints) }
        for path in [run.path, "\(run.path).log"] where FileSystem.exists(path) {
            try FileManager.default.removeItem(atPath: path)
        }
    }

    private func size(of folder: String) -> Int {
        let names = (try? FileSystem.names(in: folder)) ?? []
        return names.reduce(0) { $0 + ((try? FileSystem.size(of: "\(folder)/\($1)")) ?? 0) }
    }
}

/// Three decimals.
func text(_ seconds: Double) -> String { String(format: "%.3f", seconds) }

/// Chaos was asked to end.
struct ChaosInterruption: Error {}

/// Whether Chaos was asked to end, set on a signal's thread.
final class ChaosInterruptFlag: Sendable {
    private let flag = Atomic<Bool>(false)

    var isSet: Bool { flag.load(ordering: .relaxed) }

    func set() { flag.store(true, ordering: .relaxed) }
}
