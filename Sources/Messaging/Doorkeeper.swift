import CSystem
import Glibc

/// Protects a listening socket from strangers: counts those that are refused and reports them once a second at most,
/// ends connections that break the rules, and lets nobody in for a while when there are many.
///
/// libzmq accepts every connection, and takes a descriptor and memory for each until its greeting has failed. While the
/// door is shut, the kernel drops requests for new connections before it answers them; connections that exist go on
/// undisturbed, and honest newcomers try again. Used by the socket's owner thread.
package struct Doorkeeper {
    package struct Limits: Hashable, Sendable {
        /// Connections that have not sent a message of the protocol yet.
        package var strangers: Int
        /// Connections that are refused in one second.
        package var refusalsPerSecond = 200

        /// What connections may leave unfinished.
        package var unfinished: UnfinishedBytes.Limits

        /// Room for the largest job's workers, within what descriptors this process may have; `message`: the most bytes of
        /// a message that comes in, `first`: of a connection's first one (nil: as many).
        package init(message: Int = TransportLimits.usualMessageBytes, first: Int? = nil) {
            strangers = min(2048, Self.descriptors / 8)
            unfinished = UnfinishedBytes.Limits(message: message, first: first)
        }

        /// The descriptors that this process may have: as many as it may ask for, up to 65,536.
        private static let descriptors: Int = {
            var limit = rlimit()
            guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
            let wanted = max(limit.rlim_cur, min(limit.rlim_max, 65_536))
            var raised = rlimit(rlim_cur: wanted, rlim_max: limit.rlim_max)
            let isRaised = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0
            return Int(clamping: isRaised ? wanted : limit.rlim_cur)
        }()
    }

    private static let second = Duration.seconds(1)

    private let limits: Limits
    private var listening: Set<Int32> = []
    /// Connections that were accepted and are not known to be a peer's.
    private var strangers: Set<Int32> = []
    private var peers: Set<Int32> = []
    /// Refused in the second that began then.
    private var window: (began: ContinuousClock.Instant, refused: Int)?
    private var lastReason = ""
    /// A refusal was told of whose connection is about to end.
    private var isRefusing = false
    private var told: (at: ContinuousClock.Instant, count: Int)?
    private var unfinished: UnfinishedBytes
    /// Who is at the other end of each connection: a descriptor may be another connection's by the time it is used.
    private var addresses: [Int32: [UInt8]] = [:]
    /// Connections that this side has ended.
    private var ended: Set<Int32> = []
    /// When memory that was held for connections which were cut off goes back to the kernel.
    private var returnsMemoryAt: ContinuousClock.Instant?

    /// How many were refused so far.
    package private(set) var count = 0
    /// Whether new connections are kept out at present.
    package private(set) var isShut = false
    /// How often the door was shut so far.
    package private(set) var timesShut = 0

    package init(_ limits: Limits = Limits()) {
        self.limits = limits
        unfinished = UnfinishedBytes(limits.unfinished)
    }

    /// Takes note of what the socket's monitor tells.
    package mutating func hear(_ event: ConnectionMonitor.Event, at now: ContinuousClock.Instant) {
        switch event {
        case .listening(let descriptor): listening.insert(descriptor)
        case .accepted(let descriptor):
            strangers.insert(descriptor)
            peers.remove(descriptor)
            ended.remove(descriptor)
            addresses[descriptor] = Self.address(of: descriptor)
            unfinished.begin(descriptor)
        case .disconnected(let descriptor):
            // A refused connection was counted before. One that only comes and goes costs as much, so it counts too.
            if strangers.remove(descriptor) != nil && !isRefusing && !ended.contains(descriptor) {
                refuse("it closed the connection without a word of the protocol", at: now)
            }
            isRefusing = false
            peers.remove(descriptor)
            addresses[descriptor] = nil
            unfinished.end(descriptor)
            ended.remove(descriptor)
        case .refused(let reason):
            refuse(reason, at: now)
            isRefusing = true
        case .ready, .retrying: break
        }
        update(at: now)
    }

    /// The connection has sent a message of the protocol's form.
    package mutating func admit(_ descriptor: Int32) {
        if strangers.remove(descriptor) != nil { peers.insert(descriptor) }
        unfinished.finish(descriptor, isPeer: true)
    }

    /// Counts a message that was refused and ends the connection that it came through (nil: that is not known), so that its
    /// sender's next one is not even read.
    ///
    /// Hear the monitor's events first: a connection that is gone must be known to be.
    package mutating func end(_ descriptor: Int32?, _ reason: String, at now: ContinuousClock.Instant) {
        refuse(reason, at: now)
        if let descriptor { hangUp(descriptor) }
    }

    /// Whether this side has ended the connection: what had come through it before is not used.
    package func hasEnded(_ descriptor: Int32) -> Bool { ended.contains(descriptor) }

    /// Ends a connection, for no fault of its peer's.
    package mutating func hangUp(_ descriptor: Int32) {
        unfinished.finish(descriptor, isPeer: false)
        guard let address = addresses[descriptor], Self.address(of: descriptor) == address else { return }
        ended.insert(descriptor)
        // libzmq, whose descriptor it is, reads the end and closes it.
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Cuts off who leaves more of a message unfinished than is allowed, and counts them. Call it after each time that
    /// messages were read and the monitor's events heard; `isDrained`: all messages that were there were read.
    package mutating func cutOffHogs(at now: ContinuousClock.Instant, isDrained: Bool) {
        let hogs = unfinished.look(at: now, isDrained: isDrained) { descriptor in
            let taken = system_bytes_taken(descriptor)
            return taken < 0 ? nil : Int(taken)
        }
        for hog in hogs {
            let whose = hog.isStranger ? "a connection that had not said anything yet" : "a connection"
            end(
                hog.connection,
                "\(whose) does not end its message: \(hog.bytes) bytes of it had come, and \(hog.limit) are allowed",
                at: now
            )
        }
        // libzmq frees what it held of the message soon after the connection has ended.
        if !hogs.isEmpty && returnsMemoryAt == nil { returnsMemoryAt = now + Self.second / 2 }
        if let at = returnsMemoryAt, now >= at {
            returnsMemoryAt = nil
            system_return_freed_memory()
        }
    }

    /// The other end of a connection, as the kernel names it; nil for none and for sockets of the file system.
    private static func address(of descriptor: Int32) -> [UInt8]? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) }
        }
        guard status == 0, storage.ss_family != sa_family_t(AF_UNIX) else { return nil }
        return withUnsafeBytes(of: storage) { Array($0.prefix(Int(length))) }
    }

    /// Counts a connection or message that was refused.
    package mutating func refuse(_ reason: String, at now: ContinuousClock.Instant) {
        count += 1
        lastReason = reason
        if let open = window, now - open.began < Self.second {
            window = (open.began, open.refused + 1)
        } else {
            window = (now, 1)
        }
    }

    /// Shuts or opens the door.
    package mutating func update(at now: ContinuousClock.Instant) {
        let refused = window.map { now - $0.began < Self.second ? $0.refused : 0 } ?? 0
        // Opened with some room, so that it does not swing with every connection.
        let most = isShut ? limits.strangers * 3 / 4 : limits.strangers
        let wantsShut = strangers.count > most || refused >= limits.refusalsPerSecond
        guard wantsShut != isShut, !listening.isEmpty else { return }
        isShut = wantsShut
        if isShut { timesShut += 1 }
        // Where the kernel does not allow the filter, the sockets' own limits still hold.
        for descriptor in listening { _ = system_drop_newcomers(descriptor, isShut) }
    }

    /// What to tell the user now: how many were refused so far, and why the last one; nil where there is nothing new, or
    /// a second has not passed since the last time.
    package mutating func report(at now: ContinuousClock.Instant) -> (count: Int, reason: String)? {
        guard count > told?.count ?? 0 else { return nil }
        if let told, now - told.at < Self.second { return nil }
        told = (now, count)
        return (count, lastReason)
    }

    /// How long its owner may sleep before it reads and calls `update`, `cutOffHogs` and `report` again; nil: until an event comes.
    package func patience(at now: ContinuousClock.Instant) -> Duration? {
        var result = unfinished.patience(at: now)
        if let at = returnsMemoryAt { result = min(result ?? .seconds(1), max(.zero, at - now)) }
        if count > told?.count ?? 0 {
            let left = told.map { max(.zero, $0.at + Self.second - now) } ?? .zero
            result = min(result ?? left, left)
        }
        if isShut {
            let left = max(.milliseconds(10), (window.map { $0.began + Self.second } ?? now) - now)
            result = min(result ?? left, left)
        }
        return result
    }
}
