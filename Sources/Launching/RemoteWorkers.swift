package import Configuration
import Coordination
import Foundation
import Messaging
package import Platform
package import RunLinks
import Synchronization

/// How the workers of a list of hosts are started: each through an ssh of its own, behind a guard on its host.
package struct RemoteWorkers: Sendable {
    private let seats: [HostList.Seat]
    private let coordinatorHost: String?
    private let settings: Settings

    /// What all of them are told.
    package struct Settings: Sendable {
        /// Compute threads where a host's entry names none; where they are left to the machine, each worker takes its share
        /// of its host's cores.
        package var threads: RunConfiguration.CountChoice
        /// How many of them have work at most.
        package var mostThreads: Int
        /// A guard ends its worker when nothing has been heard from here for so long.
        package var silenceSeconds: Double
        /// Where the keys are; nil for a run without.
        package var keys: KeyFolder?
        /// Whether the workers are told to take part without keys.
        package var isOpen: Bool
        /// Hears of each line of a worker's output, with its prefix.
        package var onLine: @Sendable (String) -> Void

        package init(
            threads: RunConfiguration.CountChoice,
            mostThreads: Int = 1024,
            silenceSeconds: Double,
            keys: KeyFolder?,
            isOpen: Bool,
            onLine: @escaping @Sendable (String) -> Void
        ) {
            self.threads = threads
            self.mostThreads = mostThreads
            self.silenceSeconds = silenceSeconds
            self.keys = keys
            self.isOpen = isOpen
            self.onLine = onLine
        }
    }

    package init(_ list: HostList, _ settings: Settings) {
        seats = list.seats
        coordinatorHost = list.coordinator
        self.settings = settings
    }

    /// One worker about to be started.
    struct Launch: Sendable {
        let program: ChildProcess.Program
        let arguments: [String]
        let channel: ChildChannel
        private let host: HostList.Host
        private let tail: OutputTail

        init(
            program: ChildProcess.Program,
            arguments: [String],
            channel: ChildChannel,
            host: HostList.Host,
            tail: OutputTail
        ) {
            self.program = program
            self.arguments = arguments
            self.channel = channel
            self.host = host
            self.tail = tail
        }

        /// Whether its guard has begun: the host was reached, whatever came after.
        var wasReached: Bool { tail.hasGuard }

        /// The worker's own end, from that of its ssh or guard: they pass statuses on, and signals as 128 and more.
        func cause(_ cause: ExitCause) -> ExitCause {
            if case .exited(let status) = cause, (129...192).contains(status) { return .signal(status - 128) }
            return cause
        }

        /// What is to be said about that end: where its log is, and its last lines.
        func note(_ cause: ExitCause, log: String) -> String {
            var text = "Its log is \(log)"
            let lines = tail.lines
            text += lines.isEmpty ? "; it wrote nothing." : "; it ends:\n  " + lines.joined(separator: "\n  ")
            switch cause {
            case RemoteWorkers.unreachable where !host.isLocal:
                text +=
                    "\nStatus 255 is ssh's own: \(host.name) was not reached, or the connection broke. Try "
                    + "`\(RemoteWorkers.shownCommand(of: host)) true`."
            case .exited(127):
                text +=
                    "\nStatus 127: there is no program there. Name it with `program:` in the list of hosts, or copy "
                    + "this one to \(host.folder)/pleura."
            default: break
            }
            return text
        }
    }

    /// The end of a worker whose host was not reached, or to which the connection broke: ssh itself failed.
    static let unreachable = LauncherMachine.unreachable

    /// The name of the host of a seat.
    func hostName(of seat: Int) -> String { seats[seat].host.name }

    /// How the worker of a seat is started; its output goes to `log`, each line with the host and worker before it.
    func launch(seat: Int, incarnation: UInt64, coordinator: String, log: String) throws -> Launch {
        let host = seats[seat].host
        let order = GuardOrder(
            // On another host, its guard knows the way by which ssh came.
            coordinator: (coordinatorHost ?? (host.isLocal ? "127.0.0.1" : nil))
                .map { Endpoint.reachable(coordinator, at: $0) } ?? coordinator,
            arguments: arguments(host, incarnation: incarnation),
            folder: host.folder,
            silenceSeconds: settings.silenceSeconds,
            keys: try settings.keys?.channelText(of: KeyFolder.workerName(seat))
        )
        let file = try OpenFile(log, .append)
        let prefix = "\(host.name)/worker-\(seat): "
        let tail = OutputTail()
        let channel = try ChildChannel(first: try order.line, beat: .seconds(2)) { [settings] line in
            if line == WorkerGuard.greeting {
                tail.noteGuard()
                return
            }
            tail.add(line)
            let text = prefix + line
            // A full disk must not end the run; the line is passed on all the same.
            try? Array((text + "\n").utf8).withUnsafeBytes { try file.append($0) }
            settings.onLine(text)
        }
        let command = Self.command(of: host, running: "worker-guard")
        return Launch(
            program: command.program,
            arguments: command.arguments,
            channel: channel,
            host: host,
            tail: tail
        )
    }

    private func arguments(_ host: HostList.Host, incarnation: UInt64) -> [String] {
        let threads = host.threads.map { RunConfiguration.CountChoice.count($0) } ?? settings.threads
        var result =
            threads.count.map { ["--threads", "\($0)"] } ?? [
                "--threads", "auto", "--workers-here", "\(host.workers)", "--most-threads", "\(settings.mostThreads)",
            ]
        result += [
            "--incarnation", "\(incarnation)", "--host", host.name,
            "--cache", "cache", "--cache-limit", "\(host.cacheGiB)",
        ]
        // On this machine the coordinator is reached by loopback, which tells nothing of how others reach the worker.
        let isAlone = seats.allSatisfy { $0.host.isLocal }
        let ownAddress = isAlone ? nil : coordinatorHost ?? ProcessInfo.processInfo.hostName
        if let address = host.address ?? (host.isLocal ? ownAddress : nil) { result += ["--advertise", address] }
        if let shards = host.shards { result += ["--shards", shards] }
        if host.fetches { result.append("--fetch") }
        if settings.isOpen { result += ["--security", "none"] }
        return result
    }

    // MARK: ssh

    /// What starts `subcommand` of the program on a host, with no words that are secret.
    package static func command(
        of host: HostList.Host,
        running subcommand: String
    ) -> (program: ChildProcess.Program, arguments: [String]) {
        if host.isLocal { return (host.program.map { .file($0) } ?? .own, [subcommand]) }
        let words = sshCommand(of: host) + [remoteScript(of: host, running: subcommand)]
        return (.file(words[0]), Array(words.dropFirst()))
    }

    /// ssh with its options and destination.
    static func sshCommand(of host: HostList.Host) -> [String] {
        // The user's options first: ssh takes the first value of each.
        ["/usr/bin/env", "ssh"] + host.ssh + [
            "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o",
            "ServerAliveCountMax=3", host.destination,
        ]
    }

    /// What a user types to try the connection.
    package static func shownCommand(of host: HostList.Host) -> String {
        (["ssh"] + host.ssh + [host.destination]).joined(separator: " ")
    }

    /// The one command line that a login shell there runs.
    package static func remoteScript(of host: HostList.Host, running subcommand: String) -> String {
        let script: String
        if let program = host.program {
            script = "exec \(shellPath(program)) \(subcommand)"
        } else {
            let own = shellPath("\(host.folder)/pleura")
            script = "if [ -x \(own) ]; then exec \(own) \(subcommand); else exec pleura \(subcommand); fi"
        }
        return "exec sh -c \(quoted(script))"
    }

    /// A path as a word of a POSIX shell; `~/` at its beginning stands for the home folder.
    private static func shellPath(_ path: String) -> String {
        path.hasPrefix("~/") ? "\"$HOME\"/" + quoted(String(path.dropFirst(2))) : quoted(path)
    }

    /// The text as one word of a shell.
    private static func quoted(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}

/// The last lines that a process wrote.
package final class OutputTail: Sendable {
    private let kept = Mutex<[String]>([])
    private let guardSeen = Atomic<Bool>(false)
    private static let count = 6

    package init() {}

    /// Notes a line, and forgets the first of too many.
    package func add(_ line: String) {
        if line.allSatisfy(\.isWhitespace) { return }
        kept.withLock { lines in
            lines.append(line)
            if lines.count > Self.count { lines.removeFirst() }
        }
    }

    /// Notes that a guard has begun.
    package func noteGuard() { guardSeen.store(true, ordering: .relaxed) }

    /// Whether a guard has begun.
    package var hasGuard: Bool { guardSeen.load(ordering: .relaxed) }

    /// The oldest first.
    package var lines: [String] { kept.withLock { $0 } }
}
