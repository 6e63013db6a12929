import CZeroMQ
import Glibc
import Platform
import Synchronization

/// Answers libzmq's question whether a key may connect (ZAP, RFC 27), for all listening sockets of one context.
///
/// A peer whose key is on the list is let in, and its messages carry the key's name (`Message.user`), which nobody can
/// forge who has not its secret key. Make it before the sockets listen. When it ends, nobody is let in any more.
package final class Authenticator: Sendable {
    private static let endpoint = "inproc://zeromq.zap.01"

    private let wakeUp: WakeUp
    private let thread = Mutex<OwnedThread?>(nil)

    package init(_ context: MessagingContext, allowed: AllowList) throws(MessagingError) {
        guard let raw = zmq_socket(context.raw, ZMQ_REP) else {
            throw .call("zmq_socket", subject: "a socket for ZAP", code: zmq_errno())
        }
        var linger: Int32 = 0
        zmq_setsockopt(raw, ZMQ_LINGER, &linger, MemoryLayout<Int32>.size)
        guard zmq_bind(raw, Self.endpoint) == 0 else {
            let code = zmq_errno()
            zmq_close(raw)
            throw .call("zmq_bind", subject: Self.endpoint, code: code)
        }
        let wakeUp = try MessagingError.whereRefused { () throws(SystemError) in try WakeUp() }
        self.wakeUp = wakeUp
        let desk = Desk(context: context, raw: raw, allowed: allowed)
        let thread = try MessagingError.whereRefused { () throws(SystemError) in
            try OwnedThread(name: "pleura-zap") { desk.run(until: wakeUp) }
        }
        self.thread.withLock { $0 = thread }
    }

    deinit { close() }

    /// Ends the thread, soon.
    package func close() {
        let thread = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        wakeUp.signal()
        thread?.detach()
    }
}

/// The socket of the thread that answers.
private final class Desk: @unchecked Sendable {
    // Made before the thread starts, which is a full fence, and used by it alone.
    private let context: MessagingContext
    private let raw: UnsafeMutableRawPointer
    private let allowed: AllowList

    init(context: MessagingContext, raw: UnsafeMutableRawPointer, allowed: AllowList) {
        self.context = context
        self.raw = raw
        self.allowed = allowed
    }

    deinit { zmq_close(raw) }

    func run(until wakeUp: WakeUp) {
        var items = [
            zmq_pollitem_t(socket: raw, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
            zmq_pollitem_t(socket: nil, fd: wakeUp.descriptor, events: Int16(ZMQ_POLLIN), revents: 0),
        ]
        while true {
            if zmq_poll(&items, 2, -1) < 0 && zmq_errno() != EINTR { return }
            if items[1].revents != 0 { return }
            while let request = receive() {
                if !answer(request) { return }
            }
        }
    }

    /// The frames of the next request, or nil where there is none.
    private func receive() -> [Message]? {
        var frames: [Message] = []
        while true {
            let frame = Message()
            if frame.receive(from: raw) < 0 {
                if zmq_errno() == EINTR { continue }
                return nil
            }
            frames.append(frame)
            if !frame.hasMore { return frames }
        }
    }

    /// Version, request, domain, address, routing id, mechanism and credentials: version, request, status, its text,
    /// name and metadata.
    private func answer(_ request: [Message]) -> Bool {
        var name: String?
        if request.count == 7, text(request[0]) == "1.0", text(request[5]) == "CURVE" {
            name = request[6].withBytes(CurveKeys.text(of:)).flatMap(allowed.name(of:))
        }
        let number = request.count > 1 ? request[1].withBytes(Array.init) : []
        let frames: [[UInt8]] = [
            Array("1.0".utf8), number, Array((name == nil ? "400" : "200").utf8),
            Array((name == nil ? "the key is not on the list" : "").utf8), Array((name ?? "").utf8), [],
        ]
        for (index, bytes) in frames.enumerated() {
            let flags = index < frames.count - 1 ? ZMQ_SNDMORE : 0
            while bytes.withUnsafeBytes({ zmq_send(raw, $0.baseAddress, $0.count, flags) }) < 0 {
                if zmq_errno() != EINTR { return false }
            }
        }
        return true
    }

    private func text(_ frame: Message) -> String { frame.withBytes { String(decoding: $0, as: UTF8.self) } }
}
