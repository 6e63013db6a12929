import Foundation
import Messaging
import Platform
import Synchronization
import Testing

/// A job's keys: the server's and some workers'.
private struct Keys {
    let server: CurvePair
    let workers: [CurvePair]
    let allowed: AllowList

    init(_ count: Int) throws {
        server = try CurveKeys.generatePair()
        workers = try (0..<count).map { _ in try CurveKeys.generatePair() }
        let names = workers.enumerated().map { ("worker-\($0)", $1.publicKey) }
        allowed = try #require(AllowList(Dictionary(uniqueKeysWithValues: names)))
    }

    var listening: CurveKeys { .server(secretKey: server.secretKey, allowed: allowed) }

    func connecting(_ pair: CurvePair) -> CurveKeys {
        .client(serverKey: server.publicKey, publicKey: pair.publicKey, secretKey: pair.secretKey)
    }
}

@Suite(.timeLimit(.minutes(15)), .enabled(if: CurveKeys.isAvailable, "this libzmq was built without CURVE"))
struct SecurityTests {
    @Test("Who is on the list is heard under its own name alone, and nobody else is heard")
    func admission() async throws {
        let keys = try Keys(2)
        let stranger = try CurveKeys.generatePair()
        let events = (server: Events(), own: Events(), stranger: Events(), plain: Events())
        let server = try ZeroMQServer(
            bind: ["tcp://127.0.0.1:*"],
            limits: TransportLimits(receives: 8 << 20, first: 8 << 20),
            curve: keys.listening,
            handler: events.server.handler
        )
        let endpoint = try #require(server.endpoints.first)
        func client(_ role: String, _ curve: CurveKeys?, _ events: Events) throws -> ZeroMQClient {
            try ZeroMQClient(
                connect: endpoint,
                identity: .random(role: role),
                limits: TransportLimits(sends: 8 << 20),
                curve: curve,
                handler: events.handler
            )
        }
        // A key that is not on the list, no key at all, and another's name.
        let refused = try client("worker-0:stranger", keys.connecting(stranger), events.stranger)
        try refused.send([1])
        #expect(try await events.stranger.nextLoss().reason.contains("not admitted"))
        let plain = try client("worker-0:plain", nil, events.plain)
        try plain.send([2])
        // The server may hang up before the client has understood, which then tries again.
        _ = try await events.plain.next { event in
            if case .lost(_, let reason) = event, reason.contains("one side uses keys") { true } else { nil }
        }
        let forger = try client("worker-0:forger", keys.connecting(keys.workers[1]), Events())
        try forger.send([3])
        _ = try await events.server.next { event in
            if case .dropped(_, let reason) = event, reason.contains("with the key of worker-1") { true } else { nil }
        }
        let honest = try client("worker-0:honest", keys.connecting(keys.workers[0]), events.own)
        let large = [UInt8](repeating: 9, count: 8 << 20)
        try honest.send(large)
        let message = try await events.server.nextMessage()
        #expect(message.from == honest.identity && message.bytes == large)
        try server.send([5], to: honest.identity)
        #expect(try await events.own.nextMessage().bytes == [5])
        for client in [refused, plain, forger, honest] { client.close() }
        server.close()
    }

