import ArgumentParser
import Configuration
import Coordination
import CoordinatorRuntime
import Diagnostics
import Doctor
import Foundation
import Launching
import Platform
import RunFolder
import Storage

/// `pleura launch`.
struct LaunchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "launch",
        abstract: "Starts a training run: a coordinator and its workers.",
        discussion: """
            Ctrl-C finishes the step, saves a checkpoint and ends, as do SIGTERM and a closed terminal; a second Ctrl-C, \
            a second or more later, stops at once. `pleura resume` goes on where the run stopped, with the same results.
            """
    )

    @Argument(
        help: "The configuration, such as configs/demo.yaml; or a folder of shards, to train with the defaults.",
        transform: userPath
    )
    var configuration: String

    @OptionGroup var overrides: OverrideOptions
    @OptionGroup var options: RunOptions

    func run() throws {
        let hosts = try options.hostList()
        let sets = overrides.set + options.overrides(hosts)
        var resolved = try read(sets)
        let folder = try nameFolder(&resolved)
        do {
            for remark in resolved.remarks { printError("warning: \(remark)") }
            if let hosts { try options.check(hosts, resolved) }
            let outcome = try RunLauncher(resolved, options: options.launcher(hosts)).launch()
            try CommandOutcome.finish(outcome, run: resolved.run.directory)
        } catch {
            folder?.removeIfEmpty()
            throw error
        }
    }

    /// The configuration; that of a folder of shards is the defaults.
    private func read(_ sets: [String]) throws -> RunConfiguration {
        guard FileSystem.exists("\(configuration)/\(DatasetManifest.fileName)") else {
            return try RunConfiguration.load(path: configuration, overrides: sets)
        }
        return try RunConfiguration.parse(
            "",
            file: configuration,
            overrides: ["data.shards=\(configuration)"] + sets
        )
    }

    /// Makes a folder for a run that has none yet; nil where it has one, or has no shards to train on.
    private func nameFolder(_ resolved: inout RunConfiguration) throws -> NewRunFolder? {
        let manifest = "\(resolved.data.shards)/\(DatasetManifest.fileName)"
        guard resolved.run.directory.isEmpty, !resolved.data.shards.isEmpty else { return nil }
        guard FileSystem.exists(manifest) else { throw RunError.noShards(resolved.data.shards) }
        let folder = try NewRunFolder(resolved, file: configuration)
        resolved.run.directory = folder.path
        if !options.quiet { printError("the run is \(folder.path)") }
        return folder
    }
}

/// `pleura resume`.
struct ResumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Resumes a run from its newest intact checkpoint."
    )

    @Argument(help: "The run's folder.", transform: userPath)
    var directory: String

    @OptionGroup var overrides: OverrideOptions
    @OptionGroup var options: RunOptions

    @Flag(help: "Take a config.yaml that was edited by hand since the run wrote it.")
    var acceptEditedConfiguration = false

    func validate() throws {
        if overrides.set.contains(where: { $0.hasPrefix("run.directory=") }) {
            throw ValidationError("A run is resumed where it is: leave out --set run.directory.")
        }
    }

    func run() throws {
        let folder = RunDirectory(directory)
        guard folder.exists else { throw RunError.notARun(directory) }
        let hosts = try options.hostList()
        let sets = overrides.set + options.overrides(hosts)
        var resolved = try RunConfiguration.load(path: folder.configuration, overrides: sets)
        // The folder may have been moved since.
        resolved.run.directory = directory
        for remark in resolved.remarks { printError("warning: \(remark)") }
        if let hosts {
            var present = resolved
            present.data.shards = try folder.shards(resolved.data.shards)
            try options.check(hosts, present)
        }
        var launcher = options.launcher(hosts)
        launcher.acceptsEditedConfiguration = acceptEditedConfiguration
        launcher.overridden = Set(sets.compactMap { $0.split(separator: "=").first.map(String.init) })
        try CommandOutcome.finish(try RunLauncher(resolved, options: launcher).resume(), run: directory)
    }
}

/// Options that `launch` and `resume` share.
struct RunOptions: ParsableArguments {
    @Option(help: "Worker processes; also workers.count.")
    var workers: Int?

