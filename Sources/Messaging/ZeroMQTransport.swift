import CZeroMQ
import Platform
import Synchronization

/// A coordinator's ZeroMQ transport: a ROUTER socket on a thread of its own.
///
/// With keys, the peers are those of the allow-list, and each may only take names that begin with its key's:
/// `worker-3:` and more. A name belongs to the client that used it first (`NameFrame`). Strangers are refused and
/// counted, and reported once a second at most (`.dropped`). A connection that sends anything but a message of the
/// protocol is ended.
package final class ZeroMQServer: ServerTransport {
    package let endpoints: [String]
    private let loop: SocketLoop
    private let authenticator: Authenticator?

    /// Listens on every endpoint of `bind`; `handler` is called on the transport's thread from now on.
    package init(
        bind: [String],
        limits: TransportLimits = TransportLimits(),
        curve: CurveKeys? = nil,
        doorkeeper: Doorkeeper.Limits? = nil,
        handler: @escaping TransportHandler
    ) throws(MessagingError) {
        var options = SocketOptions()
        options.curve = curve
        options.maximumFrameBytes = Int64(limits.maximumReceivedBytes)
        options.receiveHighWater = limits.receivedMessages
        let context = try MessagingContext()
        var hasKeys = false
        if case .server(_, let allowed) = curve {
            authenticator = try Authenticator(context, allowed: allowed)
            hasKeys = true
        } else {
            authenticator = nil
        }
        let socket = try Socket(.router, in: context, options: options)
        // Before it listens, so that every connection is seen.
        let monitor = try ConnectionMonitor(socket)
        var endpoints: [String] = []
        for endpoint in bind { endpoints.append(try socket.bind(endpoint)) }
        self.endpoints = endpoints
        loop = try SocketLoop(
            socket,
            monitor,
            role: .server(
                hasKeys: hasKeys,
                doorkeeper
                    ?? Doorkeeper.Limits(message: limits.maximumReceivedBytes, first: limits.maximumFirstBytes)
            ),
            limits: limits,
            handler: handler
        )
    }

    package func send(_ message: [UInt8], to peer: PeerIdentity) throws(MessagingError) {
        try loop.send(message, to: peer)
    }

    package func refuse(_ peer: PeerIdentity, reason: String) { loop.refuse(peer, reason) }

    package func close() { loop.close() }

    deinit { loop.close(waiting: false) }
}

/// A worker's ZeroMQ transport: a DEALER socket on a thread of its own.
package final class ZeroMQClient: ClientTransport {
    package let identity: PeerIdentity
    private let loop: SocketLoop

    /// Connects to `endpoint` in the background, and again whenever the connection breaks.
    package init(
        connect endpoint: String,
        identity: PeerIdentity,
        limits: TransportLimits = TransportLimits(),
        curve: CurveKeys? = nil,
        handler: @escaping TransportHandler
    ) throws(MessagingError) {
        var options = SocketOptions()
        options.curve = curve
        options.maximumFrameBytes = Int64(limits.maximumReceivedBytes)
        options.receiveHighWater = limits.receivedMessages
        let socket = try Socket(.dealer, in: MessagingContext(), options: options)
        self.identity = identity
        // The monitor must watch before the connection is made: the loop connects.
        let monitor = try ConnectionMonitor(socket)
        loop = try SocketLoop(
            socket,
            monitor,
            role: .client(identity),
            limits: limits,
            connect: endpoint,
            handler: handler
        )
    }

    package func send(_ message: [UInt8]) throws(MessagingError) { try loop.send(message, to: serverIdentity) }

    package func close() { loop.close() }

    deinit { loop.close(waiting: false) }
}

/// Which end of a transport a socket is.
private enum Role {
    case server(hasKeys: Bool, Doorkeeper.Limits)
    case client(PeerIdentity)
}

/// The thread that owns a transport's socket.
///
/// Other threads hand it messages through a queue and a wake-up descriptor.
private final class SocketLoop: Sendable {
    private struct Queue {
        var outgoing: [(peer: PeerIdentity, message: [UInt8])] = []
        /// Bytes given to `send` that libzmq has not taken yet.
        var queuedBytes: [PeerIdentity: Int] = [:]
        var refusals: [(peer: PeerIdentity, reason: String)] = []
        var isClosing = false
        /// Why the thread has ended by itself.
        var failure: String?
        var thread: OwnedThread?
    }

