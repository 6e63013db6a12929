import Glibc
package import Messaging

/// Where a worker listens for other workers' frames, and where it tells them to connect.
package struct ListenAddress: Hashable, Sendable {
    /// `tcp://HOST:PORT`, with `*` for any port.
    package let listen: String
    /// The host in place of that in `listen`; nil leaves it.
    package let advertised: String?

    private static let loopback = "tcp://127.0.0.1:*"
    private static let everywhere = "tcp://0.0.0.0:*"

    /// What a worker of the coordinator at `coordinator` uses, given what its user said (nil: nothing).
    ///
    /// Workers of a coordinator on this machine listen on loopback. Others listen everywhere, and are reached as the
    /// coordinator reaches them: at this machine's address on the way to it.
    ///
    /// `localAddress` finds that address. Throws where it is needed and there is none.
    package init(
        listen: String?,
        advertise: String?,
        coordinator: String,
        localAddress: (_ host: String) -> String? = ListenAddress.localAddress(towards:)
    ) throws(MessagingError) {
        let host = Self.host(of: coordinator)
        func reachable(_ listen: String) throws(MessagingError) -> String {
            if let found = localAddress(host) { return found }
            throw .endpoint(
                listen,
                problem: "by which address other hosts reach this machine is not known, because there is no way to the "
                    + "coordinator's host \(host) yet; say it with --advertise"
            )
        }
        if let listen {
            let isOpen = ["0.0.0.0", "*", "::", "[::]"].contains(Self.host(of: listen))
            self.listen = listen
            advertised = try isOpen && advertise == nil ? reachable(listen) : advertise
        } else if let advertise {
            self.listen = Self.isLoopback(advertise) ? Self.loopback : Self.everywhere
            advertised = advertise
        } else {
            // A name may mean this machine too.
            let own = try Self.isLoopback(host) ? host : reachable(Self.everywhere)
            let isLocal = Self.isLoopback(own)
            self.listen = isLocal ? Self.loopback : Self.everywhere
            advertised = isLocal ? nil : own
        }
    }

    /// The host of `tcp://HOST:PORT`.
    private static func host(of endpoint: String) -> String {
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else { return "localhost" }
        return String(endpoint[..<colon].dropFirst("tcp://".count))
    }

    private static func isLoopback(_ host: String) -> Bool {
        ["localhost", "::1", "[::1]", "0.0.0.0"].contains(host) || host.hasPrefix("127.")
    }

    /// The address of this machine from which packets to `host` would be sent, as a number; sends none.
    package static func localAddress(towards host: String) -> String? {
        var hints = addrinfo()
        // The transport's sockets are of this family.
        hints.ai_family = AF_INET
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        // The port is of no importance: nothing is sent there.
        guard getaddrinfo(host, "9", &hints, &found) == 0, let first = found else { return nil }
        defer { freeaddrinfo(first) }
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else { return nil }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isKnown = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) == 0 }
        }
        guard isKnown else { return nil }
        var text = [CChar](repeating: 0, count: Int(INET_ADDRSTRLEN))
        guard inet_ntop(AF_INET, &address.sin_addr, &text, socklen_t(text.count)) != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
