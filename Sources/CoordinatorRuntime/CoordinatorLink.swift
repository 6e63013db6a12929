package import Coordination
import Foundation
import Glibc
import Synchronization

/// What the launcher tells the coordinator that it has started; the first is the order. It hears of `RunEvent`s.
package enum ToCoordinator: Codable, Sendable {
    case order(CoordinatorOrder)
    /// A worker process of the launcher's has ended.
    case exited(WorkerExit)
    case drain(reason: String)
    /// A sentence for the log: the coordinator has the terminal.
    case say(String)
}

/// How a coordinator is to lead a run.
package struct CoordinatorOrder: Codable, Sendable {
    package var directory: String
    package var job: String
    /// The resolved configuration as text.
    package var configuration: String
    package var fencing: UInt64
    package var expectedWorkers: Int
    package var bind: String
    /// Where bulk was handed over before; nil takes any port beside the control's.
    package var bulkBind: String?
    /// The checkpoint that the run goes on from, by its file's name.
    package var checkpoint: String?
    /// Whether workers of a coordinator that has died may still be there.
    package var reattaches: Bool
    package var keys: String?
    /// Which run it is, and who leads it: what is asked of another is not obeyed.
    package var run: String
    package var session: String
    package var isVerbose: Bool
    package var isQuiet: Bool
    /// The launcher's process, with which the coordinator ends.
    package var parent: Int32

    package init(
        directory: String,
        job: String,
        configuration: String,
        fencing: UInt64,
        expectedWorkers: Int,
        bind: String,
        bulkBind: String? = nil,
        checkpoint: String? = nil,
        reattaches: Bool,
        keys: String? = nil,
        run: String,
        session: String,
        isVerbose: Bool,
        isQuiet: Bool,
        parent: Int32
    ) {
        self.directory = directory
        self.job = job
        self.configuration = configuration
        self.fencing = fencing
        self.expectedWorkers = expectedWorkers
        self.bind = bind
        self.bulkBind = bulkBind
        self.checkpoint = checkpoint
        self.reattaches = reattaches
        self.keys = keys
        self.run = run
        self.session = session
        self.isVerbose = isVerbose
        self.isQuiet = isQuiet
        self.parent = parent
    }
}

/// The end of a worker process.
package struct WorkerExit: Codable, Sendable {
    package var incarnation: UInt64
    package var process: Int32
    package var status: Int32
    package var isSignal: Bool
    package var note: String
    package var isReplaced: Bool

    package init(incarnation: UInt64, process: Int32, _ cause: ExitCause, note: String, isReplaced: Bool) {
        self.incarnation = incarnation
        self.process = process
        switch cause {
        case .exited(let status): (self.status, isSignal) = (status, false)
        case .signal(let number): (self.status, isSignal) = (number, true)
        }
        self.note = note
        self.isReplaced = isReplaced
    }

    package var cause: ExitCause { isSignal ? .signal(status) : .exited(status) }
}

/// An outcome without the evidence.
package struct EndedRun: Codable, Sendable {
    package var kind: UInt8
    package var message: String
    package var completedSteps: UInt64
    package var savedSteps: UInt64?

    package init(_ outcome: RunOutcome) {
        kind = outcome.kind.rawValue
        message = outcome.message
        completedSteps = outcome.completedSteps
        savedSteps = outcome.savedSteps
    }

    package var outcome: RunOutcome? {
        RunOutcome.Kind(rawValue: kind).map {
            RunOutcome(kind: $0, message: message, completedSteps: completedSteps, savedSteps: savedSteps)
        }
    }
}

/// Messages as lines of JSON over one end of a pair of connected sockets.
///
/// Any thread may send; one thread receives.
package final class LineChannel: Sendable {
    /// Far above the longest message, which holds a configuration.
    private static let maximumLine = 4 << 20

    /// So much may wait for the other end to read; nothing that matters is ever so much.
    private static let maximumPending = 16 << 20

    private let descriptor: Int32
    /// What the other end has not taken yet.
    private let pending = Mutex<[UInt8]>([])

    /// Takes the descriptor over.
    package init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Sends a message, or keeps it for `flush` where the other end, which may be stopped, does not read; false where it
    /// is gone.
    ///
    /// Never blocks. `isFleeting`: a message that is not worth keeping, since another one like it follows.
    @discardableResult
    package func send(_ message: some Encodable, isFleeting: Bool = false) -> Bool {
        guard var line = try? Array(JSONEncoder().encode(message)) else { return false }
        line.append(UInt8(ascii: "\n"))
        return pending.withLock { pending in
            guard write(&pending), pending.count + line.count <= Self.maximumPending else { return false }
            if isFleeting && !pending.isEmpty { return true }
            pending += line
            return write(&pending)
        }
    }

    /// Tries again to send what is kept; false where the other end is gone.
    @discardableResult
    package func flush() -> Bool { pending.withLock { write(&$0) } }

    /// Sends what is kept and waits until the other end has taken it: for one that is stopped, until it goes on.
    package func finish() {
        while flush(), pending.withLock({ !$0.isEmpty }) {
            var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&item, 1, 1000)
        }
    }

    /// Sends as much as the other end takes; false where it is gone.
    private func write(_ pending: inout [UInt8]) -> Bool {
        var done = 0
        defer { pending.removeFirst(done) }
        while done < pending.count {
            let count = pending.withUnsafeBytes { bytes in
                Glibc.send(
                    descriptor,
                    bytes.baseAddress.map { $0 + done },
                    bytes.count - done,
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
                )
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { return true }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    /// Calls `handler` with each message that comes; returns when the other end has closed, or has sent what is none.
    package func receive<Message: Decodable>(_ type: Message.Type, _ handler: (Message) -> Void) {
        var pending: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &bytes, bytes.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            pending += bytes[..<count]
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                guard let message = try? JSONDecoder().decode(type, from: Data(pending[..<end])) else { return }
                pending.removeSubrange(...end)
                handler(message)
            }
            guard pending.count <= Self.maximumLine else { return }
        }
    }

    /// Ends what `receive` waits for.
    package func shutdown() { _ = Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }

    deinit { close(descriptor) }
}
