/// Endpoints of the form `tcp://HOST:PORT`.
package enum Endpoint {
    /// What a listener writes for "every address of this machine": no address to connect to from another one.
    private static let wildcards: Set = ["*", "0.0.0.0", "[::]", "::"]

    /// The endpoint with `host` in the place of a wildcard; any other endpoint as it is.
    package static func reachable(_ endpoint: String, at host: String) -> String {
        guard let (found, port) = parts(endpoint), wildcards.contains(found) else { return endpoint }
        return "tcp://\(HostName.inEndpoint(host)):\(port)"
    }

    /// An endpoint that the process behind `other` listens on, as it is reached from where `other` is.
    package static func reachable(_ endpoint: String, beside other: String) -> String {
        guard let (host, _) = parts(other) else { return endpoint }
        return reachable(endpoint, at: host)
    }

    /// An endpoint of its own beside another one, on any free port: for a second socket of the same process.
    package static func beside(_ endpoint: String) -> String {
        guard let (host, _) = parts(endpoint) else { return "\(endpoint).bulk" }
        return "tcp://\(host):*"
    }

    /// Whether the endpoint is of this machine alone.
    ///
    /// `isTarget`: as one to connect to, where a wildcard means this machine, and not as one to listen on.
    package static func isLoopback(_ endpoint: String, isTarget: Bool = false) -> Bool {
        if endpoint.hasPrefix("ipc://") || endpoint.hasPrefix("inproc://") { return true }
        guard let (host, _) = parts(endpoint) else { return false }
        if isTarget && wildcards.contains(host) { return true }
        return ["localhost", "lo"].contains(host) || HostName.isLoopbackNumber(host)
    }

    /// The host and port of `tcp://HOST:PORT`; nil for any other endpoint.
    package static func hostAndPort(_ endpoint: String) -> (host: String, port: String)? {
        parts(endpoint).map { ($0.host, String($0.port)) }
    }

    private static func parts(_ endpoint: String) -> (host: String, port: Substring)? {
        let scheme = "tcp://"
        guard endpoint.hasPrefix(scheme), let colon = endpoint.lastIndex(of: ":") else { return nil }
        let start = endpoint.index(endpoint.startIndex, offsetBy: scheme.count)
        guard start < colon else { return nil }
        return (String(endpoint[start..<colon]), endpoint[endpoint.index(after: colon)...])
    }
}
