import Foundation
import Messaging
import Testing

/// The events of one transport, in order, for one test task.
final class Events: Sendable {
    private let stream: AsyncStream<TransportEvent>
    private let continuation: AsyncStream<TransportEvent>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    var handler: TransportHandler { { [continuation] in continuation.yield($0) } }

    /// The next event that `body` accepts; others are passed over.
    func next<Value: Sendable>(_ body: @Sendable (TransportEvent) -> Value?) async throws -> Value {
        for await event in stream {
            if let value = body(event) { return value }
        }
        throw CancellationError()
    }

    func nextMessage() async throws -> (from: PeerIdentity, bytes: [UInt8]) {
        try await next { if case .received(let from, let bytes) = $0 { (from, bytes) } else { nil } }
    }

    func nextLoss() async throws -> (peer: PeerIdentity, reason: String) {
        try await next { if case .lost(let peer, let reason) = $0 { (peer, reason) } else { nil } }
    }

    func connected() async throws { try await next { $0 == .connected ? () : nil } }
}

/// An ipc endpoint of its own for each test.
func uniqueIPCEndpoint() -> String {
    "ipc://\(NSTemporaryDirectory())pleura-\(String(UInt64.random(in: .min ... .max), radix: 16))"
}
