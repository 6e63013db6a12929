import CZeroMQ
import Glibc

/// One frame of libzmq.
///
/// A received frame's memory may start at any byte: libzmq leaves small ones where they stood in its receive buffer.
/// Belongs to one thread at a time.
package final class Message {
    fileprivate let raw: UnsafeMutablePointer<zmq_msg_t>

    /// An empty frame, to receive into.
    package init() {
        raw = .allocate(capacity: 1)
        zmq_msg_init(raw)
    }

    /// A frame that holds a copy of `bytes`.
    package init(copying bytes: UnsafeRawBufferPointer) throws(MessagingError) {
        let raw = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
        guard zmq_msg_init_size(raw, bytes.count) == 0 else {
            let code = errno
            raw.deallocate()
            throw .call("zmq_msg_init_size", subject: "\(bytes.count) bytes", code: code)
        }
        if let source = bytes.baseAddress { zmq_msg_data(raw)?.copyMemory(from: source, byteCount: bytes.count) }
        self.raw = raw
    }

    /// A frame of `byteCount` bytes, to be written before it is sent.
    package init(byteCount: Int) throws(MessagingError) {
        let raw = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
        guard zmq_msg_init_size(raw, byteCount) == 0 else {
            let code = errno
            raw.deallocate()
            throw .call("zmq_msg_init_size", subject: "\(byteCount) bytes", code: code)
        }
        self.raw = raw
    }

    /// A frame that sends `bytes` where they lie.
    ///
    /// `owner` keeps the memory alive; it is released on one of libzmq's threads when the bytes have gone out or were
    /// given up. Until the receiver has confirmed them the bytes must stay as they are.
    package init(borrowing bytes: UnsafeRawBufferPointer, owner: AnyObject) throws(MessagingError) {
        let raw = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
        let hint = Unmanaged.passRetained(owner)
        let status = zmq_msg_init_data(
            raw,
            UnsafeMutableRawPointer(mutating: bytes.baseAddress),
            bytes.count,
            { _, hint in
                if let hint { Unmanaged<AnyObject>.fromOpaque(hint).release() }
            },
            hint.toOpaque()
        )
        guard status == 0 else {
            let code = errno
            hint.release()
            raw.deallocate()
            throw .call("zmq_msg_init_data", subject: "\(bytes.count) bytes", code: code)
        }
        self.raw = raw
    }

    deinit {
        zmq_msg_close(raw)
        raw.deallocate()
    }

    /// Calls `body` with the frame's bytes, which are valid until it returns.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        // A pointer alone does not keep the frame alive.
        withExtendedLifetime(self) { body(unsafeBytes) }
    }

    /// Calls `body` with the bytes of a frame that was not sent yet, to write them.
    package func withMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        withExtendedLifetime(self) {
            body(UnsafeMutableRawBufferPointer(start: zmq_msg_data(raw), count: zmq_msg_size(raw)))
        }
    }

    /// The frame's bytes; valid while the caller keeps this object alive and does not send it.
    package var unsafeBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: zmq_msg_data(raw), count: zmq_msg_size(raw))
    }

    package var count: Int { zmq_msg_size(raw) }

    /// Whether more frames of the same message follow.
    package var hasMore: Bool { zmq_msg_more(raw) != 0 }

    /// The descriptor of the connection that the frame came through, to match a monitor's events; nil for inproc.
    package var connection: Int32? {
        let descriptor = zmq_msg_get(raw, ZMQ_SRCFD)
        return descriptor >= 0 ? descriptor : nil
    }

    /// The name of the key with which the connection was made, as the `Authenticator` told it; nil without one.
    package var user: String? {
        guard let text = zmq_msg_gets(raw, "User-Id") else { return nil }
        return String(cString: text)
    }

    func receive(from socket: UnsafeMutableRawPointer) -> Int32 { zmq_msg_recv(raw, socket, ZMQ_DONTWAIT) }

    func send(to socket: UnsafeMutableRawPointer, more: Bool) -> Int32 {
        zmq_msg_send(raw, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0))
    }
}
