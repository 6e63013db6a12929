import Foundation
import HostilePeer
import Messaging
import Platform
import Testing

/// What strangers may do to a listening transport, byte by byte.
@Suite(.timeLimit(.minutes(15)))
struct HostileTransportTests {
    private let events = Events()

    private func server(_ limits: TransportLimits = TransportLimits()) throws -> (ZeroMQServer, String) {
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"], limits: limits, handler: events.handler)
        return (server, try #require(server.endpoints.first))
    }

    /// The reason of the next refusal that contains `text`.
    private func refusal(_ text: String) async throws -> String {
        try await events.next { event -> String? in
            if case .dropped(_, let reason) = event, reason.contains(text) { reason } else { nil }
        }
    }

    @Test(
        "A message that does not end ends its connection, before and after the first whole one",
        arguments: [false, true]
    )
    func unfinishedMessages(speaksFirst: Bool) async throws {
        var limits = TransportLimits(receives: 1 << 20, first: 64 << 10)
        limits.receivedMessages = 8
        let (server, endpoint) = try server(limits)
        defer { server.close() }
        let sent = try await onThread { () -> Int in
            let peer = try #require(RawPeer(endpoint))
            try #require(peer.greet())
            if speaksFirst {
                try #require(peer.send(RawPeer.name("hog", proof: 1) + RawPeer.frame([7])))
            }
            // Each part is within the limit of a frame.
            let part = RawPeer.frame([UInt8](repeating: 1, count: 64 << 10), more: true)
            var sent = 0
            while sent < 1 << 30, peer.send(part) { sent += part.count }
            return sent
        }
        // Between two looks, a loopback connection can hand over some hundred megabytes.
        #expect(sent < 1 << 30, "\(sent) bytes were taken")
        let reason = try await refusal("does not end its message")
        #expect(reason.contains(speaksFirst ? "2162688 are allowed" : "69632 are allowed"), "\(reason)")
        // Others are not disturbed.
        let decent = try ZeroMQClient(connect: endpoint, identity: .random(role: "decent"), handler: { _ in })
        try decent.send([5])
        try decent.send([UInt8](repeating: 5, count: 1 << 20))
        #expect(
            try await events.next { event -> Int? in
                if case .received(let from, let bytes) = event, from == decent.identity, bytes.count > 1 {
                    bytes.count
                } else {
                    nil
                }
            } == 1 << 20
        )
        decent.close()
    }

    @Test func aFrameLargerThanAMessageIsRefusedBeforeItComes() async throws {
        let (server, endpoint) = try server()
        defer { server.close() }
        for size in [1 << 20 + 1, 64 << 20, 1 << 63] as [UInt64] {
            let isHungUp = try await onThread { () -> Bool in
                let peer = try #require(RawPeer(endpoint))
                try #require(peer.greet())
                return peer.send(RawPeer.head(size: size)) && peer.isHungUp()
            }
            #expect(isHungUp, "\(size)")
        }
        // The same before the handshake is over.
        let isHungUp = try await onThread { () -> Bool in
            let peer = try #require(RawPeer(endpoint))
            return peer.send(RawPeer.greeting() + RawPeer.head(size: 64 << 20, flags: 4)) && peer.isHungUp()
        }
        #expect(isHungUp)
    }

    @Test("What is no message ends its connection at once")
    func badForms() async throws {
        let (server, endpoint) = try server()
        defer { server.close() }
        let bad: [[UInt8]] = [
            RawPeer.frame([1]), RawPeer.frame([1], more: true) + RawPeer.frame([2]),
            RawPeer.name("a b", proof: 1) + RawPeer.frame([1]),
            RawPeer.name("x", proof: 1) + RawPeer.frame([1], more: true) + RawPeer.frame([2]),
        ]
        for bytes in bad {
            let isHungUp = try await onThread { () -> Bool in
                let peer = try #require(RawPeer(endpoint))
                try #require(peer.greet())
                return peer.send(bytes) && peer.isHungUp()
            }
            #expect(isHungUp, "\(bytes)")
        }
    }

    @Test("A message that its reader refuses ends its connection, and it is told why")
    func refusedMessages() async throws {
        let (server, endpoint) = try server()
        defer { server.close() }
        let peer = try #require(RawPeer(endpoint))
        try #require(peer.greet())
        peer.send(RawPeer.name("liar", proof: 1) + RawPeer.frame([1]))
        let (from, bytes) = try await events.nextMessage()
        #expect(from.text == "liar" && bytes == [1])
        server.refuse(from, reason: "it lies")
        #expect(try await refusal("it lies") == "it lies")
        #expect(peer.isHungUp())
    }

