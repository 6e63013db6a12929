import Glibc
import Platform

/// A port that is opened only to see whether others reach it: the kernel answers for it.
final class PortTrial: Sendable {
    private let descriptor: Int32
    let port: UInt16

    /// Listens on `port` of every address of this machine, 0 for any that is free.
    init(port: UInt16 = 0) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw FileError("open", path: "a socket", code: errno) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 512) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isBound else {
            let code = errno
            close(descriptor)
            throw FileError("listen on", path: "port \(port)", code: code)
        }
        self.descriptor = descriptor
        self.port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }

    /// Why no connection to a port comes about within 3 s; nil where one does.
    static func problem(reaching host: String, port: String) -> String? {
        var hints = addrinfo()
        hints.ai_family = AF_INET
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, port, &hints, &found)
        guard status == 0, let first = found else {
            return "\(host) is not known there: \(String(cString: gai_strerror(status)))"
        }
        defer { freeaddrinfo(first) }
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_INET, flags, 0)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        var code: Int32 = 0
        if connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) != 0 {
            code = errno
            if code == EINPROGRESS {
                var descriptors = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&descriptors, 1, 3000) > 0 else {
                    return "\(host):\(port) does not answer within 3 s: a firewall, or no way there"
                }
                var length = socklen_t(4)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
            }
        }
        return code == 0 ? nil : "\(host):\(port): \(String(cString: strerror(code)))"
    }
}
