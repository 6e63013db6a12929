package import Configuration
package import Coordination
package import CoordinatorRuntime
import Diagnostics
import Foundation
import Glibc
import Graph
import Inference
import Kernels
import Messaging
import ModelSetup
import Networks
import Optimization
import Platform
import Reporting
import RunFolder
import RunLinks
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
        /// Lead the run in a process of its own, which is replaced where it dies; of steps their records are then not heard.
        package var isSupervised: Bool
        /// The hosts on which workers are started in place of this one; their number is `workers.count`.
        package var hosts: HostList?
        package var isVerbose: Bool
        package var isQuiet: Bool
        /// Names of the fields that the command line sets: the user knows their values.
        package var overridden: Set<String> = []
        /// Goes on with a configuration that was edited by hand since it was written.
        package var acceptsEditedConfiguration = false
        /// Hears what happens, on a thread that leads the run: it must return soon. The end is told as soon as it is known,
        /// before workers and files are closed.
        package var hears: @Sendable (RunEvent) -> Void

        package init(
            bind: String = "tcp://127.0.0.1:*",
            startsWorkers: Bool = true,
            isSupervised: Bool = false,
            hosts: HostList? = nil,
            isVerbose: Bool = false,
            isQuiet: Bool = false,
            hears: @escaping @Sendable (RunEvent) -> Void = { _ in }
        ) {
            self.bind = bind
            self.startsWorkers = startsWorkers
            self.isSupervised = isSupervised
            self.hosts = hosts
            self.isVerbose = isVerbose
            self.isQuiet = isQuiet
            self.hears = hears
        }
    }

    private let configuration: RunConfiguration
    private let directory: RunDirectory
    private let options: Options
    private let console: Console
    private let keys: ServerKeys?
    private let session = LaunchSession()
    private let requests = EndRequests()

    /// A run of `configuration`, whose folder and shards are set.
    package init(_ configuration: RunConfiguration, options: Options) throws {
        try configuration.checkTrainable()
        var resolved = configuration
        // The saved configuration is read by processes with other working directories.
        resolved.run.directory = FileSystem.canonical(configuration.run.directory)
        resolved.data.shards = FileSystem.absolute(FileSystem.tidied(configuration.data.shards))
        if !resolved.security.keys.isEmpty {
            resolved.security.keys = FileSystem.absolute(configuration.security.keys)
        }
        for path in [\RunConfiguration.initial.weights, \.initial.from] where !configuration[keyPath: path].isEmpty {
            resolved[keyPath: path] = FileSystem.absolute(configuration[keyPath: path])
        }
        keys = try RunSecurity.serverKeys(
            resolved.security,
            bind: options.bind,
            environment: try Self.environment(resolved, options)
        )
        if options.startsWorkers { try keys?.requireKeys(for: configuration.workers.count) }
        self.configuration = resolved
        self.options = options
        directory = RunDirectory(configuration.run.directory)
        console = Console(isVerbose: options.isVerbose, isQuiet: options.isQuiet)
    }

    // MARK: The two ways in

    /// Starts the run afresh. A folder with a run that can be resumed is refused; what a start has left that ended
    /// before its first checkpoint is removed.
    package func launch() throws -> RunOutcome {
        try examineMachine()
        // Told before the data is read; and again when nobody else can begin in the folder.
        try directory.requireNoCheckpoints()
        try directory.requireOwnFiles()
        guard FileSystem.exists("\(configuration.data.shards)/\(DatasetManifest.fileName)") else {
            throw RunError.noShards(configuration.data.shards)
        }
        let dataset = try Dataset.open(configuration.data.shards)
        let setup = try RunSetup(configuration, dataset: dataset)
        warnOfEnlarging(dataset, setup)
        let plan = try checkMemory(setup)
        var initial = try InitialCheckpoint(setup)
        try FileSystem.createDirectory(directory.path)
        let lock = try takeLock()
        return try withExtendedLifetime(lock) {
            try directory.requireNoCheckpoints()
            try directory.store.removeTemporaries()
            let left = try directory.removeAbortedStart()
            if !left.isEmpty {
                let names = left.joined(separator: ", ")
                console.log(.notice, "a start in \(directory.path) ended before its first checkpoint; removed \(names)")
            }
            try directory.create()
            let manifest = RunManifest.new(named: configuration.displayName)
            try manifest.write(directory)
            session.begin(run: manifest.run, in: directory)
            try AtomicFile.write(SealedText.sealed(setup.configuration.resolvedYAML()), to: directory.configuration)
            let begin = try initial?.write(run: manifest.run, in: directory) { [console] in console.log(.notice, $0) }
            // The state is in the file; the run needs its memory.
            initial = nil
            let outcome = checked(try recover(try run(setup, plan, resume: begin, fencing: 1), setup, plan))
            writeReport(outcome, dataset)
            return outcome
        }
    }

    /// Goes on by itself with a run of which no worker is left: from its newest checkpoint, or from its beginning where it
    /// has none; until it gets no further.
    private func recover(_ first: RunOutcome, _ setup: RunSetup, _ plan: MemoryPlan) throws -> RunOutcome {
        var outcome = first
        var attempts = 3
        var saved = outcome.savedSteps ?? 0
        try requireSoundShards(after: outcome)
        while outcome.kind == .workerLost, options.startsWorkers, configuration.workers.respawns > 0, attempts > 0,
            !requests.hasCome
        {
            attempts -= 1
            console.log(.warning, "\(outcome.message) It goes on by itself with new workers.")
            if try outcome.savedSteps != nil || !directory.store.list().isEmpty {
                outcome = try resumeHeld()
            } else {
                _ = try Metrics.cutBack(path: directory.metrics, toStep: 0, validations: 0)
                outcome = try run(setup, plan, resume: nil, fencing: try nextFencing())
            }
            if (outcome.savedSteps ?? 0) > saved { attempts = 3 }
            saved = outcome.savedSteps ?? saved
            try requireSoundShards(after: outcome)
        }
        return outcome
    }

    /// Throws what is wrong with a shard that a lost worker has named, where something is: new workers would fail at the
    /// same sample, and the cause is the data and not the worker.
    private func requireSoundShards(after outcome: RunOutcome) throws {
        guard [.workerLost, .stopped].contains(outcome.kind),
            let folder = try? directory.shards(configuration.data.shards),
            let manifest = try? DatasetManifest.read(in: folder)
        else { return }
        let lines = (try? Journal<JournalLine>.read(directory.journal).entries) ?? []
        let told = [outcome.message] + lines.filter { $0.event == "lost" }.compactMap(\.text)
        for shard in manifest.shards where told.contains(where: { $0.contains(shard.file) }) {
            let defects = try StorageVerification.verify("\(folder)/\(shard.file)").flatMap(\.defects)
            guard let first = defects.first else { continue }
            throw LaunchError.damagedShard("\(first)", shards: configuration.data.shards, run: directory.path)
        }
    }

    /// Goes on from the newest intact checkpoint.
    package func resume() throws -> RunOutcome {
        try checkSeal()
        if let steps = try stepsOfCompleteRun() { return alreadyComplete(steps) }
        try examineMachine()
        let lock = try takeLock()
        return try withExtendedLifetime(lock) {
            session.begin(run: try identify(), in: directory)
            let outcome = checked(try resumeHeld())
            try requireSoundShards(after: outcome)
            guard outcome.kind == .workerLost else { return outcome }
            let setup = try RunSetup(
                configuration,
                dataset: Dataset.open(try directory.shards(configuration.data.shards))
            )
            return checked(try recover(outcome, setup, MemoryPlan(setup, programs: ProgramSet(setup))))
        }
    }

    /// Goes on from the newest intact checkpoint; the folder is this process's.
    private func resumeHeld() throws -> RunOutcome {
        var configuration = configuration
        configuration.data.shards = try directory.shards(configuration.data.shards)
        if configuration.data.shards != self.configuration.data.shards {
            console.log(.notice, "\(self.configuration.data.shards) is gone; using \(configuration.data.shards)")
        }
        let dataset = try Dataset.open(configuration.data.shards)
        let setup = try RunSetup(configuration, dataset: dataset)
        warnOfEnlarging(dataset, setup)
        if let outcome = try reattach(setup) {
            writeReport(outcome, dataset)
            return outcome
        }
        try directory.store.removeTemporaries()
        var change: RunError?
        let found = try directory.store.newestIntact { checkpoint in
            do throws(RunError) {
                try FixedFields.check(setup.configuration, against: checkpoint)
            } catch {
                change = change ?? error
                throw error
            }
            try RunIdentity.require(session.run, of: checkpoint)
            try accept(checkpoint, setup: setup)
        }
        guard let checkpoint = found.contents else {
            throw change ?? RunError.nothingToResume(directory.path, reasons: found.skipped.map(\.description))
        }
        for skipped in found.skipped {
            console.log(.warning, "The checkpoint \(skipped.record.path) is not used: \(skipped)")
        }
        let progress = try ResumedProgress.read(checkpoint, setup.configuration, directory)
        if setup.isComplete(progress) { return alreadyComplete(progress.completedSteps) }
        for sentence in try ResumeChanges.sentences(from: checkpoint, to: setup, at: progress, dataset) {
            console.log(.warning, sentence)
        }
        let plan = try checkMemory(setup)
        try directory.create()
        try RunManifest.open(directory)
        try AtomicFile.write(SealedText.sealed(setup.configuration.resolvedYAML()), to: directory.configuration)
        _ = try Metrics.cutBack(
            path: directory.metrics,
            toStep: Int(progress.completedSteps),
            validations: Int(progress.transition)
        )
        let name = checkpoint.path.split(separator: "/").last.map(String.init) ?? checkpoint.path
        console.log(.notice, "resuming \(directory.path) at step \(progress.completedSteps) from \(name)")
        let outcome = try run(
            setup,
            plan,
            resume: ResumePoint(progress: progress, file: name),
            fencing: try nextFencing()
        )
        writeReport(outcome, dataset)
        return outcome
    }

    /// Goes on with the workers of a coordinator that has died, where they came by themselves and may still be there.
    ///
    /// - Returns: nil where none is left.
    private func reattach(_ setup: RunSetup) throws -> RunOutcome? {
        guard options.isSupervised, !options.startsWorkers, let endpoints = RunEndpoints.read(directory),
            try RunHistory(directory).reattachment != nil
        else { return nil }
        // Workers keep the configuration that they were welcomed with.
        var kept = try RunConfiguration.load(path: directory.configuration, overrides: [])
        // The folder may have been moved since, or be named by another way to it.
        kept.run.directory = setup.configuration.run.directory
        guard setup.configuration.resolvedYAML() == kept.resolvedYAML() else {
            console.log(.notice, "the configuration is changed: workers of the coordinator before are not waited for")
            return nil
        }
        let plan = try checkMemory(setup)
        try RunManifest.open(directory)
        let isAnywhere = options.bind.hasSuffix(":*")
        let (outcome, hasBegun) = try lead(
            setup,
            plan,
            resume: nil,
            fencing: try nextFencing(),
            reattachingAt: RunEndpoints(
                control: isAnywhere ? endpoints.control : options.bind,
                bulk: endpoints.bulk
            )
        )
        if hasBegun || outcome.kind != .workerLost { return outcome }
        console.log(.notice, "no worker of the coordinator before is left")
        return nil
    }

    private func accept(_ checkpoint: CheckpointContents, setup: RunSetup) throws {
        let state = try ModelState(setup)
        try checkpoint.require(state.tensors.map(\.signature), network: setup.network.name)
        if checkpoint.trainer.datasetDigest != setup.datasetDigest {
            throw LaunchError.otherDataset(
                checkpoint: checkpoint.path,
                digest: checkpoint.trainer.datasetDigest,
                shards: setup.configuration.data.shards,
                found: setup.datasetDigest
            )
        }
        if checkpoint.trainer.numericsProfile != setup.numericsProfile {
            throw LaunchError.otherNumerics(
                checkpoint: checkpoint.path,
                profile: checkpoint.trainer.numericsProfile,
                run: setup.numericsProfile
            )
        }
    }

    /// The steps of a run whose newest checkpoint says that it is complete, and is sound; nil where that cannot be told
    /// from the checkpoint alone.
    ///
    /// Needs no shards and writes nothing: a complete run may have been archived.
    private func stepsOfCompleteRun() throws -> UInt64? {
        guard let newest = try directory.store.list().last, let checkpoint = try? CheckpointStore.open(newest.path),
            checkpoint.trainer.step == newest.step, StoredProgress.saysComplete(checkpoint.trainer),
            FixedFields.haveEqualEnds(configuration, checkpoint), CheckpointStore.verify(newest.path).isEmpty
        else { return nil }
        return UInt64(newest.step)
    }

    private func alreadyComplete(_ steps: UInt64) -> RunOutcome {
        let outcome = RunOutcome(
            kind: .completed,
            message: "The run in \(directory.path) is already complete: \(steps) steps are done and saved. "
                + "Nothing was changed.",
            completedSteps: steps,
            savedSteps: steps
        )
        options.hears(.ended(EndedRun(outcome)))
        return outcome
    }

    /// Takes the folder, and takes away what was asked of those who led the run before.
    private func takeLock() throws -> RunLock {
        let lock = try directory.lock()
        if let warning = lock.warning { console.log(.warning, warning) }
        for sentence in RunRequest.removeStale(from: directory) { console.log(.warning, sentence) }
        session.hold(lock)
        return lock
    }

    /// Which run lives in the folder; one of an earlier version, which had no name, gets one. Where `run.json` is gone,
    /// the newest checkpoint tells.
    private func identify() throws -> String {
        do {
            if let manifest = try RunManifest.read(directory) { return manifest.run }
        } catch let error as StorageDefect {
            throw RunError.damaged("\(error) Remove it, and resume again: the newest checkpoint tells which run it is.")
        }
        var manifest = RunManifest.new(named: configuration.displayName)
        let known = try directory.store.list().reversed().lazy
            .compactMap { try? CheckpointStore.open($0.path) }.compactMap { StoredProgress.run(of: $0.trainer) }.first
        if let known {
            manifest.run = known
            console.log(
                .warning,
                "\(directory.manifest) is gone; it is written anew from what the newest checkpoint says"
            )
        }
        try manifest.write(directory)
        return manifest.run
    }

    /// Refuses a configuration that was edited by hand since it was written, unless the user knows each change: what is
    /// gone on with must not be a surprise, nor be sealed as if it had always been so.
    private func checkSeal() throws {
        do {
            try SealedText.check(directory.configuration)
            return
        } catch is StorageDefect {}
        var kept = try RunConfiguration.load(path: directory.configuration)
        let newest = try directory.store.list().reversed().lazy.compactMap { try? CheckpointStore.open($0.path) }.first
        let before = newest.flatMap { try? RunConfiguration.parse($0.trainer.configuration, file: $0.path) }
        guard let before else {
            if options.acceptsEditedConfiguration { return }
            throw RunError.edited(directory.configuration, directory, [])
        }
        // A moved run has another folder and is not edited by that.
        kept.run.directory = before.run.directory
        let changed = ConfigurationField.all.filter { $0.text(in: before) != $0.text(in: kept) }
        let lines = changed.map { "`\($0.name)`: \($0.text(in: before)) -> \($0.text(in: kept))" }
        if changed.isEmpty {
            console.log(.notice, "\(directory.configuration) was edited, in no value; it is written anew")
        } else if options.acceptsEditedConfiguration || changed.allSatisfy({ options.overridden.contains($0.name) }) {
            console.log(.warning, "\(directory.configuration) was edited: \(lines.joined(separator: "; "))")
        } else {
            throw RunError.edited(directory.configuration, directory, lines)
        }
    }

    /// The outcome, or, where the run's folder is gone, that nothing of it is left: silence would pass for success.
    private func checked(_ outcome: RunOutcome) -> RunOutcome {
        guard [.completed, .drained].contains(outcome.kind) else { return outcome }
        do {
            try session.requireFolder()
            // A run that was asked to end before it began has not written them yet.
            let grown = outcome.completedSteps > 0 ? [directory.metrics, directory.journal] : []
            let missing = grown.filter { !FileSystem.exists($0) }
            guard let first = missing.first else { return outcome }
            throw RunError.folderGone(directory.path, "\(FileSystem.name(of: first)) is gone")
        } catch {
            let newest = try? directory.store.list().last
            let left =
                newest.map { "What is left there is the checkpoint \($0.path), which `pleura inspect` reads." }
                ?? "No checkpoint is left there."
            let lost = RunOutcome(
                kind: .notSaved,
                message:
                    "\(error) \(outcome.completedSteps) steps were done, and the run is not whole any more. \(left)",
                completedSteps: outcome.completedSteps,
                savedSteps: newest.map { UInt64($0.step) }
            )
            options.hears(.ended(EndedRun(lost)))
            return lost
        }
    }

    /// One more than any coordinator of the run had.
    private func nextFencing() throws -> UInt64 {
        guard FileSystem.exists(directory.journal) else { return 2 }
        let entries: [JournalLine]
        do {
            entries = try Journal<JournalLine>.read(directory.journal).entries
            // No run has had so many coordinators; numbers above are refused on the wire too.
            if let highest = entries.compactMap(\.fencing).max(), highest >= JournalLine.mostFencing {
                throw RunError.damaged("Its coordinator has the number \(highest), which no run reaches.")
            }
        } catch let error as any ReportableError {
            // Under a name that nothing has: an earlier one may be worth a look too.
            let names = ["journal.damaged"] + (2...1000).map { "journal.damaged-\($0)" }
            let name = names.first { !FileSystem.exists("\(directory.path)/\($0)") } ?? "journal.damaged"
            console.log(.warning, "The journal is damaged and is kept aside as \(name). \(error)")
            try FileSystem.rename(directory.journal, to: "\(directory.path)/\(name)")
            return UInt64(max(2, Int(RunRecorder.time)))
        }
        return (entries.compactMap(\.fencing).max() ?? 1) + 1
    }

    /// Says what memory the run plans to take; refuses one that cannot fit, before anything is written.
    private func checkMemory(_ setup: RunSetup) throws -> MemoryPlan {
        let plan = try MemoryPlan(setup, programs: ProgramSet(setup))
        if options.startsWorkers && options.hosts == nil {
            try plan.requireRoom(for: configuration.workers.count, in: .current(), of: setup)
        }
        console.say("planned memory: \(plan)")
        options.hears(.planned(plan))
        return plan
    }

    // MARK: The machine and its signals

    /// Says what of this machine is in the way of local workers, before anything is written.
    private func examineMachine() throws {
        guard options.startsWorkers, options.hosts == nil else { return }
        if Endpoint.isLoopback(options.bind) { try Loopback.requireUp() }
        for remark in LaunchRemarks.local(configuration, .own) { console.log(.warning, remark) }
    }

    /// Says where the network's input is larger than what the shards have.
    private func warnOfEnlarging(_ dataset: Dataset, _ setup: RunSetup) {
        if let remark = LaunchRemarks.sizes(shards: dataset.size, network: setup.size) { console.log(.warning, remark) }
    }

    /// Says what a terminal's stop (Ctrl-Z) does not stop, and then lets it stop this process.
    ///
    /// Workers on other hosts end when this process is not heard, so with such it does not stop.
    private func watchStops() throws -> SignalWatch {
        let isHeard = options.hosts?.hosts.contains { !$0.isLocal } == true
        return try SignalWatch([SIGTSTP]) { [console, directory] signal in
            if isHeard {
                console.log(
                    .warning,
                    "Ctrl-Z is not obeyed: workers on other hosts live only as long as this process is heard. Ctrl-C saves "
                        + "the run and ends it."
                )
                return
            }
            console.log(
                .warning,
                "Ctrl-Z stops this process only: the coordinator and the workers train on, and one that dies is not "
                    + "replaced meanwhile. `fg` or `bg` continues it; `pleura drain \(directory.path)` ends the run."
            )
            StreamWriter.shared.flush(atMost: .milliseconds(300))
            SignalWatch.obey(signal)
        }
    }

    // MARK: The run

    private func run(
        _ setup: RunSetup,
        _ plan: MemoryPlan,
        resume: ResumePoint?,
        fencing: UInt64
    ) throws -> RunOutcome {
        try lead(setup, plan, resume: resume, fencing: fencing, reattachingAt: nil).outcome
    }

    /// - Parameter reattachingAt: where a coordinator listened whose workers may still be there.
    /// - Returns: how the run ended, and whether it has begun.
    private func lead(
        _ setup: RunSetup,
        _ plan: MemoryPlan,
        resume: ResumePoint?,
        fencing: UInt64,
        reattachingAt before: RunEndpoints?
    ) throws -> (outcome: RunOutcome, hasBegun: Bool) {
        if let remark = setup.remark { console.log(.warning, remark) }
        if let warning = RunSecurity.warning(configuration.security, hasKeys: keys != nil) {
            console.log(.warning, warning)
        }
        let count = configuration.workers.count
        let peak = PeakMemory()
        let launcher = LauncherShell(machineConfiguration(resume, reattaches: before != nil))
        defer { launcher.release() }
        let shell: any RunCoordinator =
            options.isSupervised
            ? try supervised(setup, resume, fencing, before, peak, launcher)
            : try coordinator(setup, resume, fencing, peak, launcher)
        launcher.follow(shell)
        defer { shell.close() }
        let signals = try SignalWatch(SignalWatch.requests) { [requests] signal in
            requests.note()
            launcher.deliver(.drainRequested(reason: SignalWatch.name(of: signal)))
        }
        defer { signals.cancel() }
        let stops = try options.isSupervised ? watchStops() : nil
        defer { stops?.cancel() }
        let crew = try WorkerCrew(
            WorkerCrew.Options(
                coordinator: shell.endpoint,
                threads: configuration.threads(usable: UsableProcessors.count),
                logs: directory.logs,
                security: { [keys, configuration] seat in
                    var arguments: [String] = []
                    if let keys { arguments += ["--keys", keys.folder.path, "--key", KeyFolder.workerName(seat)] }
                    if configuration.security.mode == .none { arguments += ["--security", "none"] }
                    return arguments
                },
                remote: remoteWorkers,
                say: { shell.say($0) }
            ),
            launcher
        )
        launcher.command(crew)
        defer { crew.close(after: .seconds(1)) }
        if options.startsWorkers {
            try crew.start(count)
        } else if before == nil {
            console.say(
                "waiting for \(count) workers: start each with\n  pleura worker --coordinator "
                    + Endpoint.reachable(shell.endpoint, at: ProcessInfo.processInfo.hostName)
                    + (keys == nil ? "" : " --keys FOLDER")
                    + (configuration.security.mode == .none ? " --security none" : "")
            )
        }
        let outcome = try shell.run()
        // What follows waits for processes and for the disk, which may be stuck: the user knows the outcome by then,
        // and another Ctrl-C ends the program as it does by default.
        options.hears(.ended(EndedRun(outcome)))
        signals.cancel()
        stops?.cancel()
        // Workers that have just been started in the place of lost ones hear of no end.
        crew.close(after: .seconds([.stopped, .workerLost].contains(outcome.kind) ? 1 : 5))
        say(peak.bytes, against: plan)
        return (outcome, options.isSupervised ? launcher.hasBegun : true)
    }

    /// What the launcher's machine is told of the run.
    private func machineConfiguration(_ resume: ResumePoint?, reattaches: Bool) -> LauncherMachine.Configuration {
        let timeouts = configuration.workers.timeouts
        return LauncherMachine.Configuration(
            respawns: configuration.workers.respawns,
            isRemote: options.hosts != nil,
            silence: .milliseconds(Int(timeouts.silenceSeconds * 1000)),
            standstill: .milliseconds(Int(timeouts.phaseSeconds * 1000)),
            reattaches: reattaches,
            savedSteps: resume?.progress.completedSteps
        )
    }

    /// Hands on to who follows the run what the coordinator says, in this process or in another.
    private func hear(_ event: RunEvent, _ peak: PeakMemory) {
        switch event {
        case .stepped(let step): peak.note(step.peakBytes)
        // A successor may lead on: the launcher tells the end itself.
        case .ended, .failed: return
        case .planned, .listening, .began, .alive, .evicted: break
        }
        options.hears(event)
    }

    /// The coordinator in this process.
    private func coordinator(
        _ setup: RunSetup,
        _ resume: ResumePoint?,
        _ fencing: UInt64,
        _ peak: PeakMemory,
        _ launcher: LauncherShell
    ) throws -> CoordinatorShell {
        try CoordinatorShell(
            setup,
            CoordinatorShell.Options(
                directory: directory,
                job: job,
                fencing: fencing,
                expectedWorkers: configuration.workers.count,
                bind: [options.bind],
                resume: resume,
                console: console,
                tensors: try ModelState(setup).tensors.map(\.signature),
                keys: keys,
                run: session.run,
                session: session.holder,
                hears: { [self] event in
                    if case .evicted(let incarnation) = event { launcher.deliver(.evicted(incarnation: incarnation)) }
                    hear(event, peak)
                }
            )
        )
    }

    /// The coordinator in a process of its own.
    private func supervised(
        _ setup: RunSetup,
        _ resume: ResumePoint?,
        _ fencing: UInt64,
        _ before: RunEndpoints?,
        _ peak: PeakMemory,
        _ launcher: LauncherShell
    ) throws -> SupervisedCoordinator {
        try SupervisedCoordinator(
            SupervisedCoordinator.Options(
                order: CoordinatorOrder(
                    directory: directory.path,
                    job: job,
                    configuration: setup.configuration.resolvedYAML(),
                    fencing: fencing,
                    expectedWorkers: configuration.workers.count,
                    bind: before?.control ?? options.bind,
                    bulkBind: before?.bulk,
                    checkpoint: resume?.file,
                    reattaches: before != nil,
                    keys: keys?.folder.path,
                    run: session.run,
                    session: session.holder,
                    isVerbose: options.isVerbose,
                    isQuiet: options.isQuiet,
                    parent: getpid()
                ),
                hears: { [self] in hear($0, peak) }
            ),
            launcher
        )
    }

    /// How the workers of the list of hosts are started; nil where there is none.
    private var remoteWorkers: RemoteWorkers? {
        options.hosts.map { hosts in
            RemoteWorkers(
                hosts,
                RemoteWorkers.Settings(
                    threads: configuration.workers.threads,
                    mostThreads: configuration.mostThreads,
                    // A worker that hears no coordinator ends by itself after its grace period; then its guard has no use.
                    silenceSeconds: max(30, 2 * configuration.workers.graceSeconds),
                    keys: keys?.folder,
                    isOpen: configuration.security.mode == .none,
                    onLine: { [console] line in
                        let isWarning = line.contains(": warning: ") || line.contains(": error: ")
                        console.log(isWarning ? .warning : .info, line)
                    }
                )
            )
        }
    }

    /// The environment in which keys are looked for: workers of other hosts get some that are made for the run, in its
    /// folder, where the user has named none.
    private static func environment(_ run: RunConfiguration, _ options: Options) throws -> [String: String] {
        var environment = ProcessInfo.processInfo.environment
        guard let hosts = options.hosts, run.security.keys.isEmpty, run.security.mode != .none,
            environment[RunSecurity.variable] == nil, !Endpoint.isLoopback(options.bind)
        else { return environment }
        // The number is a part of the name: keys are never written over.
        let count = hosts.seats.count
        environment[RunSecurity.variable] =
            try KeyFolder.existingOrNew("\(run.run.directory)/keys-\(count)", workers: count).path
        return environment
    }

    /// Says the most memory that a worker took, beside what was planned.
    private func say(_ peak: Int, against plan: MemoryPlan) {
        guard peak > 0 else { return }
        // A checkpoint's memory is there for a moment that need not have come yet.
        let (least, most) = (plan.residentBytes, plan.residentBytes + plan.checkpoint)
        let sentence =
            "peak memory: \(peak >> 20) MiB a worker, planned were \(least >> 20)"
            + (most > least ? " to \(most >> 20)" : "")
        console.log(peak > most + most / 20 ? .warning : .info, sentence)
    }

    /// Writes the run's page where it ended in order; what goes wrong with that is said and changes nothing.
    private func writeReport(_ outcome: RunOutcome, _ dataset: Dataset) {
        // Where the folder is gone, `checked` says so; what stands in its place is not this run's.
        guard [.completed, .drained].contains(outcome.kind), (try? session.requireFolder()) != nil else { return }
        defer { settle() }
        do {
            let notes = try RunReportBuilder.write(directory, dataset: dataset)
            for note in notes { console.log(.warning, note) }
            console.say("report: \(directory.report)")
        } catch {
            console.log(.warning, "The report could not be written: \(error) `pleura report` tries again.")
        }
    }

    /// Notes what the run's files hold at its end, so that one that is cut or gone is missed.
    private func settle() {
        do { try RunManifest.close(directory) } catch {
            console.log(.warning, "What the run's files hold could not be noted in \(directory.manifest): \(error)")
        }
    }

    /// The job's name: the run's own, so that a worker of another run is refused.
    private var job: String {
        RunIdentity.job(named: configuration.displayName, run: session.run)
    }
}

