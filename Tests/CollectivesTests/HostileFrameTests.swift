import CHash
import Collectives
import Foundation
import Messaging
import Reduction
import Testing

@Suite(.timeLimit(.minutes(15)))
struct HostileFrameTests {
    /// A frame's header as the protocol lays it out, each field at its byte.
    private struct Header {
        var magic: UInt32 = 0x5050_4c46
        var version: UInt16 = 2
        var kind: UInt8
        var level: UInt8 = 0
        var job: UInt64
        var sender: PeerAddress
        var receiver: PeerAddress
        var step: UInt64 = 0
        var generation: UInt32 = 0
        var bucket: UInt32 = 0
        var offset: UInt64 = 0
        var count: UInt32 = 0
        var index: UInt32 = 0
        var hash: UInt64 = 0

        var bytes: [UInt8] {
            var result: [UInt8] = []
            func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { result += $0 } }
            put(magic)
            put(version)
            put(kind)
            put(level)
            put(job)
            put(sender.incarnation)
            put(receiver.incarnation)
            put(sender.worker)
            put(receiver.worker)
            put(step)
            put(generation)
            put(bucket)
            put(offset)
            put(count)
            put(index)
            put(hash)
            put(hash_xxh3(result, result.count))
            return result
        }
    }

    @Test("Frames that nobody would send change nothing", arguments: [0, 750, 1500])
    func hostileFramesAreIgnored(roundedCount: Int) async throws {
        let layout = BucketLayout(sizes: [1000, 500])
        let group = try Group(2, layout: layout, wiring: .zeromq, roundedCount: roundedCount)
        let plan = ReductionPlan.even(step: 0, leaves: 2, members: [0, 1])
        let (victim, peer) = (group.addresses[0], group.addresses[1])
        // The victim follows the plan and waits for member 1, which has not begun.
        let nodes = try group.members[0].begin(plan: plan, peers: group.addresses)
        contribute(nodes, to: group.members[0], plan: plan, layout: layout, roundedCount: roundedCount)

        let good = Header(
            kind: 2,
            job: group.job,
            sender: peer,
            receiver: victim,
            offset: 0,
            count: 500,
            index: 1
        )
        let payload = [UInt8](repeating: 0x41, count: roundedCount == 0 ? 2000 : 1000)
        func changed(_ change: (inout Header) -> Void) -> [[UInt8]] {
            var header = good
            change(&header)
            return [header.bytes, payload]
        }
        var messages: [[[UInt8]]] = [
            [[]], [[1, 2, 3]], [[UInt8](repeating: 0xff, count: 88)], [good.bytes], [good.bytes, [1]],
            // The right elements, as many bytes as the other format has.
            [good.bytes, [UInt8](repeating: 0x41, count: 3000 - payload.count)],
            [good.bytes, payload, payload], [good.bytes, payload, payload, payload],
            changed { $0.magic = 1 }, changed { $0.version = 1 }, changed { $0.kind = 0 }, changed { $0.kind = 99 },
            changed { $0.job ^= 1 }, changed { $0.sender.incarnation ^= 1 }, changed { $0.receiver.incarnation ^= 1 },
            changed { $0.sender.worker = 7 }, changed { $0.receiver.worker = 1 }, changed { $0.step = 9 },
            changed { $0.step = .max }, changed { $0.generation = 1 }, changed { $0.bucket = 2 },
            changed { $0.bucket = .max }, changed { $0.offset = 1 }, changed { $0.offset = .max },
            changed { $0.count = .max }, changed { $0.count = 0 }, changed { $0.index = .max },
            changed { $0.level = 255 }, changed { $0.index = 0 }, changed { $0.hash = 1 },
            // A sum whose hash is another's, and the end of a slice without its beginning.
            changed {
                $0.kind = 3; $0.offset = 512; $0.count = 488
            },
            changed {
                $0.kind = 3; $0.offset = 900; $0.count = 100
            },
            changed {
                $0.kind = 4; $0.step = .max
            }, changed { $0.kind = 1 },
        ]
        let seed: UInt64 = 20_242
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            var bytes = good.bytes
            let length = Int.random(in: 1...8, using: &random)
            let start = Int.random(in: 0...80 - length, using: &random)
            // Fields that name the plan stay, so that the rest is looked at; the payload never fits.
            for byte in start..<start + length { bytes[byte] = .random(in: 0...255, using: &random) }
            // With and without the hash that belongs to it.
            if Bool.random(using: &random) {
                withUnsafeBytes(of: hash_xxh3(bytes, 80).littleEndian) { bytes.replaceSubrange(80..<88, with: $0) }
            }
            messages.append([bytes, [UInt8](repeating: 1, count: .random(in: 0...1996, using: &random) | 1)])
        }
        try send(messages, to: try #require(victim.endpoint))

        // Member 1 now does its part, and both have the right sums.
        let late = try group.members[1].begin(plan: plan, peers: group.addresses)
        contribute(late, to: group.members[1], plan: plan, layout: layout, roundedCount: roundedCount)
        for member in group.members {
            let sums = try await onThread { try member.waitReduced(within: .seconds(30)) }
            #expect(wrongElements(sums, plan: plan, layout: layout, roundedCount: roundedCount) == 0, "seed \(seed)")
        }
        group.close()
    }

    @Test("Values that changed on the way end the wait at once, and name who sent them", arguments: [2, 3] as [UInt8])
    func damagedValues(kind: UInt8) async throws {
        let layout = BucketLayout(sizes: [1000, 500])
        let group = try Group(2, layout: layout, wiring: .zeromq)
        let plan = ReductionPlan.even(step: 3, leaves: 2, members: [0, 1])
        let nodes = try group.members[0].begin(plan: plan, peers: group.addresses)
        contribute(nodes, to: group.members[0], plan: plan, layout: layout)
        // Member 1's node of the victim's slice, or the sums of its own.
        let slice = layout.slice(of: 0, member: kind == 2 ? 0 : 1, of: 2)
        let header = Header(
            kind: kind,
            job: group.job,
            sender: group.addresses[1],
            receiver: group.addresses[0],
            step: 3,
            offset: UInt64(slice.lowerBound),
            count: UInt32(slice.count),
            index: kind == 2 ? 1 : 0,
            hash: 0x1234
        )
        try send(
            [[header.bytes, [UInt8](repeating: 0x41, count: 4 * slice.count)]],
            to: try #require(group.addresses[0].endpoint)
        )
        let error = await #expect(throws: AllreduceError.self) {
            try await onThread { try group.members[0].waitReduced(within: .seconds(600)) }
        }
        #expect(error == .corrupted(worker: 1, bucket: 0, step: 3))
        group.close()
    }

    /// Each over a connection of its own: the first that nobody would send ends it.
    private func send(_ messages: [[[UInt8]]], to endpoint: String) throws {
        let context = try MessagingContext()
        for message in messages {
            var options = SocketOptions()
            options.lingerMilliseconds = 10_000
            let socket = try Socket(.dealer, in: context, options: options)
            try socket.connect(endpoint)
            var poller = Poller()
            poller.wantsToSend(poller.add(socket), true)
            let frames = try message.map { bytes in try bytes.withUnsafeBytes { try Message(copying: $0) } }
            while try socket.send(frames) == .full { try poller.wait(milliseconds: 1000) }
        }
    }
}
