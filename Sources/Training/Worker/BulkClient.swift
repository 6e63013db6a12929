package import Messaging
import Synchronization

/// A worker's end of the bulk connection: hands tensors over with a window, and fetches files.
package final class BulkClient: Sendable {
    /// Pieces that may be under way without an answer: bounds the memory at both ends.
    private static let window: UInt64 = 8

    private struct State: Sendable {
        var sent: UInt64 = 0
        var taken: UInt64 = 0
        var answers: [UInt64: BulkMessage] = [:]
        var nextRequest: UInt64 = 1
        var lost: String?
        var transport: (any ClientTransport)?
    }

    private let state = Mutex(State())
    private let condition = ThreadCondition()

    package init(endpoint: String, identity: PeerIdentity) throws(MessagingError) {
        let transport = try ZeroMQClient(connect: endpoint, identity: identity) { [weak self] event in
            self?.handle(event)
        }
        state.withLock { $0.transport = transport }
    }

    package func close() {
        let transport = state.withLock { state in
            state.lost = state.lost ?? "it was closed"
            defer { state.transport = nil }
            return state.transport
        }
        condition.broadcast()
        transport?.close()
    }

    private func handle(_ event: TransportEvent) {
        switch event {
        case .received(_, let bytes):
            guard let message = BulkMessage(bytes) else { return }
            state.withLock { state in
                switch message {
                // No more can have been taken than was sent, whatever the message says.
                case .taken(let count): state.taken = max(state.taken, min(count, state.sent))
                case .chunk(let request, _, _), .refused(let request, _): state.answers[request] = message
                default: break
                }
            }
            condition.broadcast()
        case .lost(_, let reason):
            state.withLock { if $0.sent > $0.taken || $0.nextRequest > 1 { $0.lost = reason } }
            condition.broadcast()
        case .failed(let reason):
            state.withLock { $0.lost = reason }
            condition.broadcast()
        case .connected, .dropped: break
        }
    }

    /// Sends a piece of a tensor, once the window has room. Blocks the calling thread, which must be its owner's own.
    package func send(_ message: BulkMessage) throws {
        let isPiece: Bool
        if case .piece = message { isPiece = true } else { isPiece = false }
        try waitUntil { state in !isPiece || state.sent - state.taken < Self.window }
        let transport = state.withLock { state in
            if isPiece { state.sent += 1 }
            return state.transport
        }
        try transport?.send(message.encoded)
    }

    /// Waits until the coordinator has taken every piece.
    package func drain() throws { try waitUntil { $0.sent == $0.taken } }

    /// Fetches a whole file, in chunks, each handed to `body` with its offset.
    package func fetch(_ file: BulkFile, _ body: (_ offset: Int, _ fileSize: Int, _ bytes: [UInt8]) throws -> Void)
        throws
    {
        var offset = 0
        while true {
            let (request, transport) = state.withLock { state in
                defer { state.nextRequest += 1 }
                return (state.nextRequest, state.transport)
            }
            try transport?.send(
                BulkMessage.fetch(
                    request: request,
                    file: file,
                    offset: offset,
                    length: BulkMessage.largestPayload
                ).encoded
            )
            try waitUntil { $0.answers[request] != nil }
            switch state.withLock({ $0.answers.removeValue(forKey: request) }) {
            case .chunk(_, let size, let bytes):
                try body(offset, size, bytes)
                offset += bytes.count
                if offset >= size { return }
                if bytes.isEmpty { throw RunError.data("The coordinator's file \(file.name) ended early.") }
            case .refused(_, let reason):
                throw RunError.data("The coordinator does not give the file \(file.name): \(reason)")
            default: return
            }
        }
    }

    private func waitUntil(_ isMet: (borrowing State) -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let seen = condition.ticket
            let (met, lost) = state.withLock { (isMet($0), $0.lost) }
            if met { return }
            if let lost { throw RunError.data("The bulk connection to the coordinator was lost: \(lost).") }
            if ContinuousClock.now > deadline {
                throw RunError.data("The coordinator has not answered on its bulk connection for 60 s.")
            }
            condition.wait(since: seen)
        }
    }
}
