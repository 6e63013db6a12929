import CZeroMQ
import Glibc
import Platform

/// One libzmq context: its I/O threads.
///
/// Shared by any number of threads; sockets keep it alive.
package final class MessagingContext: @unchecked Sendable {
    // A context is thread safe ("a ØMQ context is thread safe and may be shared among as many application threads as
    // necessary", zmq_ctx_new(3)) and the pointer never changes.
    let raw: UnsafeMutableRawPointer

    package init(ioThreads: Int = 1) throws(MessagingError) {
        // libzmq ends the program where it is refused a descriptor or a thread: it has two threads more than those for I/O,
        // and some descriptors for each of them and each socket.
        do throws(SystemError) {
            try FileDescriptors.require(20 + 4 * ioThreads, for: "Talking to the run's other processes")
            try ThreadProbe.require(2 + ioThreads)
        } catch { throw .refused(error) }
        // libzmq counts the names that it gives to connections without one up from a number of `rand`, which begins alike in
        // every process, and ends the program where somebody has taken the next name: nobody may know which it is.
        srand(UInt32.random(in: .min ... .max))
        guard let raw = zmq_ctx_new() else { throw .call("zmq_ctx_new", subject: "a context", code: zmq_errno()) }
        zmq_ctx_set(raw, ZMQ_IO_THREADS, Int32(clamping: ioThreads))
        self.raw = raw
    }

    // Every socket holds its context, so none is open here: this waits for what lingers, which every socket bounds.
    deinit {
        while zmq_ctx_term(raw) != 0 && zmq_errno() == EINTR {}
    }
}