/// What a launch learns of the run that it leads, once it holds the run's folder.
private final class LaunchSession: Sendable {
    private struct State: Sendable {
        var run = ""
        var holder = ""
        var folder: RunFolderWatch?
    }

    private let state = Mutex(State())

    /// The run, as `run.json` says.
    var run: String { state.withLock { $0.run } }
    /// The session of the lock's holder.
    var holder: String { state.withLock { $0.holder } }

    func hold(_ lock: RunLock) { state.withLock { $0.holder = lock.holder.session } }

    func begin(run: String, in directory: RunDirectory) {
        let folder = RunFolderWatch(directory)
        state.withLock { state in
            state.run = run
            state.folder = folder
        }
    }

    /// Throws where the run's folder is gone.
    func requireFolder() throws { try state.withLock { $0.folder }?.check() }
}

/// Whether somebody has asked the run to end, in this part of it or in one before.
private final class EndRequests: Sendable {
    private let flag = Atomic<Bool>(false)

    var hasCome: Bool { flag.load(ordering: .acquiring) }

    func note() { flag.store(true, ordering: .releasing) }
}

/// The most memory that any worker of a run has said to have taken.
private final class PeakMemory: Sendable {
    private let most = Atomic<Int>(0)

    var bytes: Int { most.load(ordering: .relaxed) }

    func note(_ bytes: Int) { most.max(bytes, ordering: .relaxed) }
}
