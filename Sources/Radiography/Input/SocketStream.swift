private import Glibc

/// Whole messages over a stream socket, with a deadline.
///
/// One thread at a time.
struct SocketStream {
    let descriptor: Int32

    enum Failure: Error, Equatable {
        /// The other side is gone.
        case closed
        case timedOut
        case system(errno: Int32)
    }

    /// Sends all bytes.
    ///
    /// A peer that does not read for `seconds` is a time-out.
    func send(_ bytes: UnsafeRawBufferPointer, within seconds: Double?) throws(Failure) {
        let deadline = seconds.map { Self.now() + $0 }
        var sent = 0
        while sent < bytes.count {
            try wait(for: Int16(POLLOUT), until: deadline)
            // No SIGPIPE: a dead child is an error value, not the parent's end.
            let count = Glibc.send(
                descriptor,
                bytes.baseAddress.map { $0 + sent },
                bytes.count - sent,
                Int32(MSG_NOSIGNAL) | (deadline == nil ? 0 : Int32(MSG_DONTWAIT))
            )
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                throw errno == EPIPE || errno == ECONNRESET ? .closed : .system(errno: errno)
            }
            sent += count
        }
    }

    func send(_ bytes: [UInt8], within seconds: Double?) throws(Failure) {
        let failure = bytes.withUnsafeBytes { buffer -> Failure? in
            do throws(Failure) {
                try send(buffer, within: seconds)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    /// Receives exactly `count` bytes.
    func receive(_ count: Int, within seconds: Double?) throws(Failure) -> [UInt8] {
        let deadline = seconds.map { Self.now() + $0 }
        var failure: Failure?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count && failure == nil {
                do throws(Failure) {
                    try wait(for: Int16(POLLIN), until: deadline)
                } catch {
                    failure = error
                    return
                }
                let received = recv(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled, 0)
                if received == 0 {
                    failure = .closed
                } else if received > 0 {
                    filled += received
                } else if errno != EINTR && errno != EAGAIN {
                    failure = errno == ECONNRESET ? .closed : .system(errno: errno)
                }
            }
        }
        if let failure { throw failure }
        return bytes
    }

    private func wait(for events: Int16, until deadline: Double?) throws(Failure) {
        guard let deadline else { return }
        while true {
            let left = deadline - Self.now()
            guard left > 0 else { throw .timedOut }
            var entry = pollfd(fd: descriptor, events: events, revents: 0)
            let count = poll(&entry, 1, Int32(min(left * 1000 + 1, 1e9)))
            if count > 0 { return }
            if count < 0 && errno != EINTR { throw .system(errno: errno) }
        }
    }

    /// Seconds on a clock that nobody sets.
    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
