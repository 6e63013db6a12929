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

    /// Ends the connection of a peer whose message is none of the protocol's, and counts it; from any thread. `reason` goes
    /// into what `.dropped` tells.
    func refuse(_ peer: PeerIdentity, reason: String)

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
    /// What a message of no particular protocol may have.
    package static let usualMessageBytes = 1 << 20

    /// A larger message is not sent.
    package var maximumSentBytes: Int
    /// A larger message that comes in ends its connection before memory is taken for it.
    package var maximumReceivedBytes: Int
    /// What the first message of a connection may have; nil: as much as the others.
    package var maximumFirstBytes: Int?
    /// Bytes that wait for one peer.
    package var maximumQueuedBytes = 256 << 20
    /// Messages from one connection that wait to be read. More of them wait in the kernel, and then at their sender.
    package var receivedMessages: Int32 = 64

    package init(
        sends: Int = TransportLimits.usualMessageBytes,
        receives: Int = TransportLimits.usualMessageBytes,
        first: Int? = nil
    ) {
        maximumSentBytes = sends
        maximumReceivedBytes = receives
        maximumFirstBytes = first
    }
}

/// The name that a client's events give to its server.
let serverIdentity: PeerIdentity = {
    guard let identity = PeerIdentity("server") else { preconditionFailure("`server` is a valid name") }
    return identity
}()
