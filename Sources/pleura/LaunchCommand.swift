import ArgumentParser
import Configuration
import Coordination
import CoordinatorRuntime
import Diagnostics
import Doctor
import Foundation
import Launching
import RunFolder

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

    @Argument(help: "The configuration, such as configs/demo.yaml.", transform: userPath)
    var configuration: String

    @OptionGroup var overrides: OverrideOptions
    @OptionGroup var options: RunOptions

    func run() throws {
        let hosts = try options.hostList()
        let sets = overrides.set + options.overrides(hosts)
        let resolved = try RunConfiguration.load(path: configuration, overrides: sets)
        for remark in resolved.remarks { printError("warning: \(remark)") }
        if let hosts { try options.check(hosts, resolved) }
        try CommandOutcome.finish(try RunLauncher(resolved, options: options.launcher(hosts)).launch())
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
        try CommandOutcome.finish(try RunLauncher(resolved, options: launcher).resume())
    }
}

/// Options that `launch` and `resume` share.
struct RunOptions: ParsableArguments {
    @Option(help: "Worker processes; also workers.count.")
    var workers: Int?

    @Option(help: "Compute threads of each worker; also workers.threads.")
    var threads: Int?

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
    static func finish(_ outcome: RunOutcome) throws {
        switch outcome.kind {
        case .completed, .drained: return
        case .stopped, .workerLost, .notStarted, .notSaved: throw ExitCode(ExitStatus.temporary.rawValue)
        case .diverged: throw ExitCode(ExitStatus.internal.rawValue)
        }
    }
}