    @Test("Without anybody who answers for the keys, nobody is let in")
    func failsClosed() async throws {
        let keys = try Keys(1)
        var options = SocketOptions()
        options.curve = keys.listening
        let socket = try Socket(.router, in: MessagingContext(), options: options)
        let endpoint = try socket.bind("tcp://127.0.0.1:*")
        let events = Events()
        let client = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "worker-0:x"),
            curve: keys.connecting(keys.workers[0]),
            handler: events.handler
        )
        let isLost = try await events.next { event -> Bool? in
            switch event {
            case .connected: false
            case .lost: true
            default: nil
            }
        }
        #expect(isLost)
        client.close()
    }

    @Test func keysAndNamesAreChecked() throws {
        let pair = try CurveKeys.generatePair()
        #expect(CurveKeys.isKey(pair.publicKey) && CurveKeys.publicKey(of: pair.secretKey) == pair.publicKey)
        for text in ["", String(repeating: "~", count: 40), pair.publicKey + "0", String(pair.publicKey.dropLast())] {
            #expect(!CurveKeys.isKey(text))
        }
        #expect(AllowList(["worker-0": pair.publicKey, "worker-1": pair.publicKey]) == nil)
        for name in ["", "Worker", "a:b", "a b", String(repeating: "a", count: 25)] {
            #expect(AllowList([name: pair.publicKey]) == nil)
        }
    }

    /// A flood need not stay: connections that come and go are refusals too, and a peer that ends is none.
    @Test func connectionsThatComeAndGoShutTheDoor() {
        var door = Doorkeeper()
        let now = ContinuousClock.now
        // No descriptor of a socket's: the kernel is not asked in earnest.
        door.hear(.listening(-1), at: now)
        door.hear(.accepted(9), at: now)
        door.admit(9)
        door.hear(.disconnected(9), at: now)
        #expect(door.count == 0)
        // One that was refused for a reason is counted once.
        door.hear(.accepted(9), at: now)
        door.hear(.refused("its key is not admitted"), at: now)
        door.hear(.disconnected(9), at: now)
        #expect(door.count == 1 && !door.isShut)
        for descriptor: Int32 in 10..<209 {
            door.hear(.accepted(descriptor), at: now)
            door.hear(.disconnected(descriptor), at: now)
        }
        #expect(door.count == 200 && door.isShut)
        #expect(door.report(at: now)?.reason == "it closed the connection without a word of the protocol")
        door.update(at: now + .seconds(1))
        #expect(!door.isShut)
    }

    @Test(
        "A flood of connections neither breaks a connection nor loses a message, and is told of once a second",
        .serialized,
        arguments: [true, false]
    )
    func flood(usesKeys: Bool) async throws {
        let keys = try Keys(1)
        let told = Mutex<[(at: ContinuousClock.Instant, count: Int)]>([])
        let events = (server: Events(), client: Events())
        var limits = Doorkeeper.Limits()
        limits.strangers = 200
        let server = try ZeroMQServer(
            bind: ["tcp://127.0.0.1:*"],
            curve: usesKeys ? keys.listening : nil,
            doorkeeper: limits
        ) { event in
            if case .dropped(let count, _) = event { told.withLock { $0.append((.now, count)) } }
            events.server.handler(event)
        }
        let endpoint = try #require(server.endpoints.first)
        let port = try #require(UInt16(endpoint.split(separator: ":").last ?? ""))
        let client = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "worker-0:decent"),
            curve: usesKeys ? keys.connecting(keys.workers[0]) : nil,
            handler: events.client.handler
        )
        /// Round trips for `time` and `least` of them however long they take: other tests and the flood's own thread share
        /// the processors. A lost connection would end the wait with an error.
        func roundTrips(_ time: Duration, atLeast least: Int) async throws -> Int {
            let end = ContinuousClock.now + time
            var count = 0
            while ContinuousClock.now < end || count < least {
                let sent = [UInt8(count & 0xff), UInt8(count >> 8 & 0xff)]
                try client.send(sent)
                let message = try await Self.message(events.server)
                try #require(message == sent)
                try server.send(sent, to: client.identity)
                try #require(try await Self.message(events.client) == sent)
                count += 1
            }
            return count
        }
        try await events.client.connected()
        let descriptorsBefore = Self.descriptors
        let flood = Flood(port: port)
        let began = ContinuousClock.now
        let disturbed = try await roundTrips(.seconds(3), atLeast: 300)
        let lasted = ContinuousClock.now - began
        let most = flood.mostDescriptors
        let made = flood.stop()
        let calm = try await roundTrips(.seconds(1), atLeast: 100)
        print(
            "\(disturbed) round trips in \(lasted) under \(made.made) attempts at connections, \(calm) in 1 s of calm"
        )
        #expect(made.made > 1000 && made.kept > 100)
        // Both ends of the flood's connections are in this process: the server holds as many as its door lets in.
        #expect(most - descriptorsBefore < Flood.kept + limits.strangers + 300)
        let reports = told.withLock { $0 }
        #expect(!reports.isEmpty && reports.count <= Int(lasted.components.seconds) + 3)
        #expect(zip(reports, reports.dropFirst()).allSatisfy { $1.at - $0.at >= .milliseconds(990) })
        // The door opens again.
        let late = try ZeroMQClient(
            connect: endpoint,
            identity: .random(role: "worker-0:late"),
            curve: usesKeys ? keys.connecting(keys.workers[0]) : nil,
            handler: { _ in }
        )
        try late.send([7])
        #expect(try await events.server.nextMessage().from == late.identity)
        client.close()
        late.close()
        server.close()
    }

    /// The next message; throws where the connection is lost before it.
    private static func message(_ events: Events) async throws -> [UInt8] {
        try await events.next { event -> Result<[UInt8], MessagingError>? in
            switch event {
            case .received(_, let bytes): .success(bytes)
            case .lost(_, let reason), .failed(let reason): .failure(.failed(reason: reason))
            default: nil
            }
        }.get()
    }

    static var descriptors: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0 }
}

/// Makes connections as fast as it can: some stay and say nothing, the others say what is no ZMTP and are closed.
private final class Flood: Sendable {
    /// Silent connections that are kept open at once.
    static let kept = 1000

    private struct State {
        var isOver = false
        var made = 0
        var connected = 0
        var mostDescriptors = 0
    }
    private let state = Mutex(State())
    private let thread: Mutex<OwnedThread?> = Mutex(nil)

    init(port: UInt16) {
        let thread = try? OwnedThread(name: "flood") { [self] in
            var silent: [RawConnection] = []
            while !state.withLock({ $0.isOver }) {
                guard let connection = try? RawConnection(port: port, waits: false) else { continue }
                let number = state.withLock { state in
                    state.made += 1
                    return state.made
                }
                if number % 2 == 0 {
                    silent.append(connection)
                    if silent.count > Self.kept { silent.removeFirst() }
                } else if connection.isConnected(within: 0) {
                    connection.write([UInt8](repeating: 0xa5, count: 200))
                }
                if number % 100 == 0 {
                    let connected = silent.count { $0.isConnected(within: 0) }
                    let count = SecurityTests.descriptors
                    state.withLock {
                        $0.connected = max($0.connected, connected)
                        $0.mostDescriptors = max($0.mostDescriptors, count)
                    }
                }
            }
        }
        self.thread.withLock { $0 = thread }
    }

    var mostDescriptors: Int { state.withLock { $0.mostDescriptors } }

    func stop() -> (made: Int, kept: Int) {
        state.withLock { $0.isOver = true }
        thread.withLock { $0 }?.join()
        return state.withLock { ($0.made, $0.connected) }
    }
}
