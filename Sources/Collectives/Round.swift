import Messaging
import Reduction

/// One attempt at one step: what the plan asks of this worker, and how far it is.
///
/// Made by `begin`, then owned by the communication thread.
final class Round: @unchecked Sendable {
    // Handed to the communication thread through a lock; nobody else keeps it.

    struct Contribution {
        let node: TreeNode
        /// What a slot's word says when it holds the node's value.
        let stamp: UInt64
        /// Where its owner stands among the members.
        let owner: Int
    }

    /// Frames of one node's part of this worker's slice, in order.
    struct Received {
        var frames: [FramePayload] = []
        var elements = 0
    }

    let plan: ReductionPlan
    let layout: BucketLayout
    /// Where this worker stands among the members.
    let position: Int
    /// The members, by position; nil at this worker's own.
    let peers: [Peer?]
    let contributions: [Contribution]
    let program: AdditionProgram
    let sumStamp: UInt64
    /// Private memory into which all sums are copied as they come.
    let gather: UnsafeMutablePointer<Float>?
    let began: ContinuousClock.Instant

    // MARK: Progress, of the communication thread

    /// Whether `ready` was sent, so that frames may come.
    var isOpen = false
    /// Whether this worker's slice of a bucket is summed.
    var isReduced: [Bool]
    /// For each bucket and contribution: the slot that holds it, `Self.received` where frames do, -1 while missing.
    var slots: [Int32]
    var received: [Received]
    /// For each bucket and member: the hash of the slice's sums, nil while missing.
    var hashes: [UInt64?]
    /// Elements of the slice that have come by frames.
    var sumElements: [Int]
    var missingSlices: Int
    /// For each peer, own contribution and bucket: whether its frames are queued.
    var sentNodes: [Bool]
    /// For each peer and bucket: whether the frames of this worker's sums are queued.
    var sentSums: [Bool]
    var timings = AllreduceTimings()
    /// When waiting for it fails, and how long that was.
    var deadline: (at: ContinuousClock.Instant, after: Duration)?
    /// Whether those who wait have been told how it ended; a further wait may begin after a deadline.
    var isSettled = false
    var isTimedOut = false

    static let received: Int32 = -2

    init(
        plan: ReductionPlan,
        layout: BucketLayout,
        position: Int,
        peers: [Peer?],
        contributions: [Contribution],
        program: AdditionProgram,
        gather: UnsafeMutablePointer<Float>?
    ) {
        self.plan = plan
        self.layout = layout
        self.position = position
        self.peers = peers
        self.contributions = contributions
        self.program = program
        self.gather = gather
        sumStamp = Stamp.sum(step: plan.step, generation: plan.generation)
        began = .now
        let buckets = layout.buckets.count
        isReduced = Array(repeating: false, count: buckets)
        slots = Array(repeating: -1, count: buckets * contributions.count)
        received = Array(repeating: Received(), count: buckets * contributions.count)
        hashes = Array(repeating: nil, count: buckets * peers.count)
        sumElements = Array(repeating: 0, count: buckets * peers.count)
        missingSlices = buckets * peers.count
        sentNodes = Array(repeating: false, count: peers.count * contributions.count * buckets)
        sentSums = Array(repeating: false, count: peers.count * buckets)
    }

    /// Whether the sum is the value of the one node that the only member holds: it is read where it stands.
    var hasOneNode: Bool { peers.count == 1 && contributions.count == 1 && gather == nil }

    /// Something that was missing has come from a member.
    func note(_ member: Int) { if member != position { timings.last = plan.members[member] } }

    func contributionIndex(_ bucket: Int, _ contribution: Int) -> Int { bucket * contributions.count + contribution }
    func sliceIndex(_ bucket: Int, _ member: Int) -> Int { bucket * peers.count + member }

    func slice(_ bucket: Int, _ member: Int) -> Range<Int> {
        layout.slice(of: bucket, member: member, of: peers.count)
    }

    /// What is missing from each member, in words: for the errors of those who wait.
    func missing(from member: Int) -> String? {
        var parts: [String] = []
        for (index, contribution) in contributions.enumerated() where contribution.owner == member {
            let buckets = isReduced.indices.filter { !isReduced[$0] && slots[contributionIndex($0, index)] == -1 }
            if !buckets.isEmpty { parts.append("node \(contribution.node) of \(Self.names(buckets))") }
        }
        let buckets = isReduced.indices.filter { hashes[sliceIndex($0, member)] == nil }
        if !buckets.isEmpty && member != position { parts.append("the sums of \(Self.names(buckets))") }
        return parts.isEmpty ? nil : parts.joined(separator: " and ")
    }

    /// The members whose own contribution is missing.
    ///
    /// Where all contributions are there, those whose sums are: a sum that lacks somebody's contribution is not its
    /// adder's fault.
    var membersBehind: [ReductionPlan.Worker] {
        let owners = contributions.indices.filter { index in
            isReduced.indices.contains { !isReduced[$0] && slots[contributionIndex($0, index)] == -1 }
        }.map { contributions[$0].owner }
        let adders = peers.indices.filter { member in
            isReduced.indices.contains { hashes[sliceIndex($0, member)] == nil }
        }
        let positions = Set(owners.isEmpty ? adders : owners)
        return positions.sorted().map { plan.members[$0] }
    }

    private static func names(_ buckets: [Int]) -> String {
        guard let first = buckets.first, let last = buckets.last else { return "no bucket" }
        if first == last { return "bucket \(first)" }
        return last - first == buckets.count - 1
            ? "buckets \(first) to \(last)" : "\(buckets.count) of the buckets \(first) to \(last)"
    }
}

/// Elements that came in a frame, as `WireFormat` has them, aligned for `Float`.
final class FramePayload {
    /// Which elements of the vector.
    let range: Range<Int>
    let bytes: UnsafeRawPointer
    private let message: Message?
    private let copy: UnsafeMutableRawPointer?

    init(_ message: Message, _ range: Range<Int>) {
        self.range = range
        let bytes = message.unsafeBytes
        if let base = bytes.baseAddress, Int(bitPattern: base) % 4 == 0 {
            self.bytes = base
            self.message = message
            copy = nil
        } else {
            let copy = UnsafeMutableRawPointer.allocate(byteCount: max(4, bytes.count), alignment: 4)
            if let base = bytes.baseAddress { copy.copyMemory(from: base, byteCount: bytes.count) }
            self.copy = copy
            self.bytes = UnsafeRawPointer(copy)
            self.message = nil
        }
    }

    /// Where the elements lie that are not packed.
    var floats: UnsafePointer<Float> { bytes.assumingMemoryBound(to: Float.self) }

    deinit { copy?.deallocate() }
}