    private let queue = Mutex(Queue())
    private let wakeUp: WakeUp
    private let limits: TransportLimits

    init(
        _ socket: Socket,
        _ monitor: ConnectionMonitor,
        role: Role,
        limits: TransportLimits,
        connect endpoint: String? = nil,
        handler: @escaping TransportHandler
    ) throws(MessagingError) {
        self.limits = limits
        wakeUp = try MessagingError.whereRefused { () throws(SystemError) in try WakeUp() }
        if let endpoint { try socket.connect(endpoint) }
        let handOver = HandOver(socket: socket, monitor: monitor)
        let name = if case .server = role { "pleura-router" } else { "pleura-dealer" }
        let thread = try MessagingError.whereRefused { () throws(SystemError) in
            try OwnedThread(name: name) { [self] in
                handOver.socket.adopt()
                var owner = SocketOwner(
                    socket: handOver.socket,
                    monitor: handOver.monitor,
                    role: role,
                    handler: handler
                )
                owner.run(self)
            }
        }
        queue.withLock { $0.thread = thread }
    }

    /// Takes the socket to the thread that is being started, which is its only owner from then on.
    private final class HandOver: @unchecked Sendable {
        // Written before the thread starts, which is a full fence, and read by that thread alone.
        let socket: Socket
        let monitor: ConnectionMonitor
        init(socket: Socket, monitor: ConnectionMonitor) {
            self.socket = socket
            self.monitor = monitor
        }
    }

    func send(_ message: [UInt8], to peer: PeerIdentity) throws(MessagingError) {
        let limits = limits
        if message.count > limits.maximumSentBytes {
            throw .tooLarge(bytes: message.count, limit: limits.maximumSentBytes)
        }
        let refusal: MessagingError? = queue.withLock { queue in
            if queue.isClosing { return .closed }
            if let failure = queue.failure { return .failed(reason: failure) }
            let queued = queue.queuedBytes[peer, default: 0]
            if queued + message.count > limits.maximumQueuedBytes {
                return .queueFull(peer: peer.text, queuedBytes: queued, limit: limits.maximumQueuedBytes)
            }
            queue.queuedBytes[peer] = queued + message.count
            queue.outgoing.append((peer, message))
            return nil
        }
        if let refusal { throw refusal }
        wakeUp.signal()
    }

    func refuse(_ peer: PeerIdentity, _ reason: String) {
        queue.withLock { $0.refusals.append((peer, reason)) }
        wakeUp.signal()
    }

    /// `waiting`: whether to return only when the thread has ended.
    ///
    /// A deinit must not: the handler may wait for a lock that its caller holds.
    func close(waiting: Bool = true) {
        let thread = queue.withLock { queue in
            queue.isClosing = true
            defer { queue.thread = nil }
            return queue.thread
        }
        wakeUp.signal()
        // The handler may close its own transport: the thread then ends when the handler returns.
        guard let thread else { return }
        if waiting && !thread.isCurrent { thread.join() } else { thread.detach() }
    }

    // MARK: For the owner thread

    var wakeUpDescriptor: Int32 { wakeUp.descriptor }

    func takeOutgoing() -> (messages: [(peer: PeerIdentity, message: [UInt8])], isClosing: Bool) {
        wakeUp.clear()
        return queue.withLock { queue in
            defer { queue.outgoing = [] }
            return (queue.outgoing, queue.isClosing)
        }
    }

    func takeRefusals() -> [(peer: PeerIdentity, reason: String)] {
        queue.withLock { queue in
            if queue.refusals.isEmpty { return [] }
            defer { queue.refusals = [] }
            return queue.refusals
        }
    }

    /// Nothing is sent any more.
    func fail(_ reason: String) {
        queue.withLock { queue in
            queue.failure = reason
            queue.outgoing = []
        }
    }

    func finished(_ bytes: Int, for peer: PeerIdentity) {
        queue.withLock { queue in
            let left = queue.queuedBytes[peer, default: 0] - bytes
            queue.queuedBytes[peer] = left > 0 ? left : nil
        }
    }
}

