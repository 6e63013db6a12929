import CZeroMQ

/// The options of a socket; the defaults bound everything that libzmq leaves unbounded.
package struct SocketOptions: Sendable {
    /// The name under which a ROUTER knows this socket. Ours are known by what their messages say, and have none: libzmq
    /// would take it from whoever says it.
    package var identity: PeerIdentity?
    /// Messages, not bytes, that wait for one peer.
    package var sendHighWater: Int32 = 1000
    /// Messages from one peer that wait to be received.
    package var receiveHighWater: Int32 = 1000
    /// A larger frame ends its connection before memory is taken for it.
    package var maximumFrameBytes: Int64 = 1 << 20
    /// How long closing waits for messages to go out.
    package var lingerMilliseconds: Int32 = 500
    /// The kernel's buffers, in bytes; -1 leaves them to the kernel's tuning.
    package var kernelBufferBytes: Int32 = -1
    /// How long one attempt at a connection may take.
    package var connectMilliseconds: Int32 = 3000
    package var reconnectMilliseconds: Int32 = 50
    package var reconnectMaximumMilliseconds: Int32 = 2000
    /// How long a peer may leave what was sent to it unacknowledged before its connection counts as broken.
    package var silenceMilliseconds: Int32 = 20_000
    package var curve: CurveKeys?

    package init() {}

    func apply(to socket: Socket, kind: Socket.Kind) throws(MessagingError) {
        if let identity { try set(socket, ZMQ_ROUTING_ID, "ZMQ_ROUTING_ID", identity.text) }
        try set(socket, ZMQ_SNDHWM, "ZMQ_SNDHWM", sendHighWater)
        try set(socket, ZMQ_RCVHWM, "ZMQ_RCVHWM", receiveHighWater)
        let overhead = Int64(curve == nil ? 0 : CurveKeys.overheadBytes)
        try set(socket, ZMQ_MAXMSGSIZE, "ZMQ_MAXMSGSIZE", maximumFrameBytes + overhead)
        try set(socket, ZMQ_LINGER, "ZMQ_LINGER", lingerMilliseconds)
        if kernelBufferBytes >= 0 {
            try set(socket, ZMQ_SNDBUF, "ZMQ_SNDBUF", kernelBufferBytes)
            try set(socket, ZMQ_RCVBUF, "ZMQ_RCVBUF", kernelBufferBytes)
        }
        // A host that vanishes without a word: the kernel's own limits are many minutes.
        try set(socket, ZMQ_TCP_KEEPALIVE, "ZMQ_TCP_KEEPALIVE", 1 as Int32)
        try set(socket, ZMQ_TCP_KEEPALIVE_IDLE, "ZMQ_TCP_KEEPALIVE_IDLE", 10 as Int32)
        try set(socket, ZMQ_TCP_KEEPALIVE_INTVL, "ZMQ_TCP_KEEPALIVE_INTVL", 5 as Int32)
        try set(socket, ZMQ_TCP_KEEPALIVE_CNT, "ZMQ_TCP_KEEPALIVE_CNT", 3 as Int32)
        try set(socket, ZMQ_TCP_MAXRT, "ZMQ_TCP_MAXRT", silenceMilliseconds)
        try set(socket, ZMQ_HANDSHAKE_IVL, "ZMQ_HANDSHAKE_IVL", 5_000 as Int32)
        switch kind {
        case .router:
            // Without it an unknown or full peer loses messages silently.
            try set(socket, ZMQ_ROUTER_MANDATORY, "ZMQ_ROUTER_MANDATORY", 1 as Int32)
            // A connection that says another's name does not take its place: libzmq would read nothing more from the first
            // one, and not tell either.
            try set(socket, ZMQ_ROUTER_HANDOVER, "ZMQ_ROUTER_HANDOVER", 0 as Int32)
        case .dealer:
            // Without this, messages are queued for connections that were never made, and lost with them.
            try set(socket, ZMQ_IMMEDIATE, "ZMQ_IMMEDIATE", 1 as Int32)
            // A host that does not answer at all: the kernel would try for two minutes.
            try set(socket, ZMQ_CONNECT_TIMEOUT, "ZMQ_CONNECT_TIMEOUT", connectMilliseconds)
            try set(socket, ZMQ_RECONNECT_IVL, "ZMQ_RECONNECT_IVL", reconnectMilliseconds)
            try set(socket, ZMQ_RECONNECT_IVL_MAX, "ZMQ_RECONNECT_IVL_MAX", reconnectMaximumMilliseconds)
        }
        switch curve {
        case nil: break
        case .server(let secretKey, _):
            try set(socket, ZMQ_CURVE_SERVER, "ZMQ_CURVE_SERVER", 1 as Int32)
            // Without the second, a context in which nobody answers for ZAP would let everybody in.
            try set(socket, ZMQ_ZAP_DOMAIN, "ZMQ_ZAP_DOMAIN", "pleura")
            try set(socket, ZMQ_ZAP_ENFORCE_DOMAIN, "ZMQ_ZAP_ENFORCE_DOMAIN", 1 as Int32)
            try set(socket, ZMQ_CURVE_SECRETKEY, "ZMQ_CURVE_SECRETKEY", secretKey)
        case .client(let serverKey, let publicKey, let secretKey):
            try set(socket, ZMQ_CURVE_SERVERKEY, "ZMQ_CURVE_SERVERKEY", serverKey)
            try set(socket, ZMQ_CURVE_PUBLICKEY, "ZMQ_CURVE_PUBLICKEY", publicKey)
            try set(socket, ZMQ_CURVE_SECRETKEY, "ZMQ_CURVE_SECRETKEY", secretKey)
        }
    }

    private func set<Value: FixedWidthInteger>(
        _ socket: Socket,
        _ option: Int32,
        _ name: String,
        _ value: Value
    ) throws(MessagingError) {
        var value = value
        guard zmq_setsockopt(socket.raw, option, &value, MemoryLayout<Value>.size) == 0 else {
            throw .call("zmq_setsockopt", subject: name, code: zmq_errno())
        }
    }

    private func set(_ socket: Socket, _ option: Int32, _ name: String, _ value: String) throws(MessagingError) {
        guard zmq_setsockopt(socket.raw, option, value, value.utf8.count) == 0 else {
            throw .call("zmq_setsockopt", subject: name, code: zmq_errno())
        }
    }
}
