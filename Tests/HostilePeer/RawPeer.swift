import Glibc

/// A connection of an intruder: ZMTP 3.1 written by hand over a plain socket, so that it can be as wrong as it likes.
///
/// Used by one thread. Everything fails softly: who is attacked may hang up at any byte.
package final class RawPeer {
    private var descriptor: Int32

    /// Connects to `tcp://127.0.0.1:PORT` or any other numeric endpoint of IPv4; nil where nobody takes the connection.
    ///
    /// `seconds` bounds each later wait.
    package init?(_ endpoint: String, seconds: Int = 5) {
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":"),
            let port = UInt16(endpoint[endpoint.index(after: colon)...])
        else { return nil }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        guard inet_pton(AF_INET, String(endpoint[..<colon].dropFirst(6)), &address.sin_addr) == 1 else { return nil }
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if status != 0 {
            Glibc.close(descriptor)
            descriptor = -1
            return nil
        }
    }

    deinit { close() }

    package func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Ends the connection with a reset in place of an orderly end.
    package func reset() {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Sends bytes as they are; false where the other end has hung up or takes no more.
    @discardableResult package func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.send(descriptor, buffer.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    /// Up to `count` bytes; none where the other end has hung up or says nothing.
    package func receive(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, count, 0) }
        return got > 0 ? Array(bytes.prefix(got)) : []
    }

    /// Whether the other end hangs up before the time of a wait is over; what it sends meanwhile is thrown away.
    package func isHungUp() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let got = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if got > 0 { continue }
            return got == 0 || errno == ECONNRESET || errno == EPIPE
        }
    }

    // MARK: ZMTP

    package static func greeting(mechanism: String = "NULL") -> [UInt8] {
        let name = Array(mechanism.utf8.prefix(20))
        return [0xff] + [UInt8](repeating: 0, count: 8) + [0x7f, 3, 1] + name
            + [UInt8](repeating: 0, count: 20 - name.count + 32)
    }

    package static func property(_ name: String, _ value: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: name.utf8.count)] + Array(name.utf8) + bigEndian(UInt32(value.count)) + value
    }

    package static func command(_ name: String, _ body: [UInt8]) -> [UInt8] {
        framed(4, [UInt8(name.utf8.count)] + Array(name.utf8) + body)
    }

    package static func frame(_ content: [UInt8], more: Bool = false) -> [UInt8] { framed(more ? 1 : 0, content) }

    /// The beginning of a frame that says to have `size` bytes.
    package static func head(size: UInt64, flags: UInt8 = 0) -> [UInt8] { [flags | 2] + bigEndian(size) }

    private static func framed(_ flags: UInt8, _ content: [UInt8]) -> [UInt8] {
        let head =
            content.count < 256
            ? [flags, UInt8(content.count)] : head(size: UInt64(content.count), flags: flags)
        return head + content
    }

    private static func bigEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    /// Greets as a DEALER of the given name would; false where the other end does not follow.
    @discardableResult package func greet(name: String? = nil, type: String = "DEALER") -> Bool {
        var properties = Self.property("Socket-Type", Array(type.utf8))
        if let name { properties += Self.property("Identity", Array(name.utf8)) }
        guard send(Self.greeting() + Self.command("READY", properties)) else { return false }
        // Its greeting and its READY.
        guard exactly(64) != nil, let head = exactly(2), exactly(Int(head[1])) != nil else { return false }
        return true
    }

    /// So many bytes; nil where fewer come.
    private func exactly(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = receive(count - bytes.count)
            if more.isEmpty { return nil }
            bytes += more
        }
        return bytes
    }

    /// The content of the next frame of less than 256 bytes that is no command; nil where none comes.
    package func nextContent() -> [UInt8]? {
        while let head = exactly(2) {
            guard let content = exactly(Int(head[1])) else { return nil }
            if head[0] & 4 == 0 { return content }
        }
        return nil
    }

    /// The frame in which a client of ours says its name.
    package static func name(_ name: String, proof: UInt8) -> [UInt8] {
        frame(Array("PLEURA\u{1}".utf8) + [UInt8](repeating: proof, count: 16) + Array(name.utf8), more: true)
    }
}
