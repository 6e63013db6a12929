import Diagnostics
import Foundation
import Messaging
import Platform
import Testing

@Suite(.timeLimit(.minutes(15)))
struct ZeroMQTransportTests {
    @Test(arguments: ["tcp://127.0.0.1:*", "ipc"])
    func messagesPassBothWaysInOrder(_ kind: String) async throws {
        let events = (server: Events(), client: Events())
        let limits = TransportLimits(sends: 10 << 20, receives: 10 << 20)
        let server = try ZeroMQServer(
            bind: [kind == "ipc" ? uniqueIPCEndpoint() : kind],
            limits: limits,
            handler: events.server.handler
        )
        let endpoint = try #require(server.endpoints.first)
        #expect(!endpoint.contains("*"))
        let client = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "worker"),
            limits: limits,
            handler: events.client.handler
        )
        defer {
            client.close()
            server.close()
        }
        for number in 0..<500 { try client.send([UInt8(number % 251), UInt8(number / 251)]) }
        for number in 0..<500 {
            let message = try await events.server.nextMessage()
            #expect(message.from == client.identity)
            try #require(message.bytes == [UInt8(number % 251), UInt8(number / 251)])
        }
        for number in 0..<500 { try server.send([UInt8(number % 251)], to: client.identity) }
        for number in 0..<500 {
            try #require(try await events.client.nextMessage().bytes == [UInt8(number % 251)])
        }
        let large = [UInt8](repeating: 7, count: 10 << 20)
        try server.send(large, to: client.identity)
        #expect(try await events.client.nextMessage().bytes == large)
    }

    @Test func aBrokenConnectionIsToldToBothSides() async throws {
        let events = (server: Events(), client: Events(), other: Events())
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"], handler: events.server.handler)
        let endpoint = try #require(server.endpoints.first)
        let leaving = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "leaving"),
            handler: events.other.handler
        )
        let staying = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "staying"),
            handler: events.client.handler
        )
        try leaving.send([1])
        try staying.send([2])
        var seen: Set<PeerIdentity> = []
        while seen.count < 2 { seen.insert(try await events.server.nextMessage().from) }
        leaving.close()
        #expect(try await events.server.nextLoss().peer == leaving.identity)
        // The other one is still there, and hears when the server goes.
        try server.send([3], to: staying.identity)
        #expect(try await events.client.nextMessage().bytes == [3])
        server.close()
        _ = try await events.client.nextLoss()
        staying.close()
    }

    @Test func whatTheServerSendsToAnUnknownPeerIsReported() async throws {
        let events = Events()
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"], handler: events.handler)
        defer { server.close() }
        let unknown = PeerIdentity.random(role: "unknown")
        try server.send([1], to: unknown)
        #expect(try await events.nextLoss().peer == unknown)
    }

    @Test func closingSendsWhatIsQueued() async throws {
        let events = (server: Events(), client: Events())
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"], handler: events.server.handler)
        let endpoint = try #require(server.endpoints.first)
        let client = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "worker"),
            handler: events.client.handler
        )
        defer { server.close() }
        try await events.client.connected()
        for number in 0..<100 { try client.send([UInt8(number)]) }
        client.close()
        for number in 0..<100 { #expect(try await events.server.nextMessage().bytes == [UInt8(number)]) }
        #expect(throws: MessagingError.closed) { try client.send([0]) }
    }

    @Test func limitsAreKept() async throws {
        var limits = TransportLimits(sends: 1000, receives: 1000)
        limits.maximumQueuedBytes = 1500
        let events = (server: Events(), client: Events())
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"], limits: limits, handler: events.server.handler)
        let endpoint = try #require(server.endpoints.first)
        // Nobody listens at the address that it is given: everything stays in its queue.
        let alone = try ZeroMQClient(
            connect: uniqueIPCEndpoint(),
            identity: .random(role: "alone"),
            limits: limits,
            handler: { _ in }
        )
        #expect(throws: MessagingError.tooLarge(bytes: 1001, limit: 1000)) {
            try alone.send([UInt8](repeating: 0, count: 1001))
        }
        try alone.send([UInt8](repeating: 0, count: 1000))
        #expect(throws: MessagingError.queueFull(peer: "server", queuedBytes: 1000, limit: 1500)) {
            try alone.send([UInt8](repeating: 0, count: 501))
        }
        // A client without such a limit is cut off by the server, and others are not disturbed.
        let excessive = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "large"),
            handler: events.client.handler
        )
        try await events.client.connected()
        try excessive.send([UInt8](repeating: 0, count: 1001))
        _ = try await events.client.nextLoss()
        let decent = try ZeroMQClient(connect: endpoint, identity: .random(role: "decent"), handler: { _ in })
        try decent.send([5])
        let message = try await events.server.nextMessage()
        #expect(message.from == decent.identity && message.bytes == [5])
        for client in [alone, excessive, decent] { client.close() }
        server.close()
    }

    @Test func strangersAreDropped() async throws {
        let events = Events()
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"], handler: events.handler)
        let endpoint = try #require(server.endpoints.first)
        defer { server.close() }
        // No ZMTP at all.
        let port = try #require(UInt16(endpoint.split(separator: ":").last ?? ""))
        let garbage = try RawConnection(port: port)
        garbage.write([UInt8](repeating: 0xa5, count: 4096))
        // ZMTP without a name, and with a frame too many.
        try sendFrames([[1]], to: endpoint, identity: nil)
        try sendFrames([[1], [2]], to: endpoint, identity: .random(role: "talkative"))
        let reasons = try await events.next { event -> String? in
            if case .dropped(let count, let reason) = event, count >= 2 { reason } else { nil }
        }
        #expect(!reasons.isEmpty)
        let client = try ZeroMQClient(connect: endpoint, identity: .random(role: "decent"), handler: { _ in })
        try client.send([9])
        #expect(try await events.nextMessage().from == client.identity)
        client.close()
    }

    /// Whether this machine has an address of IPv6 for itself.
    private static var hasIPv6: Bool { HostName.localAddress(towards: "::1") != nil }

    @Test("Names and numbers of IPv6 are listened on and connected to", arguments: ["localhost", "[::1]"])
    func hosts(_ host: String) async throws {
        guard host == "localhost" || Self.hasIPv6 else { return }
        let events = Events()
        let server = try ZeroMQServer(bind: ["tcp://\(host):*"], handler: events.handler)
        defer { server.close() }
        let bound = try #require(server.endpoints.first)
        let port = try #require(bound.split(separator: ":").last)
        let client = try ZeroMQClient(
            connect: "tcp://\(host):\(port)",
            identity: .random(role: "named"),
            handler: { _ in }
        )
        defer { client.close() }
        try client.send([1])
        #expect(try await events.nextMessage().from == client.identity)
        // The door is the kernel's, of either family.
        server.refuse(client.identity, reason: "enough")
        #expect(try await events.nextLoss().peer == client.identity)
    }

    @Test func namesThatMeanNothingAreSaidAtOnce() {
        #expect {
            try ZeroMQClient(connect: "tcp://nowhere.invalid:7000", identity: .random(role: "lost"), handler: { _ in })
        } throws: {
            "\($0)".contains("the name nowhere.invalid cannot be resolved")
                && ($0 as? MessagingError)?.exitStatus == .usage
        }
        #expect {
            try ZeroMQServer(bind: ["tcp://nowhere.invalid:7000"], handler: { _ in })
        } throws: {
            "\($0)".contains("the name nowhere.invalid cannot be resolved")
        }
    }

    @Test func endpointsAreChecked() throws {
        for (endpoint, word) in [
            ("udp://127.0.0.1:5", "tcp://"), ("tcp://127.0.0.1", "HOST:PORT"), ("tcp://127.0.0.1:70000", "HOST:PORT"),
            ("tcp://::1:7000", "brackets"),
            ("ipc://" + String(repeating: "x", count: 120), "107 bytes"),
        ] {
            #expect {
                try ZeroMQServer(bind: [endpoint], handler: { _ in })
            } throws: {
                "\($0)".contains(word) && "\($0)".contains(endpoint)
            }
        }
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"], handler: { _ in })
        defer { server.close() }
        let taken = try #require(server.endpoints.first)
        #expect {
            try ZeroMQServer(bind: [taken], handler: { _ in })
        } throws: {
            "\($0)".contains("Choose another port") && ($0 as? MessagingError)?.exitStatus == .temporary
        }
    }

    @Test(.enabled(if: CurveKeys.isAvailable, "this libzmq was built without CURVE"))
    func onlyTheRightServerKeyConnects() async throws {
        let (serverKeys, clientKeys) = (try CurveKeys.generatePair(), try CurveKeys.generatePair())
        let wrongKeys = try CurveKeys.generatePair()
        let events = (server: Events(), right: Events(), wrong: Events())
        let server = try ZeroMQServer(
            bind: ["tcp://127.0.0.1:*"],
            curve: .server(
                secretKey: serverKeys.secretKey,
                allowed: try #require(AllowList(["right": clientKeys.publicKey]))
            ),
            handler: events.server.handler
        )
        let endpoint = try #require(server.endpoints.first)
        func client(_ role: String, _ key: String, _ events: Events) throws -> ZeroMQClient {
            try ZeroMQClient(
                connect: endpoint,
                identity: .random(role: "right:\(role)"),
                curve: .client(serverKey: key, publicKey: clientKeys.publicKey, secretKey: clientKeys.secretKey),
                handler: events.handler
            )
        }
        let wrong = try client("wrong", wrongKeys.publicKey, events.wrong)
        try wrong.send([1])
        _ = try await events.server.next { if case .dropped = $0 { true } else { nil } }
        let right = try client("right", serverKeys.publicKey, events.right)
        try right.send([2])
        #expect(try await events.server.nextMessage().bytes == [2])
        for client in [wrong, right] { client.close() }
        server.close()
    }

    @Test func aSocketTrapsOffItsThread() async {
        await #expect(processExitsWith: .failure) {
            let smuggled = Smuggled(
                socket: try Socket(.dealer, in: MessagingContext(), options: SocketOptions())
            )
            let thread = try OwnedThread(name: "stranger") { _ = try? smuggled.socket.receive(maximumFrames: 1) }
            thread.join()
        }
        await #expect(processExitsWith: .success) {
            let smuggled = Smuggled(
                socket: try Socket(.dealer, in: MessagingContext(), options: SocketOptions())
            )
            let thread = try OwnedThread(name: "owner") {
                smuggled.socket.adopt()
                _ = try? smuggled.socket.receive(maximumFrames: 1)
            }
            thread.join()
        }
    }

    private func sendFrames(_ frames: [[UInt8]], to endpoint: String, identity: PeerIdentity?) throws {
        var options = SocketOptions()
        options.identity = identity
        options.lingerMilliseconds = 5000
        let socket = try Socket(.dealer, in: MessagingContext(), options: options)
        try socket.connect(endpoint)
        let messages = try frames.map { bytes in try bytes.withUnsafeBytes { try Message(copying: $0) } }
        var poller = Poller()
        poller.wantsToSend(poller.add(socket), true)
        while try socket.send(messages) == .full { try poller.wait(milliseconds: 1000) }
    }
}

/// Hands a socket to another thread, as only an exit test does without a reason.
private struct Smuggled: @unchecked Sendable {
    // That this is unsafe is what the test shows.
    let socket: Socket
}

/// A TCP connection to this machine.
final class RawConnection {
    let descriptor: Int32

    /// `waits`: whether for the connection.
    init(port: UInt16, waits: Bool = true) throws {
        let mode = waits ? 0 : Int32(SOCK_NONBLOCK.rawValue)
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | mode, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 || !waits && errno == EINPROGRESS else {
            throw MessagingError.call("connect", subject: "port \(port)", code: errno)
        }
    }

    deinit { close(descriptor) }

    func isConnected(within milliseconds: Int32) -> Bool {
        var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&item, 1, milliseconds) == 1 && item.revents & Int16(POLLERR | POLLHUP) == 0
    }

    func write(_ bytes: [UInt8]) { _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
}
