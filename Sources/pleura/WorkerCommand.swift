import ArgumentParser
import CSystem
import Coordination
import Diagnostics
import Foundation
import Glibc
import KernelSelection
import Messaging
import Platform
import RunLinks
import WorkerRuntime

/// Compute threads of a worker, as an option.
enum ThreadChoice: ExpressibleByArgument, CustomStringConvertible {
    case auto
    case count(Int)

    init?(argument: String) {
        if argument == "auto" {
            self = .auto
            return
        }
        guard let count = Int(argument), (1...1024).contains(count) else { return nil }
        self = .count(count)
    }

    var description: String {
        switch self {
        case .auto: "auto"
        case .count(let count): "\(count)"
        }
    }

    var defaultValueDescription: String { description }

    /// The threads of one of `workers` on this host, of which more than `most` have no work.
    func count(workers: Int, most: Int) -> Int {
        switch self {
        case .count(let count): count
        case .auto: max(1, min(UsableProcessors.count / max(1, workers), most, 1024))
        }
    }
}

/// `pleura worker`.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Joins a run as one of its workers; `launch` starts its own."
    )

    @Option(help: ArgumentHelp("Where the coordinator listens.", valueName: "tcp://HOST:PORT"))
    var coordinator: String

    @Option(
        help: ArgumentHelp(
            "Compute threads; auto for as many as this process may use cores.",
            valueName: "threads"
        )
    )
    var threads = ThreadChoice.count(1)

    @Option(help: .hidden)
    var workersHere = 1

    @Option(help: .hidden)
    var mostThreads = 1024

    @Option(help: "Serve this job only.")
    var job: String?

    @Option(
        help: ArgumentHelp(
            "Where this worker listens for workers on other hosts; by default everywhere where the coordinator is one.",
            valueName: "tcp://HOST:PORT"
        )
    )
    var listen: String?

    @Option(
        help: ArgumentHelp(
            "The name or address by which other hosts reach this worker; by default the one on the way to the coordinator.",
            valueName: "host"
        )
    )
    var advertise: String?

    @Option(
        help: "The folder with the job's shards; by default where the configuration says, or fetched.",
        transform: userPath
    )
    var shards: String?

    @Flag(help: "Fetch the shards even where their folder can be seen here, as on a slow network disk.")
    var fetch = false

    @Option(help: "Where fetched shards are kept.", transform: userPath)
    var cache: String?

    @Option(help: "The most GiB that fetched shards may take; those of other jobs, the longest unused, are removed.")
    var cacheLimit = 64

    @Option(
        help: ArgumentHelp(
            """
            The folder with allowed.keys and this worker's key, as `pleura keygen` made them; else that of PLEURA_KEYS; \
            - takes keys from standard input, as `launch --hosts` gives them.
            """,
            valueName: "folder"
        ),
        transform: userPath
    )
    var keys: String?

    @Option(help: "Which key of the folder, as worker-0; by default the first that no worker of this host uses.")
    var key: String?

    @Option(help: "none: take part without keys, where other machines reach this one.")
    var security: String?

    @Option(help: .hidden)
    var incarnation: UInt64?

    @Option(help: .hidden)
    var parent: Int32?

    @Option(help: .hidden)
    var host: String?

    @Option(help: .hidden)
    var fault: [String] = []

    func validate() throws {
        guard cacheLimit >= 1 && cacheLimit <= 1_000_000 else {
            throw ValidationError("--cache-limit must be from 1 to 1000000 GiB, found \(cacheLimit).")
        }
        if keys == "-" && key != nil {
            throw ValidationError("--keys - takes the one key that standard input has: leave out --key.")
        }
        if fetch && shards != nil { throw ValidationError("--fetch and --shards exclude each other.") }
        if coordinator.hasPrefix("inproc://") || coordinator.hasPrefix("tcp://") && coordinator.hasSuffix(":0") {
            throw ValidationError(
                "--coordinator takes the address at which a coordinator listens, as it prints it; found \(coordinator)."
            )
        }
        guard security == nil || security == "none" else {
            throw ValidationError("--security takes none, found \(security ?? "").")
        }
        if security != nil && (keys != nil || key != nil) {
            throw ValidationError("--security none and --keys exclude each other.")
        }
    }

    func run() throws {
        if let parent {
            // A worker does not outlive the launcher that started it.
            try endWithParent(parent)
            // The launcher is told of a closed terminal too, drains the run and ends its workers.
            signal(SIGHUP, SIG_IGN)
        }
        let environment = ProcessInfo.processInfo.environment
        let variant = try KernelVariant.selected(environment: environment)
        let home = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/tmp")/.cache"
        let address = try ListenAddress(listen: listen, advertise: advertise, coordinator: coordinator)
        let folder =
            security == nil ? try keys ?? environment[RunSecurity.variable].map { try UserPath.expanded($0) } : nil
        if folder == nil && security == nil {
            try RunSecurity.checkWorkerWithoutKeys(coordinator: coordinator, listen: address.listen)
        }
        let options = WorkerOptions(
            coordinator: coordinator,
            threads: threads.count(workers: workersHere, most: mostThreads),
            incarnation: incarnation ?? .random(in: 1 ... .max),
            job: job,
            listen: address.listen,
            advertisedHost: address.advertised,
            shards: shards,
            fetches: fetch,
            cache: cache ?? "\(home)/pleura",
            cacheLimit: cacheLimit << 30,
            host: host,
            keys: try folder.map {
                $0 == "-"
                    ? try KeyFolder.workerKeys(fromChannel: Self.standardInput())
                    : try KeyFolder($0).workerKeys(named: key)
            },
            faults: try WorkerFaults(fault),
            plannedFaults: try PlannedFaults.planned(in: environment)
        )
        let shell = try WorkerShell(options, variant: variant) { level, sentence in
            printError("\(level): \(sentence)")
        }
        let signals = try SignalWatch(SignalWatch.requests) { shell.leave(reason: SignalWatch.name(of: $0)) }
        defer { signals.cancel() }
        // What is said comes before what may take a moment: running microbatches are finished.
        defer { shell.close() }
        let outcome = try shell.run()
        printError(outcome.message)
        switch outcome.kind {
        case .finished: return
        // Whoever has started it by hand, or a scheduler, would take 0 for the run's end. A launcher knows what it asked for.
        case .left: if parent == nil { throw ExitCode(ExitStatus.temporary.rawValue) }
        case .refused: throw ExitCode(ExitStatus.badConfiguration.rawValue)
        case .coordinatorLost, .failed: throw ExitCode(ExitStatus.temporary.rawValue)
        }
    }

    /// What stands on standard input, to its end; keys and not more.
    private static func standardInput() -> String {
        let bytes = try? FileHandle.standardInput.read(upToCount: KeyFolder.channelLimit)
        return String(decoding: bytes ?? Data(), as: UTF8.self)
    }
}