/// The owner thread's side of a `SocketLoop`.
private struct SocketOwner {
    let socket: Socket
    let monitor: ConnectionMonitor
    let isServer: Bool
    /// Whether peers are bound to the names of their keys.
    let hasKeys: Bool
    /// What a client's messages begin with.
    let name: [UInt8]
    let handler: TransportHandler

    private var pending: [PeerIdentity: [[UInt8]]] = [:]
    private var names = NameRegister()
    private var doorkeeper: Doorkeeper
    /// Whether all messages that had come were read the last time.
    private var isDrained = true

    init(socket: Socket, monitor: ConnectionMonitor, role: Role, handler: @escaping TransportHandler) {
        self.socket = socket
        self.monitor = monitor
        self.handler = handler
        switch role {
        case .server(let hasKeys, let limits):
            isServer = true
            self.hasKeys = hasKeys
            name = []
            doorkeeper = Doorkeeper(limits)
        case .client(let identity):
            isServer = false
            hasKeys = false
            name = NameFrame(identity).bytes
            doorkeeper = Doorkeeper()
        }
    }

    mutating func run(_ loop: SocketLoop) {
        var poller = Poller()
        _ = poller.add(socket)
        _ = poller.add(monitor)
        _ = poller.add(descriptor: loop.wakeUpDescriptor)
        let clock = ContinuousClock()
        var closingSince: ContinuousClock.Instant?
        do {
            while true {
                // A full peer is tried again soon: POLLOUT of a ROUTER says that any peer has room, not which.
                try poller.wait(milliseconds: pending.isEmpty && closingSince == nil ? patience(clock.now) : 2)
                let (outgoing, isClosing) = loop.takeOutgoing()
                for (peer, message) in outgoing { pending[peer, default: []].append(message) }
                try flush(loop)
                if isClosing {
                    let since = closingSince ?? clock.now
                    closingSince = since
                    if pending.isEmpty || clock.now - since > .milliseconds(500) { return }
                    continue
                }
                try receive(loop)
                handleConnections()
                obeyRefusals(loop)
                guard isServer else { continue }
                let now = clock.now
                doorkeeper.cutOffHogs(at: now, isDrained: isDrained)
                doorkeeper.update(at: now)
                if let (count, reason) = doorkeeper.report(at: now) { handler(.dropped(count: count, reason: reason)) }
            }
        } catch {
            let reason = "\(error)"
            loop.fail(reason)
            handler(.failed(reason: reason))
        }
    }

    private func patience(_ now: ContinuousClock.Instant) -> Int {
        guard isServer, let left = doorkeeper.patience(at: now) else { return -1 }
        return Int(left.components.seconds) * 1000 + Int(left.components.attoseconds / 1_000_000_000_000_000)
            + (left > .zero ? 1 : 0)
    }

    private mutating func flush(_ loop: SocketLoop) throws(MessagingError) {
        for (peer, messages) in pending {
            var sent = 0
            sending: for message in messages {
                let outcome: Socket.SendOutcome
                if let frames = try frames(of: message, to: peer) {
                    outcome = try socket.send(frames)
                } else {
                    outcome = .unreachable
                }
                switch outcome {
                case .sent:
                    sent += 1
                    loop.finished(message.count, for: peer)
                case .full: break sending
                case .unreachable:
                    loop.finished(messages[sent...].reduce(0) { $0 + $1.count }, for: peer)
                    sent = messages.count
                    handler(.lost(peer, reason: "it is not connected"))
                    break sending
                }
            }
            pending[peer] = sent == messages.count ? nil : Array(messages[sent...])
        }
    }

    /// Nil for a peer that has never spoken.
    private func frames(of message: [UInt8], to peer: PeerIdentity) throws(MessagingError) -> [Message]? {
        guard isServer else { return [try Self.frame(name), try Self.frame(message)] }
        guard let route = names.route(to: peer) else { return nil }
        return [try Self.frame(route), try Self.frame(message)]
    }