    @Test("A name belongs to who used it first, and comes back with him")
    func names() async throws {
        let (server, endpoint) = try server()
        defer { server.close() }
        let owner = try #require(RawPeer(endpoint))
        try #require(owner.greet())
        owner.send(RawPeer.name("worker-1", proof: 1) + RawPeer.frame([1]))
        #expect(try await events.nextMessage().bytes == [1])
        // As ZMTP's name, which libzmq would hand over without a word, and as ours without the proof.
        let silent = try #require(RawPeer(endpoint))
        try #require(silent.greet(name: "worker-1"))
        let thief = try #require(RawPeer(endpoint))
        try #require(thief.greet())
        thief.send(RawPeer.name("worker-1", proof: 2) + RawPeer.frame([2]))
        _ = try await refusal("in the name of worker-1, which another connection had before")
        #expect(thief.isHungUp())
        owner.send(RawPeer.name("worker-1", proof: 1) + RawPeer.frame([3]))
        #expect(try await events.nextMessage().bytes == [3])
        try server.send([4], to: try #require(PeerIdentity("worker-1")))
        #expect(owner.nextContent() == [4])
        // The owner comes over another connection, of whose forerunner nobody has noticed the end.
        let second = try #require(RawPeer(endpoint))
        try #require(second.greet())
        second.send(RawPeer.name("worker-1", proof: 1) + RawPeer.frame([5]))
        #expect(try await events.nextMessage().bytes == [5])
        #expect(owner.isHungUp())
        try server.send([6], to: try #require(PeerIdentity("worker-1")))
        #expect(second.nextContent() == [6])
        // Gone, the name is still his.
        second.reset()
        #expect(try await events.nextLoss().peer.text == "worker-1")
        let late = try #require(RawPeer(endpoint))
        try #require(late.greet())
        late.send(RawPeer.name("worker-1", proof: 2) + RawPeer.frame([7]))
        #expect(late.isHungUp())
    }

    @Test("Bytes of a message are allowed as long as it can end within its limit")
    func countsOfBytes() {
        var bytes = UnfinishedBytes(UnfinishedBytes.Limits(message: 1000, first: 100))
        let most = 2 * 1000 + 64 << 10
        var now = ContinuousClock.now
        var taken = [1: 0, 2: 0]
        func look(_ isDrained: Bool = true) -> [Int32] {
            now += .milliseconds(100)
            return bytes.look(at: now, isDrained: isDrained) { taken[Int($0)] }.map(\.connection)
        }
        bytes.begin(1)
        bytes.begin(2)
        taken = [1: 4196, 2: 4197]
        // At the first look it is suspected; it may have sent something whole that was not read yet.
        #expect(look().isEmpty)
        #expect(look(false).isEmpty && look(false).isEmpty && look(false).isEmpty)
        #expect(look(false) == [2])
        bytes.end(2)
        bytes.finish(1, isPeer: true)
        #expect(look().isEmpty)
        taken[1] = 4196 + most
        #expect(look().isEmpty && look().isEmpty)
        taken[1] = 4197 + most
        #expect(look().isEmpty)
        // What it had was whole.
        bytes.finish(1, isPeer: true)
        #expect(look().isEmpty && look().isEmpty)
        taken[1] = 4198 + 2 * most
        #expect(look().isEmpty)
        #expect(look() == [1])
        #expect(bytes.patience(at: now) ?? .zero <= .milliseconds(50))
    }

    @Test("All strangers together are bounded too")
    func manyStrangers() {
        var bytes = UnfinishedBytes(UnfinishedBytes.Limits(message: 1 << 20, first: 64 << 10))
        for connection: Int32 in 0..<200 { bytes.begin(connection) }
        let now = ContinuousClock.now
        let each = 60 << 10
        #expect(bytes.look(at: now, isDrained: true) { _ in each }.isEmpty)
        let hogs = bytes.look(at: now + .seconds(1), isDrained: true) { _ in each }
        #expect(hogs.count == 200 - (8 << 20) / each, "\(hogs.count)")
    }

    /// libzmq ends the program where a connection without a name is to get one that another has: it counts them up from a
    /// number of `rand`, which begins alike in every process unless it is told otherwise.
    @Test func namesOfConnectionsAreNotKnownBeforehand() throws {
        // The state in which every process begins.
        srand(1)
        let expected = (0..<64).map { _ in UInt32(bitPattern: rand()) & 0x7fff_ffff }
        srand(1)
        let context = try MessagingContext()
        let router = try Socket(.router, in: context, options: SocketOptions())
        let endpoint = try router.bind("tcp://127.0.0.1:*")
        let dealer = try Socket(.dealer, in: context, options: SocketOptions())
        try dealer.connect(endpoint)
        var poller = Poller()
        _ = poller.add(router)
        var frames: [Message]?
        while frames == nil {
            _ = try dealer.send([try [7].withUnsafeBytes { try Message(copying: $0) }])
            try poller.wait(milliseconds: 20)
            frames = try router.receive(maximumFrames: 2)
        }
        let name = try #require(frames?.first).withBytes(Array.init)
        try #require(name.count == 5 && name[0] == 0)
        let number = name.dropFirst().reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7fff_ffff
        #expect(!expected.contains { number &- $0 < 1000 }, "\(number)")
    }
}

/// Runs blocking work on a thread of its own.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        do {
            try OwnedThread(name: "test") { continuation.resume(with: Result(catching: body)) }.detach()
        } catch { continuation.resume(throwing: error) }
    }
}
