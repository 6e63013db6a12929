import CSystem
import Diagnostics
package import Messaging
import Platform
package import RunLinks
import Synchronization

/// A worker's end of the bulk connection: hands tensors over with a window, and fetches files.
package final class BulkClient: Sendable {
    /// Pieces that may be under way without an answer: bounds the memory at both ends.
    private static let window: UInt64 = 8
    /// How often a part of a file is asked for, where the connection breaks each time.
    private static let fetchAttempts = 5
    /// How often in a row a share may go on over another connection without a piece that was taken.
    private static let barrenAttempts = 4
    /// How long a share may go on over connections that break: less than its coordinator waits for it.
    private static let handingOver = Duration.seconds(45)
    /// How long to wait for a connection that broke to be made again.
    private static let reconnecting = Duration.seconds(20)

    private struct State: Sendable {
        /// The number of the share that is handed over, or was last, and its pieces.
        var share: UInt64 = 0
        var sent: UInt64 = 0
        var taken: UInt64 = 0
        var answers: [UInt64: BulkMessage] = [:]
        /// Requests whose answers are waited for.
        var asked: Set<UInt64> = []
        var nextRequest: UInt64 = 1
        var isConnected = false
        /// Why what is under way cannot be finished; what begins after it can, over a connection that is made again.
        var lost: String?
        var isClosed = false
        var transport: (any ClientTransport)?

        mutating func begin() { lost = isClosed ? "it was closed" : nil }
    }

    /// The connection broke under what it carried, which can be asked for again over the next one.
    private struct ConnectionLost: ReportableError {
        var reason: String
        var description: String { "The bulk connection to the coordinator was lost: \(reason)." }
        var exitStatus: ExitStatus { .temporary }
    }

    private let state = Mutex(State())
    private let condition = ThreadCondition()
    private let endpoint: String

    package init(endpoint: String, identity: PeerIdentity, curve: CurveKeys? = nil) throws(MessagingError) {
        self.endpoint = endpoint
        var limits = TransportLimits(sends: BulkMessage.largestMessage, receives: BulkMessage.largestMessage)
        limits.receivedMessages = 4
        let transport = try ZeroMQClient(connect: endpoint, identity: identity, limits: limits, curve: curve) {
            [weak self] event in
            self?.handle(event)
        }
        state.withLock { $0.transport = transport }
    }

    package func close() {
        let transport = state.withLock { state in
            state.isClosed = true
            state.lost = "it was closed"
            defer { state.transport = nil }
            return state.transport
        }
        condition.broadcast()
        transport?.close()
    }

    private func handle(_ event: TransportEvent) {
        switch event {
        case .received(_, let bytes):
            guard let message = BulkMessage(bytes) else {
                state.withLock { if !$0.isClosed { $0.lost = "\(bytes.count) bytes came damaged" } }
                condition.broadcast()
                return
            }
            state.withLock { state in
                switch message {
                case .taken(let share, let count):
                    // No more can have been taken than was sent, whatever the message says.
                    if share == state.share { state.taken = max(state.taken, min(count, state.sent)) }
                case .chunk(let request, _, _), .refused(let request, _):
                    // One that nobody waits for any more is not kept.
                    if state.asked.contains(request) { state.answers[request] = message }
                default: break
                }
            }
            condition.broadcast()
        case .lost(_, let reason):
            state.withLock { state in
                state.isConnected = false
                if !state.isClosed { state.lost = reason }
            }
            condition.broadcast()
        case .failed(let reason):
            state.withLock { state in
                state.isClosed = true
                state.lost = reason
            }
            condition.broadcast()
        case .connected:
            state.withLock { $0.isConnected = true }
            condition.broadcast()
        case .dropped: break
        }
    }

    /// Sends bytes of a tensor, from `offset` on.
    package typealias SendPiece = (_ name: String, _ shape: [Int], _ offset: Int, _ bytes: [UInt8]) throws -> Void

    /// Hands a share over: `body` calls its argument with each piece of it, which waits until the window has room.
    /// Returns the bytes when the coordinator has taken all of them.
    ///
    /// Where the connection breaks, `body` is called again, which must give the same pieces: those that were taken are not
    /// sent again. So a network that breaks every few megabytes delays a large share and does not lose it.
    ///
    /// Blocks the calling thread, which must be its owner's own. One share at a time.
    package func handOver(_ part: BulkPart, _ body: (_ send: SendPiece) throws -> Void) throws -> UInt64 {
        let deadline = ContinuousClock.now + Self.handingOver
        var taken: UInt64 = 0
        var barren = 0
        while true {
            try waitForConnection()
            do {
                return try handOverOnce(part, behind: taken, body)
            } catch let lost as ConnectionLost {
                let more = state.withLock { $0.taken }
                taken += more
                barren = more > 0 ? 0 : barren + 1
                if barren >= Self.barrenAttempts || ContinuousClock.now > deadline { throw lost }
            }
        }
    }

    /// Hands over what comes behind the first pieces of a share, which were taken.
    private func handOverOnce(
        _ part: BulkPart,
        behind first: UInt64,
        _ body: (_ send: SendPiece) throws -> Void
    ) throws -> UInt64 {
        let share = state.withLock { state in
            state.begin()
            state.share += 1
            state.sent = 0
            state.taken = 0
            return state.share
        }
        try send(.shareBegin(part: part, share: share))
        var (number, before, count): (UInt64, UInt64, UInt64) = (0, 0, 0)
        try body { name, shape, offset, bytes in
            number += 1
            if number <= first {
                before += UInt64(bytes.count)
                return
            }
            try waitUntil { $0.sent - $0.taken < Self.window }
            state.withLock { $0.sent += 1 }
            try send(.piece(part: part, name: name, shape: shape, offset: offset, bytes: bytes))
            count += UInt64(bytes.count)
        }
        // It has an answer of its own: lost with a connection behind pieces that were taken, it would be missed by nobody.
        state.withLock { $0.sent += 1 }
        try send(.shareDone(part: part, byteCount: count))
        try waitUntil { $0.sent == $0.taken }
        return before + count
    }

    /// Breaks the connection as a network would; for planned faults.
    package func breakConnection() {
        guard let port = endpoint.split(separator: ":").last.flatMap({ UInt16($0) }) else { return }
        system_reset_connections(port)
    }

    private func send(_ message: BulkMessage) throws {
        guard let transport = state.withLock({ $0.transport }) else {
            throw WorkerError.bulk("The bulk connection to the coordinator was closed.")
        }
        try transport.send(message.encoded)
    }

    /// Fetches a whole file, in chunks, each handed to `body` with its offset.
    package func fetch(_ file: BulkFile, _ body: (_ offset: Int, _ fileSize: Int, _ bytes: [UInt8]) throws -> Void)
        throws
    {
        var offset = 0
        while true {
            let (size, bytes) = try fetch(file, from: offset, length: BulkMessage.largestPayload)
            try body(offset, size, bytes)
            offset += bytes.count
            if offset >= size { return }
            if bytes.isEmpty { throw WorkerError.bulk("The coordinator's file \(file.name) ended early.") }
        }
    }

    /// Fetches up to `length` bytes of a file, and its size; asks again where the connection breaks.
    package func fetch(_ file: BulkFile, from offset: Int, length: Int) throws -> (fileSize: Int, bytes: [UInt8]) {
        for _ in 1..<Self.fetchAttempts {
            do {
                return try fetchOnce(file, from: offset, length: length)
            } catch is ConnectionLost {
                try waitForConnection()
            }
        }
        return try fetchOnce(file, from: offset, length: length)
    }

    /// Until the connection that broke is made again.
    private func waitForConnection() throws {
        let deadline = ContinuousClock.now + Self.reconnecting
        while true {
            let seen = condition.ticket
            let (isConnected, isClosed, lost) = state.withLock { ($0.isConnected, $0.isClosed, $0.lost) }
            if isConnected { return }
            if isClosed || ContinuousClock.now > deadline {
                throw ConnectionLost(reason: lost ?? "it was not made again")
            }
            condition.wait(since: seen)
        }
    }

    private func fetchOnce(_ file: BulkFile, from offset: Int, length: Int) throws -> (fileSize: Int, bytes: [UInt8]) {
        let request = state.withLock { state in
            state.begin()
            defer { state.nextRequest += 1 }
            state.asked.insert(state.nextRequest)
            return state.nextRequest
        }
        defer {
            state.withLock { state in
                state.asked.remove(request)
                state.answers[request] = nil
            }
        }
        try waitUntil(
            // The coordinator knows it again; where it waits for others, this makes it look who takes nothing.
            repeating: { try self.send(.fetch(request: request, file: file, offset: offset, length: length)) },
            { $0.answers[request] != nil }
        )
        try send(.received(request: request))
        switch state.withLock({ $0.answers.removeValue(forKey: request) }) {
        case .chunk(_, let size, let bytes): return (size, bytes)
        case .refused(_, let reason):
            throw WorkerError.bulk("The coordinator does not give the file \(file.name): \(reason)")
        default: throw WorkerError.bulk("The coordinator gave no answer about the file \(file.name).")
        }
    }

    /// Waits, and does `ask` at once and every few seconds.
    private func waitUntil(repeating ask: (() throws -> Void)? = nil, _ isMet: (borrowing State) -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        var askedAt: ContinuousClock.Instant?
        while true {
            if let ask, askedAt.map({ ContinuousClock.now - $0 >= .seconds(5) }) ?? true {
                try ask()
                askedAt = .now
            }
            let seen = condition.ticket
            let (met, lost) = state.withLock { (isMet($0), $0.lost) }
            if met { return }
            if let lost { throw ConnectionLost(reason: lost) }
            if ContinuousClock.now > deadline {
                throw WorkerError.bulk("The coordinator has not answered on its bulk connection for 60 s.")
            }
            condition.wait(since: seen)
        }
    }
}
