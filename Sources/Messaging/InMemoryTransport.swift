import Synchronization

/// Transports within one process, for tests: the same protocol, limits and events as over ZeroMQ, and faults on demand.
///
/// Events are handled one after the other on the network's thread.
package final class InMemoryNetwork: Sendable {
    private enum Delivery {
        case toServer(TransportEvent)
        case toClient(PeerIdentity, TransportEvent)
    }

    private struct State {
        var server: TransportHandler?
        var clients: [PeerIdentity: TransportHandler] = [:]
        /// Clients that the server has heard of since their connection was made.
        var introduced: Set<PeerIdentity> = []
        var severed: Set<PeerIdentity> = []
        var deliveries: [Delivery] = []
        var isClosed = false
        var thread: OwnedThread?
    }

    private let state = Mutex(State())
    private let condition: WakeUp
    fileprivate let limits: TransportLimits

    /// `limits` are the server's.
    package init(limits: TransportLimits = TransportLimits()) throws(MessagingError) {
        self.limits = limits
        condition = try WakeUp()
        let thread = try OwnedThread(name: "pleura-memory") { [self] in
            var poller = Poller()
            _ = poller.add(descriptor: condition.descriptor)
            while (try? poller.wait(milliseconds: -1)) != nil {
                condition.clear()
                guard deliver() else { return }
            }
        }
        state.withLock { $0.thread = thread }
    }

    /// The network's one server.
    package func server(handler: @escaping TransportHandler) -> some ServerTransport {
        state.withLock { $0.server = handler }
        return InMemoryServer(network: self)
    }

    /// A client, connected at once (or when the network has a server).
    package func client(identity: PeerIdentity, handler: @escaping TransportHandler) -> some ClientTransport {
        enqueue { state in
            state.clients[identity] = handler
            return [.toClient(identity, .connected)]
        }
        return InMemoryClient(network: self, identity: identity)
    }

    /// Breaks the connection of `identity`: both sides hear of it, and messages are lost until `heal`.
    package func sever(_ identity: PeerIdentity) {
        enqueue { state in
            guard state.severed.insert(identity).inserted else { return [] }
            return self.parting(&state, identity)
                + [.toClient(identity, .lost(serverIdentity, reason: "the connection broke"))]
        }
    }

    /// Breaks the connection of `identity`, which makes a new one at once.
    fileprivate func refuse(_ identity: PeerIdentity, reason: String) {
        enqueue { state in
            let lost = TransportEvent.lost(serverIdentity, reason: "the connection broke")
            return [.toServer(.dropped(count: 1, reason: reason))] + self.parting(&state, identity)
                + [.toClient(identity, lost), .toClient(identity, .connected)]
        }
    }

    /// Lets `identity` connect again.
    package func heal(_ identity: PeerIdentity) {
        enqueue { state in
            state.severed.remove(identity) == nil ? [] : [.toClient(identity, .connected)]
        }
    }

    /// Ends the network's thread; events that were not handled yet are not.
    package func close() {
        let thread = state.withLock { state in
            state.isClosed = true
            defer { state.thread = nil }
            return state.thread
        }
        condition.signal()
        if let thread, !thread.isCurrent { thread.join() }
    }

    // MARK: For the transports

    fileprivate func send(_ message: [UInt8], from client: PeerIdentity) throws(MessagingError) {
        try check(message, limit: limits.maximumReceivedBytes)
        enqueue { state in
            if state.severed.contains(client) || state.clients[client] == nil { return [] }
            state.introduced.insert(client)
            return [.toServer(.received(from: client, message))]
        }
    }

    fileprivate func send(_ message: [UInt8], to client: PeerIdentity) throws(MessagingError) {
        try check(message, limit: limits.maximumSentBytes)
        enqueue { state in
            guard state.introduced.contains(client) else {
                return [.toServer(.lost(client, reason: "it is not connected"))]
            }
            return [.toClient(client, .received(from: serverIdentity, message))]
        }
    }

    fileprivate func leave(_ client: PeerIdentity) {
        enqueue { state in
            state.clients[client] = nil
            return self.parting(&state, client)
        }
    }

    fileprivate func closeServer() { state.withLock { $0.server = nil } }

    private func parting(_ state: inout State, _ client: PeerIdentity) -> [Delivery] {
        state.introduced.remove(client) == nil ? [] : [.toServer(.lost(client, reason: "the connection broke"))]
    }

    private func check(_ message: [UInt8], limit: Int) throws(MessagingError) {
        if message.count > limit { throw .tooLarge(bytes: message.count, limit: limit) }
        if state.withLock({ $0.isClosed }) { throw .closed }
    }

    private func enqueue(_ change: (inout State) -> [Delivery]) {
        state.withLock { state in state.deliveries += change(&state) }
        condition.signal()
    }

    /// Handles what is queued; false when the network is closed.
    private func deliver() -> Bool {
        while true {
            let next = state.withLock { state -> (handler: TransportHandler?, event: TransportEvent)? in
                if state.isClosed || state.deliveries.isEmpty { return nil }
                switch state.deliveries.removeFirst() {
                case .toServer(let event): return (state.server, event)
                case .toClient(let identity, let event): return (state.clients[identity], event)
                }
            }
            guard let next else { return !state.withLock { $0.isClosed } }
            next.handler?(next.event)
        }
    }
}

private final class InMemoryServer: ServerTransport {
    let network: InMemoryNetwork
    let endpoints = ["memory"]

    init(network: InMemoryNetwork) { self.network = network }

    func send(_ message: [UInt8], to peer: PeerIdentity) throws(MessagingError) {
        try network.send(message, to: peer)
    }

    func refuse(_ peer: PeerIdentity, reason: String) { network.refuse(peer, reason: reason) }

    func close() { network.closeServer() }
}

private final class InMemoryClient: ClientTransport {
    let network: InMemoryNetwork
    let identity: PeerIdentity

    init(network: InMemoryNetwork, identity: PeerIdentity) {
        self.network = network
        self.identity = identity
    }

    func send(_ message: [UInt8]) throws(MessagingError) { try network.send(message, from: identity) }

    func close() { network.leave(identity) }
}
