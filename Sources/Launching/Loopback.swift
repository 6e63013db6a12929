import Diagnostics
import Glibc

/// This machine's way to itself, by which a run's processes talk that are all of one machine.
enum Loopback {
    /// Why it cannot be used.
    struct Defect: ReportableError, Equatable {
        /// The value of `errno`.
        let code: Int32

        var description: String {
            "This machine does not reach itself at 127.0.0.1 (\(String(cString: strerror(code)))): the loopback interface is "
                + "down, as in a network namespace that is new. Bring it up: ip link set lo up."
        }

        var exitStatus: ExitStatus { .temporary }
    }

    /// Throws where 127.0.0.1 cannot be reached; sends nothing.
    static func requireUp() throws(Defect) {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        // What has no sockets at all is told by the first that is needed.
        guard socket >= 0 else { return }
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(9).bigEndian
        address.sin_addr.s_addr = in_addr_t(INADDR_LOOPBACK).bigEndian
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if status != 0 { throw Defect(code: errno) }
    }
}
