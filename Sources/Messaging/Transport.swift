/// What a transport tells its owner.
///
/// Events of one peer arrive in order, on the transport's own thread: a handler must not block, and hands work on.
package enum TransportEvent: Hashable, Sendable {
    /// A client's connection to its server is made, for the first time or again: introduce yourself (again).
    case connected
    /// A whole message. `from` names the sender to a server, and is the server to a client.
    case received(from: PeerIdentity, [UInt8])
    /// The connection to a peer broke, or a message for it could not be delivered; what was under way may be lost.
    case lost(PeerIdentity, reason: String)
    /// Connections were refused, or messages dropped that were not of the protocol's form or in the name of another
    /// than their sender: how many so far, and why the last one. Told once a second at most.
    case dropped(count: Int, reason: String)
    /// The transport itself has ended by a fault of this process or machine: the last event, and `send` throws from now
    /// on.
    case failed(reason: String)
}

/// Receives a transport's events.
package typealias TransportHandler = @Sendable (TransportEvent) -> Void

/// The coordinator's end: any number of peers, each of which has spoken first.
package protocol ServerTransport: AnyObject, Sendable {
    /// Where clients can connect, with real port numbers.
    var endpoints: [String] { get }

    /// Queues a message for `peer` and returns at once; from any thread. One that cannot be delivered is reported as
    /// `.lost`.
    func send(_ message: [UInt8], to peer: PeerIdentity) throws(MessagingError)

    /// Sends what is queued, for half a second at most, and ends the transport's thread. No events follow, except
    /// when called from the handler itself.
    func close()
}

/// A worker's end: one server.
package protocol ClientTransport: AnyObject, Sendable {
    var identity: PeerIdentity { get }

    /// Queues a message for the server and returns at once; from any thread. Waits for the connection where there is
    /// none yet; what is under way when a connection breaks may be lost.
    func send(_ message: [UInt8]) throws(MessagingError)

    /// As `ServerTransport.close`.
    func close()
}

/// The limits of a transport, the same for every kind.
package struct TransportLimits: Hashable, Sendable {
    /// A larger message is refused when sent, and ends the connection when received.
    package var maximumMessageBytes = 64 << 20
    /// Bytes that wait for one peer.
    package var maximumQueuedBytes = 256 << 20

    package init() {}
}

/// The name that a client's events give to its server.
let serverIdentity: PeerIdentity = {
    guard let identity = PeerIdentity("server") else { preconditionFailure("`server` is a valid name") }
    return identity
}()
