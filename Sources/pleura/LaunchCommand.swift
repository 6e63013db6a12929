import ArgumentParser
import Configuration
import Coordination
import Diagnostics
import Foundation
import Training

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

    @Argument(help: "The configuration, such as configs/demo.yaml.")
    var configuration: String

    @OptionGroup var overrides: OverrideOptions
    @OptionGroup var options: RunOptions

    func run() throws {
        let sets = overrides.set + options.overrides
        let resolved = try RunConfiguration.load(path: configuration, overrides: sets)
        for remark in resolved.remarks { printError("warning: \(remark)") }
        try CommandOutcome.finish(try RunLauncher(resolved, options: options.launcher).launch())
    }
}

/// `pleura resume`.
struct ResumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Goes on with a run from its newest intact checkpoint."
    )

    @Argument(help: "The run's folder.")
    var directory: String

    @OptionGroup var overrides: OverrideOptions
    @OptionGroup var options: RunOptions

    func validate() throws {
        if overrides.set.contains(where: { $0.hasPrefix("run.directory=") }) {
            throw ValidationError("A run is resumed where it is: leave out --set run.directory.")
        }
    }

    func run() throws {
        let folder = RunDirectory(directory)
        guard folder.exists else { throw RunError.notARun(directory) }
        let sets = overrides.set + options.overrides
        var resolved = try RunConfiguration.load(path: folder.configuration, overrides: sets)
        // The folder may have been moved since.
        resolved.run.directory = directory
        for remark in resolved.remarks { printError("warning: \(remark)") }
        try CommandOutcome.finish(try RunLauncher(resolved, options: options.launcher).resume())
    }
}

/// `--set`, as often as wanted.
struct OverrideOptions: ParsableArguments {
    @Option(
        name: .long,
        parsing: .singleValue,
        help: ArgumentHelp("Override a field of the configuration.", valueName: "a.b=value")
    )
    var set: [String] = []
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
    var bind = "tcp://127.0.0.1:*"

    @Flag(help: "Start no workers on this machine: they come by `pleura worker`.")
    var noLocalWorkers = false

    @Flag(name: .shortAndLong, help: "Say what the coordinator decides.")
    var verbose = false

    @Flag(name: .shortAndLong, help: "Warnings and errors only.")
    var quiet = false

    var overrides: [String] {
        var result: [String] = []
        if let workers { result.append("workers.count=\(workers)") }
        if let threads { result.append("workers.threads=\(threads)") }
        if let transport { result.append("workers.transport=\(transport)") }
        return result
    }

    var launcher: RunLauncher.Options {
        RunLauncher.Options(
            bind: bind,
            startsWorkers: !noLocalWorkers,
            isSupervised: true,
            isVerbose: verbose,
            isQuiet: quiet,
            onOutcome: { printError($0.message) }
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