    @Option(help: "Compute threads of each worker, or auto; also workers.threads.")
    var threads: ThreadChoice?

    @Option(help: "How gradients travel: auto, shared-memory or zeromq; also workers.transport.")
    var transport: String?

    @Option(help: "Where the coordinator listens; tcp://0.0.0.0:7000 for workers on other hosts.")
    var bind = RunOptions.loopback

    /// Where the coordinator listens by default.
    private static let loopback = "tcp://127.0.0.1:*"

    @Flag(help: "Start no workers on this machine; others start them with `pleura worker`.")
    var noLocalWorkers = false

    @Option(
        help: ArgumentHelp(
            "Start the workers on the hosts of this list, through ssh; see docs/hosts.md.",
            valueName: "hosts.yaml"
        ),
        transform: userPath
    )
    var hosts: String?

    @Flag(help: "With --hosts: start without looking at the hosts first.")
    var skipChecks = false

    @Flag(name: .shortAndLong, help: "Say what the coordinator decides.")
    var verbose = false

    @Flag(name: .shortAndLong, help: "Warnings and errors only.")
    var quiet = false

    func validate() throws {
        if hosts != nil && (noLocalWorkers || workers != nil) {
            throw ValidationError(
                "--hosts says where workers run and how many: leave out --workers and --no-local-workers."
            )
        }
        if bind.hasPrefix("inproc://") {
            throw ValidationError("--bind takes tcp://HOST:PORT or ipc://PATH, found \(bind).")
        }
    }

    /// Looks at the hosts before anything is started; says what is not well, and ends the command where that would fail.
    func check(_ hosts: HostList, _ configuration: RunConfiguration) throws {
        if skipChecks { return }
        let doctor = try Doctor(configuration, hosts: hosts, bind: launcher(hosts).bind, readsData: false)
        let report = doctor.examine()
        if report.level > .good && !(quiet && report.level < .failure) { printError(report.table(from: .warning)) }
        guard report.level < .failure else {
            printError(
                "Nothing was started. `pleura doctor` shows every finding; --skip-checks starts the run in spite of them."
            )
            throw ExitCode(ExitStatus.temporary.rawValue)
        }
    }

    /// The list of hosts; nil where none was given.
    func hostList() throws -> HostList? { try hosts.map { try HostList.load(path: $0) } }

    /// What the options and the list of hosts change in the configuration.
    func overrides(_ hosts: HostList?) -> [String] {
        var result: [String] = []
        if let hosts { result.append("workers.count=\(hosts.seats.count)") }
        if let workers { result.append("workers.count=\(workers)") }
        if let threads { result.append("workers.threads=\(threads)") }
        if let transport { result.append("workers.transport=\(transport)") }
        return result
    }

    /// What the launcher is told; with workers on other hosts, the coordinator listens everywhere by default.
    func launcher(_ hosts: HostList?) -> RunLauncher.Options {
        let isEverywhere = bind == Self.loopback && hosts?.hosts.contains { !$0.isLocal } == true
        return RunLauncher.Options(
            bind: isEverywhere ? "tcp://0.0.0.0:*" : bind,
            startsWorkers: !noLocalWorkers,
            isSupervised: true,
            hosts: hosts,
            isVerbose: verbose,
            isQuiet: quiet,
            hears: { event in
                if case .ended(let end) = event { printError(end.message) }
            }
        )
    }
}

/// How a run's outcome becomes an exit status.
enum CommandOutcome {
    /// Says what to do next with the run in the folder `run`, and throws the status of an outcome that is none of order.
    static func finish(_ outcome: RunOutcome, run: String) throws {
        switch outcome.kind {
        case .completed:
            NextCommand.say(
                "pleura evaluate \(run) --best",
                "finds the rule that makes masks, and scores the validation fold"
            )
        case .drained where outcome.savedSteps != nil: NextCommand.say("pleura resume \(run)", "goes on")
        case .drained: return
        case .stopped, .workerLost, .notStarted, .notSaved: throw ExitCode(ExitStatus.temporary.rawValue)
        case .diverged: throw ExitCode(ExitStatus.internal.rawValue)
        }
    }
}