    private static func frame(_ bytes: [UInt8]) throws(MessagingError) -> Message {
        // `withUnsafeBytes` of Array does not carry typed errors.
        let result: Result<Message, MessagingError> = bytes.withUnsafeBytes { bytes in
            do throws(MessagingError) { return .success(try Message(copying: bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private mutating func receive(_ loop: SocketLoop) throws(MessagingError) {
        isDrained = false
        // A bounded number, so that a flood does not keep this thread from sending.
        for _ in 0..<256 {
            guard let frames = try socket.receive(maximumFrames: isServer ? 3 : 1) else {
                isDrained = true
                return
            }
            guard isServer else {
                // Anything else from a server is ignored, and the client goes on waiting.
                if frames.count == 1 { handler(.received(from: serverIdentity, frames[0].withBytes(Array.init))) }
                continue
            }
            if let connection = frames.last?.connection, doorkeeper.hasEnded(connection) {
                // It may be another one's by now.
                handleConnections()
                if doorkeeper.hasEnded(connection) { continue }
            }
            if let (identity, bytes) = received(frames) {
                handler(.received(from: identity, bytes))
                // Before the next of its messages is read.
                obeyRefusals(loop)
            }
        }
    }

    /// Whose message the frames are, and its bytes; nil for what is none, whose sender is cut off.
    private mutating func received(_ frames: [Message]) -> (PeerIdentity, [UInt8])? {
        // libzmq's own frame, the first one, does not always say where it came from.
        let connection = frames.last?.connection
        guard let payload = frames.last, frames.count == 2 || frames.count == 3 else {
            return drop(connection, "a message that is not made of a name and its content")
        }
        let route = frames[0].withBytes(Array.init)
        let name: PeerIdentity
        var proof: [UInt8] = []
        if frames.count == 3 {
            guard let found = frames[1].withBytes(NameFrame.init) else {
                return drop(connection, "a message from a peer without a valid name")
            }
            (name, proof) = (found.identity, found.proof)
        } else {
            // Other programs than ours, and older ones of ours, give their name to libzmq.
            guard let found = frames[0].withBytes(PeerIdentity.init(bytes:)) else {
                return drop(connection, "a message from a peer without a valid name")
            }
            name = found
        }
        if hasKeys {
            // What a name says of its owner holds only under that owner's key.
            guard let user = payload.user, name.text.hasPrefix("\(user):") else {
                return drop(
                    connection,
                    "a message in the name of \(name) with the key of \(payload.user ?? "nobody")"
                )
            }
        }
        if let connection {
            // A descriptor is used again only after its former connection's end was told: hear that first, also where the
            // same peer has both of them.
            if names.peer(over: connection) != name || names.route(to: name) != route { handleConnections() }
            doorkeeper.admit(connection)
        }
        switch names.claim(name, proof, over: connection, route: route) {
        case .denied: return drop(connection, "a message in the name of \(name), which another connection had before")
        case .outdated: return nil
        case .granted(let replaced):
            // The client has made a new connection, and libzmq has not noticed that this one ended.
            if let replaced { doorkeeper.hangUp(replaced) }
        }
        return (name, payload.withBytes(Array.init))
    }

    private mutating func drop<Nothing>(_ connection: Int32?, _ reason: String) -> Nothing? {
        handleConnections()
        doorkeeper.end(connection, reason, at: .now)
        return nil
    }

    private mutating func obeyRefusals(_ loop: SocketLoop) {
        for (peer, reason) in loop.takeRefusals() {
            handleConnections()
            doorkeeper.end(names.connection(of: peer), reason, at: .now)
        }
    }

    private mutating func handleConnections() {
        while let event = monitor.next() {
            if isServer { doorkeeper.hear(event, at: .now) }
            switch event {
            case .listening, .accepted: break
            case .ready: if !isServer { handler(.connected) }
            case .retrying: break
            case .disconnected(let connection):
                if !isServer {
                    handler(.lost(serverIdentity, reason: "the connection broke"))
                } else if let peer = names.end(connection) {
                    handler(.lost(peer, reason: "the connection broke"))
                }
            case .refused(let reason):
                if !isServer { handler(.lost(serverIdentity, reason: "it was refused: \(reason)")) }
            }
        }
    }
}
