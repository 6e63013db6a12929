package import Reduction

/// The number of a worker in its job; never given to another process of the job.
package typealias WorkerNumber = ReductionPlan.Worker

/// A connection to the coordinator, named by the shell (one routing identity is one peer).
package struct PeerID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var rawValue: UInt64

    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    package static func < (a: PeerID, b: PeerID) -> Bool { a.rawValue < b.rawValue }

    package var description: String { "peer \(rawValue)" }
}

/// 128 bits that stand for the bytes of a state or of a step's sums.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package var description: String {
        [high, low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

/// A member of the run as its peers see it.
package struct Member: Hashable, Sendable {
    package var worker: WorkerNumber
    package var hostName: String
    /// Boot id and memory namespace: members with equal identities can share memory.
    package var hostIdentity: String
    /// Compute threads, hence microbatches at once.
    package var threads: UInt32
    /// Where the member's data plane listens.
    package var endpoints: [String]

    package init(worker: WorkerNumber, hostName: String, hostIdentity: String, threads: UInt32, endpoints: [String]) {
        self.worker = worker
        self.hostName = hostName
        self.hostIdentity = hostIdentity
        self.threads = threads
        self.endpoints = endpoints
    }
}

/// The members of the run, in ascending order of their numbers; every change has a higher version.
package struct Membership: Hashable, Sendable {
    package var version: UInt32
    package var members: [Member]

    package init(version: UInt32, members: [Member]) {
        self.version = version
        self.members = members
    }
}

/// What a worker is doing, in the order of a step.
package enum WorkerPhase: UInt8, Hashable, Sendable, CaseIterable, Comparable, CustomStringConvertible {
    case joining = 1
    case preparing = 2
    case waiting = 3
    case validating = 4
    case computing = 5
    case reducing = 6
    /// The worker has reported its sums and waits for the commit.
    case reduced = 7
    case applying = 8
    case halted = 9

    package static func < (a: WorkerPhase, b: WorkerPhase) -> Bool { a.rawValue < b.rawValue }

    package var description: String {
        switch self {
        case .joining: "joining"
        case .preparing: "preparing"
        case .applying: "applying"
        case .waiting: "waiting for work"
        case .validating: "validating"
        case .computing: "computing"
        case .reducing: "reducing"
        case .reduced: "waiting for the commit"
        case .halted: "halted after a failure"
        }
    }
}

/// How a process ended.
package enum ExitCause: Hashable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signal(Int32)

    package var description: String {
        switch self {
        case .exited(let status): "exited with status \(status)"
        case .signal(let number): "was killed by signal \(number)\(Self.names[number].map { " (\($0))" } ?? "")"
        }
    }

    /// Linux's numbers of the signals that end workers.
    private static let names: [Int32: String] = [
        1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
        9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
    ]
}

/// How urgent a sentence of the log is.
package enum LogLevel: UInt8, Hashable, Sendable {
    case info
    case notice
    case warning
    case error
}
