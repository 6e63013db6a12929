import CHash
import Glibc
import Messaging
import Reduction

/// A worker's end of the data plane without its network: what it does with frames of any bytes, for the fuzzer.
///
/// It follows a plan of two members over two buckets, in the format of `roundedCount`, and adds what comes as training
/// does. Used by one thread.
package final class FrameDoor {
    /// The bytes of the header that each message begins with.
    package static let headerBytes = FrameHeader.byteCount

    private let communicator: Communicator
    private let region: SharedRegion
    private let layout = BucketLayout(buckets: [0..<1000, 1000..<1501])
    private let plan = ReductionPlan(
        step: 7,
        generation: 1,
        tree: SumTree(leafCount: 2),
        members: [0, 1],
        contributions: [.init(node: .leaf(0), owner: 0), .init(node: .leaf(1), owner: 1)]
    )
    private let own: PeerAddress
    private let theirs: PeerAddress

    package init(roundedCount: Int) throws(AllreduceError) {
        let region = try SharedRegion(
            layout: RegionLayout(buckets: layout, nodeCapacity: 1),
            job: 3,
            worker: 0,
            incarnation: 11,
            isShared: false
        )
        self.region = region
        func address(_ worker: ReductionPlan.Worker, _ incarnation: UInt64) -> PeerAddress {
            PeerAddress(
                worker: worker,
                incarnation: incarnation,
                host: "fuzzed",
                process: getpid(),
                region: -1,
                doorbell: -1,
                endpoint: "tcp://127.0.0.1:1"
            )
        }
        own = address(0, 11)
        theirs = address(1, 12)
        let doorbell = try Doorbell()
        communicator = Communicator(
            own: own,
            job: 3,
            region: region,
            doorbell: doorbell,
            mailbox: Mailbox(doorbell),
            plane: nil,
            wire: WireFormat(roundedCount: roundedCount, additions: .portable)
        )
        try region.populate(0..<region.layout.byteCount)
        try begin()
    }

    /// Begins the plan afresh.
    package func begin() throws(AllreduceError) {
        guard let program = AdditionProgram(tree: plan.tree, nodes: plan.contributions.map(\.node)),
            let mine = Stamp.node(.leaf(0), step: plan.step), let other = Stamp.node(.leaf(1), step: plan.step)
        else { throw .badPlan("the fuzzer's own") }
        let peer = try Peer(theirs, own: own, transport: .zeromq, layout: region.layout, job: 3)
        communicator.held = nil
        communicator.earlyReady = [:]
        communicator.round = Round(
            plan: plan,
            layout: layout,
            position: 0,
            peers: [nil, peer],
            contributions: [
                .init(node: .leaf(0), stamp: mine, owner: 0), .init(node: .leaf(1), stamp: other, owner: 1),
            ],
            program: program,
            gather: nil
        )
        for bucket in layout.buckets.indices {
            region.store(mine, at: region.layout.nodeStampOffset(slot: 0, bucket: bucket))
        }
    }

    /// Takes a message of frames as the communication thread does; returns whether anything came of it.
    package func take(_ frames: [[UInt8]]) throws -> Bool {
        let messages = try frames.map { bytes in try bytes.withUnsafeBytes { try Message(copying: $0) } }
        // Without the header's hash, which would keep what is mutated from being looked at.
        guard let header = messages.first?.withBytes({ FrameHeader($0, checksHash: false) }),
            communicator.take(header, messages.count == 2 ? messages[1] : nil, from: nil)
        else { return false }
        _ = try communicator.advance()
        return true
    }

    /// Messages as the other member would send them, in their order.
    package static func samples(roundedCount: Int) throws -> [[[UInt8]]] {
        let door = try FrameDoor(roundedCount: roundedCount)
        let wire = WireFormat(roundedCount: roundedCount, additions: .portable)
        var result: [[[UInt8]]] = []
        func add(_ kind: FrameHeader.Kind, _ bucket: Int = 0, _ range: Range<Int> = 0..<0) {
            var header = FrameHeader(
                kind: kind,
                job: 3,
                from: door.theirs,
                to: door.own,
                step: door.plan.step,
                generation: door.plan.generation
            )
            header.bucket = UInt32(bucket)
            if kind == .node { header.node = .leaf(1) }
            header.elementOffset = UInt64(range.lowerBound)
            header.elementCount = UInt32(range.count)
            let payload = [UInt8](repeating: 0x3e, count: wire.byteCount(of: range))
            if kind == .node { header.hash = hash_xxh3(payload, payload.count) }
            var bytes = [UInt8](repeating: 0, count: FrameHeader.byteCount)
            bytes.withUnsafeMutableBytes { header.encode(into: $0) }
            result.append([bytes] + (range.isEmpty ? [] : [payload]))
        }
        add(.ready)
        for bucket in door.layout.buckets.indices {
            add(.node, bucket, door.layout.slice(of: bucket, member: 0, of: 2))
            add(.sum, bucket, door.layout.slice(of: bucket, member: 1, of: 2))
        }
        add(.released)
        return result
    }
}
