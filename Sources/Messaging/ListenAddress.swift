/// Where a worker listens for other workers' frames, and where it tells them to connect.
package struct ListenAddress: Hashable, Sendable {
    /// `tcp://HOST:PORT`, with `*` for any port.
    package let listen: String
    /// The host in place of that in `listen`; nil leaves it.
    package let advertised: String?

    /// What a worker of the coordinator at `coordinator` uses, given what its user said (nil: nothing).
    ///
    /// Workers of a coordinator on this machine listen on loopback. Others listen everywhere, and are reached as the
    /// coordinator reaches them: at this machine's address on the way to it. A name other than `localhost` that means
    /// loopback here is this machine's own (Debian writes it into /etc/hosts): who is told it has workers elsewhere, and
    /// they reach this one at the address of an interface.
    ///
    /// `system` answers what the machine knows. Throws where it is needed and not known.
    package init(
        listen: String?,
        advertise: String?,
        coordinator: String,
        system: System = System()
    ) throws(MessagingError) {
        try Socket.check(coordinator)
        if let listen { try Socket.check(listen) }
        let host = Self.host(of: coordinator)
        let addresses =
            HostName.isNumber(host) ? [HostName.withoutBrackets(host)] : try system.addresses(host, coordinator)
        if let advertise, !HostName.isNumber(advertise) { _ = try system.addresses(advertise, advertise) }
        if let listen {
            let isOpen = ["0.0.0.0", "*", "::", "[::]"].contains(Self.host(of: listen))
            self.listen = listen
            advertised = try isOpen && advertise == nil ? system.reachable(host, addresses, listen) : advertise
            return
        }
        let isIPv6 = HostName.isIPv6(advertise ?? addresses.first ?? "")
        let loopback = isIPv6 ? "tcp://[::1]:*" : "tcp://127.0.0.1:*"
        let everywhere = isIPv6 ? "tcp://[::]:*" : "tcp://0.0.0.0:*"
        if let advertise {
            let isLocal = advertise == "localhost" || HostName.isLoopbackNumber(advertise)
            self.listen = isLocal ? loopback : everywhere
            advertised = advertise
            return
        }
        // What a coordinator listens on that listens everywhere, and this machine as one connects to it.
        let own =
            host == "0.0.0.0" || host == "*" || host == "[::]" ? nil : try system.reachable(host, addresses, everywhere)
        let isLocal = own.map { HostName.isLoopbackNumber($0) } ?? true
        self.listen = isLocal ? loopback : everywhere
        advertised = isLocal ? nil : own
    }

    /// What is asked of the machine; tests answer themselves.
    package struct System {
        /// The addresses of a host, which stands in the endpoint.
        package var addresses: (_ host: String, _ endpoint: String) throws(MessagingError) -> [String]
        /// This machine's address on the way to a host.
        package var localAddress: (_ host: String) -> String?
        /// Addresses of this machine that others reach.
        package var interfaces: () -> [String]

        package init(
            addresses: @escaping (_ host: String, _ endpoint: String) throws(MessagingError) -> [String] = {
                (host, endpoint) throws(MessagingError) in try HostName.addresses(of: host, in: endpoint)
            },
            localAddress: @escaping (_ host: String) -> String? = HostName.localAddress(towards:),
            interfaces: @escaping () -> [String] = HostName.interfaceAddresses
        ) {
            self.addresses = addresses
            self.localAddress = localAddress
            self.interfaces = interfaces
        }

        /// By which address others reach this machine; loopback where the coordinator is reached by a number or name of it.
        func reachable(_ host: String, _ addresses: [String], _ listen: String) throws(MessagingError) -> String {
            let isOwn = addresses.first.map(HostName.isLoopbackNumber) ?? false
            if isOwn, host == "localhost" || HostName.isNumber(host) { return addresses.first ?? host }
            if isOwn {
                let known = interfaces()
                if known.isEmpty { return addresses.first ?? host }
                if known.count == 1 { return known[0] }
                throw .endpoint(
                    listen,
                    problem: "the coordinator's name \(host) is this machine's own, which has the addresses "
                        + "\(known.prefix(8).joined(separator: ", ")); say with --advertise by which of them other hosts "
                        + "reach it"
                )
            }
            if let found = localAddress(host) { return found }
            throw .endpoint(
                listen,
                problem: "by which address other hosts reach this machine is not known, because there is no way to the "
                    + "coordinator's host \(host) yet; say it with --advertise"
            )
        }
    }

    /// The host of `tcp://HOST:PORT`; this machine for sockets of its file system.
    private static func host(of endpoint: String) -> String {
        Endpoint.hostAndPort(endpoint)?.host ?? "localhost"
    }
}
