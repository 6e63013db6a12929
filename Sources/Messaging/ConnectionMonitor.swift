import CZeroMQ
import Glibc
import Synchronization

/// What happens to the connections of one socket, seen by its owner thread.
package final class ConnectionMonitor {
    package enum Event: Hashable, Sendable {
        /// The socket listens, through this descriptor.
        case listening(Int32)
        /// A connection has come in, which nothing is known of yet.
        case accepted(Int32)
        /// Both sides have greeted each other: messages flow.
        case ready
        /// The connection with this descriptor (`Message.connection`) is gone.
        case disconnected(Int32)
        /// A connection could not be made, or broke; another is tried.
        case retrying
        /// A peer spoke another protocol, version or key.
        case refused(String)
    }

    private static let number = Atomic<UInt64>(0)

    let raw: UnsafeMutableRawPointer
    private let socket: Socket

    package init(_ socket: Socket) throws(MessagingError) {
        let number = Self.number.wrappingAdd(1, ordering: .relaxed).newValue
        let endpoint = "inproc://monitor-\(number)"
        let events =
            ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED
            | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED
            | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
        guard zmq_socket_monitor(socket.raw, endpoint, events) == 0,
            let raw = zmq_socket(socket.context.raw, ZMQ_PAIR)
        else { throw .call("zmq_socket_monitor", subject: endpoint, code: zmq_errno()) }
        self.raw = raw
        self.socket = socket
        var linger: Int32 = 0
        zmq_setsockopt(raw, ZMQ_LINGER, &linger, MemoryLayout<Int32>.size)
        // libzmq's I/O thread waits where events find no room, and all connections with it.
        var unlimited: Int32 = 0
        zmq_setsockopt(raw, ZMQ_RCVHWM, &unlimited, MemoryLayout<Int32>.size)
        guard zmq_connect(raw, endpoint) == 0 else {
            throw .call("zmq_connect", subject: endpoint, code: zmq_errno())
        }
    }

    deinit {
        zmq_socket_monitor(socket.raw, nil, 0)
        zmq_close(raw)
    }

    /// The next event, or nil where none is left.
    package func next() -> Event? {
        socket.checkOwner()
        while true {
            let head = Message()
            guard head.receive(from: raw) >= 0 else { return nil }
            var more = head.hasMore
            while more {
                let address = Message()
                guard address.receive(from: raw) >= 0 else { return nil }
                more = address.hasMore
            }
            guard head.count >= 6 else { continue }
            let (event, value) = head.withBytes { bytes in
                (
                    Int32(bytes.loadUnaligned(fromByteOffset: 0, as: UInt16.self)),
                    bytes.loadUnaligned(fromByteOffset: 2, as: Int32.self)
                )
            }
            switch event {
            case ZMQ_EVENT_LISTENING: return .listening(value)
            case ZMQ_EVENT_ACCEPTED: return .accepted(value)
            case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: return .ready
            case ZMQ_EVENT_CONNECT_RETRIED: return .retrying
            case ZMQ_EVENT_DISCONNECTED: return .disconnected(value)
            case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: return .refused("its key is not admitted (\(value))")
            case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: return .refused(Self.protocolProblem(value))
            case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                return .refused("the greeting broke off: \(String(cString: zmq_strerror(value)))")
            default: continue
            }
        }
    }

    private static func protocolProblem(_ code: Int32) -> String {
        switch code {
        case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "one side uses keys and the other does not"
        case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "the keys of the two sides do not belong together"
        default:
            "it speaks another protocol than ZMTP 3 (libzmq's code 0x\(String(UInt32(bitPattern: code), radix: 16)))"
        }
    }
}

/// Waits for sockets, monitors and file descriptors at once; used by their owner thread.
package struct Poller {
    private var items: [zmq_pollitem_t] = []

    package init() {}

    /// Where an item stands in the poller.
    package typealias Index = Int

    package mutating func add(_ socket: Socket) -> Index { add(socket.raw, 0, ZMQ_POLLIN) }
    package mutating func add(_ monitor: ConnectionMonitor) -> Index { add(monitor.raw, 0, ZMQ_POLLIN) }
    package mutating func add(descriptor: Int32) -> Index { add(nil, descriptor, ZMQ_POLLIN) }

    private mutating func add(_ socket: UnsafeMutableRawPointer?, _ descriptor: Int32, _ events: Int32) -> Index {
        items.append(zmq_pollitem_t(socket: socket, fd: descriptor, events: Int16(events), revents: 0))
        return items.count - 1
    }

    /// Whether `wait` also returns when the socket at `index` can send.
    package mutating func wantsToSend(_ index: Index, _ wants: Bool) {
        items[index].events = Int16(wants ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN)
    }

    /// Sleeps until an item is ready or `milliseconds` have passed (-1: no limit).
    package mutating func wait(milliseconds: Int) throws(MessagingError) {
        while zmq_poll(&items, Int32(items.count), milliseconds) < 0 {
            let code = zmq_errno()
            if code != EINTR { throw .call("zmq_poll", subject: "\(items.count) items", code: code) }
        }
    }

    /// Whether the item has something to read (an error counts: reading tells it).
    package func isReadable(_ index: Index) -> Bool {
        items[index].revents & Int16(ZMQ_POLLIN | ZMQ_POLLERR) != 0
    }
}
