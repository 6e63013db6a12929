import Benchmarks
import CHash
import Collectives
import Foundation
import Messaging
import Platform
import Reduction
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(15)), .enabled(if: CurveKeys.isAvailable, "this libzmq was built without CURVE"))
struct EncryptionTests {
    @Test("Protected frames give the same sums", arguments: [Wiring.zeromq, .mixed], PlaneKeys.Protection.allCases)
    func sums(wiring: Wiring, protection: PlaneKeys.Protection) async throws {
        for roundedCount in [0, 400_000] { try await sums(wiring, protection, roundedCount: roundedCount) }
    }

    private func sums(_ wiring: Wiring, _ protection: PlaneKeys.Protection, roundedCount: Int) async throws {
        // Frames of full size among them.
        let layout = BucketLayout(sizes: [600_000, 1])
        let keys = try AllreduceBenchmark.keys(4, protection)
        let group = try Group(4, layout: layout, wiring: wiring, roundedCount: roundedCount, keys: keys)
        for step in 0..<3 as Range<UInt64> {
            let plan = ReductionPlan.even(step: step, leaves: 6, members: [0, 1, 2, 3])
            for member in group.members {
                let nodes = try member.begin(plan: plan, peers: group.addresses)
                contribute(nodes, to: member, plan: plan, layout: layout, roundedCount: roundedCount)
            }
            for member in group.members {
                let sums = try await onThread { try member.waitReduced(within: .seconds(60)) }
                #expect(wrongElements(sums, plan: plan, layout: layout, roundedCount: roundedCount) == 0)
                member.release(step: step)
            }
        }
        group.close()
    }

    @Test("What was changed on the way, or comes again, is refused; what comes as it was sent counts")
    func changesAndReplays() async throws {
        let layout = BucketLayout(sizes: [300_000, 7])
        let group = try Group(2, layout: layout, wiring: .zeromq, keys: try AllreduceBenchmark.keys(2, .authenticated))
        let relay = try Relay(to: try #require(group.addresses[0].endpoint))
        // Member 1 is led to the relay in place of member 0.
        var led = group.addresses
        led[0].endpoint = relay.endpoint
        for step in 0..<3 as Range<UInt64> {
            let plan = ReductionPlan.even(step: step, leaves: 2, members: [0, 1])
            for (member, addresses) in zip(group.members, [group.addresses, led]) {
                let nodes = try member.begin(plan: plan, peers: addresses)
                contribute(nodes, to: member, plan: plan, layout: layout)
            }
            for member in group.members {
                let sums = try await onThread { try member.waitReduced(within: .seconds(60)) }
                #expect(wrongElements(sums, plan: plan, layout: layout) == 0)
                member.release(step: step)
            }
        }
        relay.stop()
        // Values, sums and words of both; each went on four times.
        #expect(relay.count >= 12)
        group.close()
    }

    @Test("A frame counts only with its sender's own key")
    func forgery() async throws {
        let layout = BucketLayout(sizes: [1000])
        // Worker 2 is in the job and not in the plan.
        let keys = try AllreduceBenchmark.keys(3)
        let group = try Group(2, layout: layout, wiring: .zeromq, keys: keys)
        let plan = ReductionPlan.even(step: 0, leaves: 2, members: [0, 1])
        let (victim, peer) = (group.addresses[0], group.addresses[1])
        let nodes = try group.members[0].begin(plan: plan, peers: group.addresses)
        contribute(nodes, to: group.members[0], plan: plan, layout: layout)
        // Member 1's node as it would send it, with other values: first by a worker of the job, then by a stranger.
        var header: [UInt8] = []
        func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { header += $0 } }
        put(0x5050_4c46 as UInt32)
        put(2 as UInt16)
        put(2 as UInt8)
        put(0 as UInt8)
        put(group.job)
        put(peer.incarnation)
        put(victim.incarnation)
        put(peer.worker)
        put(victim.worker)
        for value in [0, 0] as [UInt64] { put(value) }
        put(0 as UInt64)
        put(500 as UInt32)
        put(1 as UInt32)
        put(0 as UInt64)
        put(hash_xxh3(header, header.count))
        #expect(header.count == 88)
        let server = try #require(keys[0].workers.keys["worker-0"])
        for pair in [keys[2].pair, try CurveKeys.generatePair()] {
            var options = SocketOptions()
            options.identity = .random(role: "forger")
            options.lingerMilliseconds = 500
            options.curve = .client(serverKey: server, publicKey: pair.publicKey, secretKey: pair.secretKey)
            let socket = try Socket(.dealer, in: MessagingContext(), options: options)
            let monitor = try ConnectionMonitor(socket)
            try socket.connect(try #require(victim.endpoint))
            let payload = [UInt8](repeating: 0x41, count: 2000)
            let frames = try [header, payload].map { bytes in try bytes.withUnsafeBytes { try Message(copying: $0) } }
            var poller = Poller()
            _ = poller.add(monitor)
            var event = monitor.next()
            while event != .ready {
                if case .refused = event { break }
                try poller.wait(milliseconds: 1000)
                event = monitor.next()
            }
            #expect((event == .ready) == (pair == keys[2].pair))
            if event == .ready {
                while try socket.send(frames) != .sent { usleep(1000) }
            }
        }
        let late = try group.members[1].begin(plan: plan, peers: group.addresses)
        contribute(late, to: group.members[1], plan: plan, layout: layout)
        for member in group.members {
            let sums = try await onThread { try member.waitReduced(within: .seconds(30)) }
            #expect(wrongElements(sums, plan: plan, layout: layout) == 0)
        }
        group.close()
    }
}

/// Passes frames on: changed in the payload, changed in the header, as they are, and once more as they are.
private final class Relay: Sendable {
    private struct State {
        var endpoint = ""
        var failure: String?
        var count = 0
        var isOver = false
    }
    private let state = Mutex(State())
    private let thread: Mutex<OwnedThread?> = Mutex(nil)

