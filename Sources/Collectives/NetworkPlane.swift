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
    private let authenticator: Authenticator?

    /// Watches who connects.
    var doorkeeper = Doorkeeper()
    /// Frames that nobody who follows the plan would have sent.
    var strangeFrames = 0
    /// Frames of plans that are over.
    var lateFrames = 0

    init(listen: String, advertisedHost: String?, ioThreads: Int, keys: PlaneKeys?) throws(MessagingError) {
        // libzmq takes memory for every frame that it receives; that of the last ones is as good.
        system_keep_freed_memory(128 << 20)
        let context = try MessagingContext(ioThreads: ioThreads)
        self.context = context
        var options = FrameLink.options
        options.curve = keys?.listening
        if let keys {
            authenticator = try Authenticator(context, allowed: keys.workers)
        } else {
            authenticator = nil
        }
        router = try Socket(.router, in: context, options: options)
        monitor = try ConnectionMonitor(router)
        let bound = try router.bind(listen)
        if let advertisedHost, let port = bound.lastIndex(of: ":"), bound.hasPrefix("tcp://") {
            endpoint = "tcp://\(advertisedHost)\(bound[port...])"
        } else {
            endpoint = bound
        }
    }

    func adopt() { router.adopt() }

    /// Takes note of connections that came, went or were refused; returns what to tell of the last.
    func watch() -> (count: Int, reason: String)? {
        let now = ContinuousClock.now
        while let event = monitor.next() { doorkeeper.hear(event, at: now) }
        doorkeeper.update(at: now)
        return doorkeeper.report(at: now)
    }
}
