import Coordination
import Foundation
import Glibc
import Messaging
import Storage
import Synchronization

/// What the launcher tells the coordinator that it has started; the first is the order.
enum ToCoordinator: Codable, Sendable {
    case order(CoordinatorOrder)
    /// A worker process of the launcher's has ended.
    case exited(WorkerExit)
    case drain(reason: String)
    /// A sentence for the log: the coordinator has the terminal.
    case say(String)
}

/// What the coordinator tells the launcher that has started it.
enum FromCoordinator: Codable, Sendable {
    /// It listens there, for control and for bulk.
    case listening(control: String, bulk: String)
    /// The run has begun: from here on its workers hold it in their memory.
    case began
    case evicted(incarnation: UInt64)
    /// The most memory that a worker has said to have taken.
    case peak(bytes: Int)
    /// Its loop gets on.
    case alive(completedSteps: UInt64)
    case ended(EndedRun)
    case failed(message: String, status: Int32)
}

/// How a coordinator is to lead a run.
struct CoordinatorOrder: Codable, Sendable {
    var directory: String
    var job: String
    /// The resolved configuration as text.
    var configuration: String
    var fencing: UInt64
    var expectedWorkers: Int
    var bind: String
    /// Where bulk was handed over before; nil takes any port beside the control's.
    var bulkBind: String?
    /// The checkpoint that the run goes on from, by its file's name.
    var checkpoint: String?
    /// Whether workers of a coordinator that has died may still be there.
    var reattaches: Bool
    var keys: String?
    /// Which run it is, and who leads it: what is asked of another is not obeyed.
    var run: String
    var session: String
    var isVerbose: Bool
    var isQuiet: Bool
    /// The launcher's process, with which the coordinator ends.
    var parent: Int32
}

/// The end of a worker process.
struct WorkerExit: Codable, Sendable {
    var incarnation: UInt64
    var process: Int32
    var status: Int32
    var isSignal: Bool
    var note: String
    var isReplaced: Bool

    init(incarnation: UInt64, process: Int32, _ cause: ExitCause, note: String, isReplaced: Bool) {
        self.incarnation = incarnation
        self.process = process
        switch cause {
        case .exited(let status): (self.status, isSignal) = (status, false)
        case .signal(let number): (self.status, isSignal) = (number, true)
        }
        self.note = note
        self.isReplaced = isReplaced
    }

    var cause: ExitCause { isSignal ? .signal(status) : .exited(status) }
}

/// An outcome without the evidence.
struct EndedRun: Codable, Sendable {
    var kind: UInt8
    var message: String
    var completedSteps: UInt64
    var savedSteps: UInt64?

    init(_ outcome: RunOutcome) {
        kind = outcome.kind.rawValue
        message = outcome.message
        completedSteps = outcome.completedSteps
        savedSteps = outcome.savedSteps
    }

    var outcome: RunOutcome? {
        RunOutcome.Kind(rawValue: kind).map {
            RunOutcome(kind: $0, message: message, completedSteps: completedSteps, savedSteps: savedSteps)
        }
    }
}

/// Messages as lines of JSON over one end of a pair of connected sockets.
///
/// Any thread may send; one thread receives.
final class LineChannel: Sendable {
    /// Far above the longest message, which holds a configuration.
    private static let maximumLine = 4 << 20

    /// So much may wait for the other end to read; nothing that matters is ever so much.
    private static let maximumPending = 16 << 20

    private let descriptor: Int32
    /// What the other end has not taken yet.
    private let pending = Mutex<[UInt8]>([])

    /// Takes the descriptor over.
    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Sends a message, or keeps it for `flush` where the other end, which may be stopped, does not read; false where it
    /// is gone.
    ///
    /// Never blocks. `isFleeting`: a message that is not worth keeping, since another one like it follows.
    @discardableResult
    func send(_ message: some Encodable, isFleeting: Bool = false) -> Bool {
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
    func flush() -> Bool { pending.withLock { write(&$0) } }

    /// Sends what is kept and waits until the other end has taken it: for one that is stopped, until it goes on.
    func finish() {
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
    func receive<Message: Decodable>(_ type: Message.Type, _ handler: (Message) -> Void) {
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
    func shutdown() { _ = Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }

    deinit { close(descriptor) }
}
