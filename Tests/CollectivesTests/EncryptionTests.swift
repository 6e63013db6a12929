import Collectives
import Foundation
import Messaging
import Reduction
import Testing

@Suite(.timeLimit(.minutes(15)), .enabled(if: CurveKeys.isAvailable, "this libzmq was built without CURVE"))
struct EncryptionTests {
    @Test("Encrypted frames give the same sums", arguments: [Wiring.zeromq, .mixed], [0, 400_000])
    func sums(wiring: Wiring, roundedCount: Int) async throws {
        // Frames of full size among them.
        let layout = BucketLayout(sizes: [600_000, 1])
        let keys = try AllreduceBenchmark.keys(4)
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
        put(1 as UInt16)
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
        #expect(header.count == 80)
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
