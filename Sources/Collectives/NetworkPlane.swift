import CSystem
import Messaging

/// The listening end of a worker's frames, and the context of all its sockets.
///
/// Made by `Allreduce.init`, then owned by the communication thread.
final class NetworkPlane: @unchecked Sendable {
    // Handed over by starting the thread; used by it alone from then on, except `endpoint`, which does not change.
    let context: MessagingContext
    let router: Socket
    let monitor: ConnectionMonitor
    let endpoint: String
    /// The options of the sockets to peers, without their names and keys.
    let linkOptions: SocketOptions
    private let authenticator: Authenticator?
    /// Where frames are authenticated and not encrypted.
    private let seals: FrameSeals?

    /// Watches who connects.
    var doorkeeper = Doorkeeper(Doorkeeper.Limits(message: FrameLink.maximumMessageBytes))
    /// Whether all frames that had come were read the last time.
    var isDrained = true
    /// Frames that nobody who follows the plan would have sent.
    var strangeFrames = 0
    /// Frames of plans that are over.
    var lateFrames = 0

    init(listen: String, advertisedHost: String?, ioThreads: Int, silence: Duration, keys: PlaneKeys?)
        throws(MessagingError)
    {
        // libzmq takes memory for every frame that it receives; that of the last ones is as good.
        system_keep_freed_memory(128 << 20)
        let context = try MessagingContext(ioThreads: ioThreads)
        self.context = context
        var options = FrameLink.options
        options.silenceMilliseconds = Int32(clamping: max(1, Int(silence.inSeconds * 1000)))
        linkOptions = options
        if let keys, keys.protection == .encrypted {
            options.curve = keys.listening
            authenticator = try Authenticator(context, allowed: keys.workers)
        } else {
            authenticator = nil
        }
        seals = keys.flatMap { $0.protection == .authenticated ? FrameSeals($0) : nil }
        router = try Socket(.router, in: context, options: options)
        monitor = try ConnectionMonitor(router)
        let bound = try router.bind(listen)
        if let advertisedHost, let port = bound.lastIndex(of: ":"), bound.hasPrefix("tcp://") {
            endpoint = "tcp://\(HostName.inEndpoint(advertisedHost))\(bound[port...])"
        } else {
            endpoint = bound
        }
    }

    func adopt() { router.adopt() }

    /// Reads the next message; nil where none has come.
    func receive() throws(MessagingError) -> [Message]? {
        while let frames = try router.receive(maximumFrames: 4) {
            guard let connection = frames.last?.connection, doorkeeper.hasEnded(connection) else {
                isDrained = false
                return frames
            }
            // What its connection brought before it was ended; or another one that has its descriptor by now.
            hearEvents()
            if !doorkeeper.hasEnded(connection) { return frames }
        }
        isDrained = true
        return nil
    }

    /// The parts of a message of frames and whose key vouches for it; nil for what is no message of the data plane, or
    /// without the seal that it needs.
    func parts(of frames: [Message]) -> (header: FrameHeader, payload: Message?, user: String?)? {
        // The first frame is libzmq's name for the connection.
        let first = seals == nil ? 2 : 3
        guard frames.count == first || frames.count == first + 1, let header = frames[1].withBytes({ FrameHeader($0) })
        else { return nil }
        let payload = frames.count > first ? frames[first] : nil
        var user = frames[1].user
        if let seals {
            user = withExtendedLifetime(frames) {
                seals.sender(of: frames[1].unsafeBytes, payload?.unsafeBytes, seal: frames[2].unsafeBytes)
            }
            if user == nil { return nil }
        }
        if let connection = frames[1].connection { doorkeeper.admit(connection) }
        return (header, payload, user)
    }

    /// Ends the connection that a message came through which nobody who follows a plan would have sent; nil: it was
    /// counted before.
    func refuse(_ frames: [Message], _ reason: String?) {
        hearEvents()
        let connection = frames.last?.connection
        if let reason {
            doorkeeper.end(connection, reason, at: .now)
        } else if let connection {
            doorkeeper.hangUp(connection)
        }
    }

    private func hearEvents() {
        let now = ContinuousClock.now
        while let event = monitor.next() { doorkeeper.hear(event, at: now) }
    }

    /// Takes note of connections that came, went or were refused; returns what to tell of the last.
    func watch() -> (count: Int, reason: String)? {
        let now = ContinuousClock.now
        while let event = monitor.next() { doorkeeper.hear(event, at: now) }
        doorkeeper.cutOffHogs(at: now, isDrained: isDrained)
        doorkeeper.update(at: now)
        return doorkeeper.report(at: now)
    }
}
