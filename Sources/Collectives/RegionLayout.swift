import CHash
import Reduction

/// Where everything lies in a worker's shared region.
///
/// One control area of 64-bit words, then `nodeCapacity` buffers of a whole vector each, for the nodes that the worker
/// holds, then one for the sums, of which it fills its own slices (pages never touched take no memory). All workers of
/// a job compute the same layout from the same bucket layout; the header's digest makes sure.
struct RegionLayout {
    static let magic: UInt64 = 0x4c50_6c65_7572_6131
    static let version: UInt64 = 1

    /// Words of the header, in order.
    enum Word: Int, CaseIterable {
        case magic, version, job, worker, incarnation, digest, byteCount
        /// 1 + the last step whose sums this worker has applied: it reads no one's sums up to that step any more.
        case released
    }

    let buckets: BucketLayout
    let nodeCapacity: Int
    let nodeOffset: Int
    let vectorStride: Int
    /// Bytes of a vector that are used, the kernels' slack included.
    let vectorBytes: Int
    /// Bytes of the control area that are used.
    let controlBytes: Int

    /// `nodeCapacity`: the most nodes that a plan gives to one worker.
    init(buckets: BucketLayout, nodeCapacity: Int) {
        precondition(nodeCapacity > 0 && nodeCapacity <= 1 << 12, "a worker holds 1 to 4096 nodes, not \(nodeCapacity)")
        precondition(buckets.elementCount < 1 << 36, "\(buckets.elementCount) elements are more than a step can sum")
        self.buckets = buckets
        self.nodeCapacity = nodeCapacity
        // Kernels may read up to 15 elements past an end.
        vectorBytes = buckets.elementCount * 4 + 64
        let page = vectorBytes >= 2 << 20 ? 2 << 20 : 4096
        vectorStride = Self.round(vectorBytes, up: page)
        // A cache line for the header's words that change, then the tables.
        controlBytes = 128 + 8 * buckets.buckets.count * (nodeCapacity + 2)
        nodeOffset = Self.round(controlBytes, up: page)
    }

    var byteCount: Int { nodeOffset + (nodeCapacity + 1) * vectorStride }
    var sumOffset: Int { nodeOffset + nodeCapacity * vectorStride }

    func offset(of word: Word) -> Int { word == .released ? 64 : word.rawValue * 8 }

    /// The word that names the node and step of which `slot` holds the finished `bucket`.
    func nodeStampOffset(slot: Int, bucket: Int) -> Int { 128 + 8 * (slot * buckets.buckets.count + bucket) }

    /// The word that names the step and generation whose sum of `bucket` stands in the worker's slice.
    func sumStampOffset(bucket: Int) -> Int { nodeStampOffset(slot: nodeCapacity, bucket: bucket) }

    /// XXH3-64 of the worker's slice of `bucket`; valid under the sum's stamp.
    func sumHashOffset(bucket: Int) -> Int { nodeStampOffset(slot: nodeCapacity + 1, bucket: bucket) }

    func nodeBufferOffset(slot: Int) -> Int { nodeOffset + slot * vectorStride }

    /// A number that differs between layouts that do not fit together.
    var digest: UInt64 {
        var words = [UInt64(nodeCapacity), UInt64(buckets.elementCount), UInt64(byteCount)]
        words += buckets.buckets.map { UInt64($0.upperBound) }
        return words.withUnsafeBytes { hash_xxh3($0.baseAddress, $0.count) }
    }

    private static func round(_ bytes: Int, up page: Int) -> Int { (bytes + page - 1) / page * page }
}

/// The words that say what a buffer holds.
///
/// 0 is nothing.
enum Stamp {
    /// The value of `node` in `step`: the same whichever generation asks for it.
    ///
    /// Nil where a number is too large.
    static func node(_ node: TreeNode, step: UInt64) -> UInt64? {
        guard step < UInt64(UInt32.max), (0..<256).contains(node.level), (0..<1 << 24).contains(node.index) else {
            return nil
        }
        return (step + 1) << 32 | UInt64(node.level) << 24 | UInt64(node.index)
    }

    /// The sums of `generation` of `step`.
    static func sum(step: UInt64, generation: UInt32) -> UInt64 { (step &+ 1) << 32 | UInt64(generation) }
}
