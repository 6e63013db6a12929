import Glibc

/// Names and numbers of hosts, as the system resolves them.
package enum HostName {
    /// The addresses of a host as numbers, those of IPv4 first. Blocks while a name server is asked.
    ///
    /// Throws `.endpoint` of `endpoint`, where the name means nothing here.
    package static func addresses(of host: String, in endpoint: String) throws(MessagingError) -> [String] {
        let name = withoutBrackets(host)
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, nil, &hints, &found)
        guard status == 0, let first = found else {
            let reason = status == EAI_SYSTEM ? MessagingError.reason(errno) : String(cString: gai_strerror(status))
            throw .endpoint(
                endpoint,
                problem:
                    "the name \(name) cannot be resolved (\(reason)); write one that `getent hosts \(name)` knows on "
                    + "this machine, or an address"
            )
        }
        defer { freeaddrinfo(first) }
        var result: [String] = []
        var next: UnsafeMutablePointer<addrinfo>? = first
        while let entry = next {
            if let text = number(entry.pointee.ai_addr, entry.pointee.ai_addrlen), !result.contains(text) {
                result.append(text)
            }
            next = entry.pointee.ai_next
        }
        return result.filter { !isIPv6($0) } + result.filter(isIPv6)
    }

    /// Whether the text is a number of IPv6, with or without brackets.
    package static func isIPv6(_ host: String) -> Bool { host.utf8.contains(UInt8(ascii: ":")) }

    /// Whether the host is a number or stands for all addresses: nothing has to be resolved.
    package static func isNumber(_ host: String) -> Bool {
        var address = in_addr()
        return host == "*" || isIPv6(host) || inet_pton(AF_INET, host, &address) == 1
    }

    /// Whether the host is a number that means this machine itself.
    package static func isLoopbackNumber(_ host: String) -> Bool {
        if withoutBrackets(host) == "::1" { return true }
        // A name may begin like a number and be another machine's.
        let bytes = host.split(separator: ".", omittingEmptySubsequences: false)
        return bytes.count == 4 && bytes[0] == "127" && bytes.allSatisfy { UInt8($0) != nil }
    }

    /// The host as it stands in front of a port.
    package static func inEndpoint(_ host: String) -> String {
        isIPv6(host) && !host.hasPrefix("[") ? "[\(host)]" : host
    }

    package static func withoutBrackets(_ host: String) -> String {
        host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
    }

    /// The address of this machine from which packets to `host` would be sent, as a number; sends none. Nil where there is
    /// no way, or the name means nothing.
    package static func localAddress(towards host: String) -> String? {
        guard let addresses = try? addresses(of: host, in: host) else { return nil }
        for address in addresses {
            if let local = localAddress(towardsNumber: address) { return local }
        }
        return nil
    }

    private static func localAddress(towardsNumber address: String) -> String? {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        // The port is of no importance: nothing is sent there.
        guard getaddrinfo(address, "9", &hints, &found) == 0, let first = found else { return nil }
        defer { freeaddrinfo(first) }
        let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(first.pointee.ai_family, kind, 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else { return nil }
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                getsockname(descriptor, address, &length) == 0 ? number(address, length) : nil
            }
        }
    }

    /// Addresses of this machine's interfaces that other machines can reach it by, as numbers: the one on the way to
    /// everywhere alone where there is such a way, else all, those of IPv4 first.
    package static func interfaceAddresses() -> [String] {
        // An address of nobody's (RFC 5737): the way to it is the default one.
        if let usual = localAddress(towardsNumber: "192.0.2.1"), !isLoopbackNumber(usual) { return [usual] }
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0, let first = list else { return [] }
        defer { freeifaddrs(first) }
        var result: [String] = []
        var next: UnsafeMutablePointer<ifaddrs>? = first
        while let entry = next {
            let flags = Int32(bitPattern: entry.pointee.ifa_flags)
            if flags & Int32(IFF_UP) != 0, flags & Int32(IFF_LOOPBACK) == 0,
                let address = entry.pointee.ifa_addr
            {
                let size: Int? =
                    switch Int32(address.pointee.sa_family) {
                    case AF_INET: MemoryLayout<sockaddr_in>.size
                    case AF_INET6: MemoryLayout<sockaddr_in6>.size
                    default: nil
                    }
                if let size, let text = number(address, socklen_t(size)), !text.hasPrefix("fe80:") {
                    result.append(text)
                }
            }
            next = entry.pointee.ifa_next
        }
        let ofIPv4 = result.filter { !isIPv6($0) }
        return ofIPv4.isEmpty ? result : ofIPv4
    }

    private static func number(_ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> String? {
        guard let address else { return nil }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard getnameinfo(address, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 else {
            return nil
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