/// A socket of libzmq, used by one thread only.
///
/// "Do not use or close sockets except in the thread that created them" (zguide); a socket may move to another thread
/// with a full fence, which starting that thread is: `adopt()` says so. Use off the owner traps.
package final class Socket {
    package enum Kind: Sendable {
        case router, dealer
        fileprivate var raw: Int32 { self == .router ? ZMQ_ROUTER : ZMQ_DEALER }
    }

    /// What became of a message that was to be sent.
    package enum SendOutcome: Hashable, Sendable {
        case sent
        /// The peer's queue is full, or no connection is made yet: try again later.
        case full
        /// No peer of that name is connected.
        case unreachable
    }

    let context: MessagingContext
    let raw: UnsafeMutableRawPointer
    private var owner: pthread_t

    package init(_ kind: Kind, in context: MessagingContext, options: SocketOptions) throws(MessagingError) {
        guard let raw = zmq_socket(context.raw, kind.raw) else {
            throw .call("zmq_socket", subject: "a \(kind) socket", code: zmq_errno())
        }
        self.context = context
        self.raw = raw
        owner = pthread_self()
        try options.apply(to: self, kind: kind)
    }

    deinit { zmq_close(raw) }

    /// Makes the calling thread the owner.
    ///
    /// The former one must not touch the socket any more.
    package func adopt() { owner = pthread_self() }

    func checkOwner() {
        precondition(pthread_equal(owner, pthread_self()) != 0, "a ZeroMQ socket was used off its owner thread")
    }

    // MARK: Endpoints

    /// Listens on `endpoint` (`tcp://HOST:PORT`, `*` for any free port or every address; `ipc://PATH`) and returns the
    /// endpoint with the port it got.
    package func bind(_ endpoint: String) throws(MessagingError) -> String {
        checkOwner()
        let numeric = try prepare(endpoint, isLocal: true)
        guard zmq_bind(raw, numeric) == 0 else {
            throw .call("zmq_bind", subject: endpoint, code: zmq_errno())
        }
        var buffer = [CChar](repeating: 0, count: 512)
        var length = buffer.count
        guard zmq_getsockopt(raw, ZMQ_LAST_ENDPOINT, &buffer, &length) == 0 else {
            throw .call("zmq_getsockopt", subject: endpoint, code: zmq_errno())
        }
        return String(decoding: buffer.prefix(max(0, length - 1)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Connects in the background, and again whenever the connection breaks.
    package func connect(_ endpoint: String) throws(MessagingError) {
        checkOwner()
        let known = try prepare(endpoint, isLocal: false)
        guard zmq_connect(raw, known) == 0 else {
            throw .call("zmq_connect", subject: endpoint, code: zmq_errno())
        }
    }

    /// Sets the family that the endpoint's host needs, and returns the endpoint as libzmq takes it.
    ///
    /// libzmq listens on numbers and interfaces alone, tries a name that means nothing for ever, and finds addresses of IPv4
    /// only unless it is told otherwise: then it finds those of IPv4 as numbers of IPv6.
    private func prepare(_ endpoint: String, isLocal: Bool) throws(MessagingError) -> String {
        try Self.check(endpoint)
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else { return endpoint }
        let host = String(endpoint[..<colon].dropFirst(6))
        var address = host
        // An interface of this machine may be listened on by its name.
        if !HostName.isNumber(host), !(isLocal && if_nametoindex(host) != 0) {
            let addresses = try HostName.addresses(of: host, in: endpoint)
            guard let first = addresses.first else {
                throw .endpoint(endpoint, problem: "the name \(host) has no address")
            }
            // To connect, the name stays, so that it is looked up again when its address has changed.
            address = isLocal || HostName.isIPv6(first) ? first : host
        }
        var usesIPv6: Int32 = HostName.isIPv6(address) ? 1 : 0
        guard zmq_setsockopt(raw, ZMQ_IPV6, &usesIPv6, MemoryLayout<Int32>.size) == 0 else {
            throw .call("zmq_setsockopt", subject: "ZMQ_IPV6", code: zmq_errno())
        }
        return "tcp://\(HostName.inEndpoint(address))\(endpoint[colon...])"
    }

    /// Whether an endpoint is written as one; libzmq's own answer to a wrong one is "invalid argument".
    package static func check(_ endpoint: String) throws(MessagingError) {
        if endpoint.hasPrefix("ipc://") {
            // sockaddr_un holds 108 bytes with the zero.
            guard (7...6 + 107).contains(endpoint.utf8.count) else {
                throw .endpoint(endpoint, problem: "a socket's path has 1 to 107 bytes; use a shorter folder")
            }
        } else if endpoint.hasPrefix("tcp://") {
            let address = endpoint.dropFirst(6)
            let port = address.lastIndex(of: ":").map { address[address.index(after: $0)...] }
            guard let port, port == "*" || UInt16(port) != nil, address.utf8.count > port.utf8.count + 1 else {
                throw .endpoint(endpoint, problem: "it is written tcp://HOST:PORT with a port of 0 to 65535 or `*`")
            }
            let host = address.dropLast(port.utf8.count + 1)
            guard !host.contains(":") || host.hasPrefix("[") && host.hasSuffix("]") else {
                throw .endpoint(endpoint, problem: "an address of IPv6 stands in brackets: tcp://[ADDRESS]:PORT")
            }
        } else if !endpoint.hasPrefix("inproc://") {
            throw .endpoint(endpoint, problem: "it must begin with tcp:// or ipc://")
        }
    }

    // MARK: Messages

    /// Sends the frames as one message, all or none, without waiting.
    ///
    /// On `.sent` the frames' bytes are libzmq's.
    package func send(_ frames: [Message]) throws(MessagingError) -> SendOutcome {
        checkOwner()
        for (index, frame) in frames.enumerated() {
            var status: Int32
            repeat {
                status = frame.send(to: raw, more: index < frames.count - 1)
            } while status < 0 && zmq_errno() == EINTR
            if status >= 0 { continue }
            switch zmq_errno() {
            case EAGAIN where index == 0: return .full
            // Whether there is room is asked for whole messages, so here the connection broke between two frames.
            // libzmq has taken back what it had of the message ("rollback", lb.cpp); after the last frame nothing more
            // of it is awaited and dropped.
            case EAGAIN where index == frames.count - 1: return .full
            case EHOSTUNREACH where index == 0: return .unreachable
            case let code: throw .call("zmq_msg_send", subject: "a message of \(frames.count) frames", code: code)
            }
        }
        return .sent
    }

    /// The next message's frames, or nil where none has arrived.
    ///
    /// A message of more than `maximumFrames` frames is read to its end; the first frames of it come, one too many.
    package func receive(maximumFrames: Int) throws(MessagingError) -> [Message]? {
        checkOwner()
        var frames: [Message] = []
        while true {
            let frame = Message()
            if frame.receive(from: raw) < 0 {
                switch zmq_errno() {
                case EINTR: continue
                case EAGAIN: return nil
                case let code: throw .call("zmq_msg_recv", subject: "a message", code: code)
                }
            }
            let more = frame.hasMore
            if frames.count <= maximumFrames { frames.append(frame) }
            if !more { return frames }
        }
    }
}