    init(to target: String) throws {
        let thread = try OwnedThread(name: "relay") { [self] in
            do { try run(to: target) } catch { state.withLock { $0.failure = "\(error)" } }
        }
        self.thread.withLock { $0 = thread }
        while state.withLock({ $0.endpoint.isEmpty && $0.failure == nil }) { usleep(1000) }
        #expect(state.withLock { $0.failure } == nil)
    }

    var endpoint: String { state.withLock { $0.endpoint } }
    var count: Int { state.withLock { $0.count } }

    func stop() {
        state.withLock { $0.isOver = true }
        thread.withLock { $0 }?.join()
        #expect(state.withLock { $0.failure } == nil)
    }

    private func run(to target: String) throws {
        let context = try MessagingContext()
        let incoming = try Socket(.router, in: context, options: SocketOptions())
        let endpoint = try incoming.bind("tcp://127.0.0.1:*")
        var options = SocketOptions()
        options.identity = .random(role: "relay")
        // What is damaged or comes again ends its connection.
        let outgoing = try Socket(.dealer, in: context, options: options)
        try outgoing.connect(target)
        options.identity = .random(role: "damage")
        let damaging = try Socket(.dealer, in: context, options: options)
        try damaging.connect(target)
        state.withLock { $0.endpoint = endpoint }
        var poller = Poller()
        _ = poller.add(incoming)
        while !state.withLock({ $0.isOver }) {
            try poller.wait(milliseconds: 20)
            while let frames = try incoming.receive(maximumFrames: 5) {
                let parts = frames.dropFirst().map { $0.withBytes(Array.init) }
                var changed = parts
                // The payload, or the seal where that is empty.
                changed[parts.lastIndex { !$0.isEmpty } ?? 0][0] ^= 1
                var other = parts
                other[0][40] ^= 1
                for (socket, version) in [
                    (damaging, changed), (damaging, other), (outgoing, parts), (damaging, parts),
                ] {
                    let messages = try version.map { part in try part.withUnsafeBytes { try Message(copying: $0) } }
                    while try socket.send(messages) != .sent { usleep(1000) }
                }
                state.withLock { $0.count += 1 }
            }
        }
    }
}
