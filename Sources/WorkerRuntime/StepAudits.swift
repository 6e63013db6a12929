import Coordination
import Platform
import Reduction
import Synchronization

/// What this worker finds of the audited microbatches of a step, over all attempts at it.
///
/// Digests of microbatches that it computes for the sum are taken as they are computed, before anything is added; those
/// that it audits for others it computes beside.
final class StepAudits: Sendable {
    private struct State: Sendable {
        var audited: Set<Int> = []
        var digests: [Int: Digest] = [:]
        /// Computed beside the sum: claimed by a thread to be, and under way.
        var claimed: Set<Int> = []
        var running = 0
        var isClosed = false
    }

    let step: UInt64
    private let state = Mutex(State())
    private let condition = ThreadCondition()

    init(step: UInt64) { self.step = step }

    /// Names the microbatches whose digests are wanted from now on, besides those before.
    func want(_ microbatches: some Sequence<Int>) { state.withLock { $0.audited.formUnion(microbatches) } }

    /// Whether the digest of a microbatch is wanted and not known.
    func lacks(_ microbatch: Int) -> Bool {
        state.withLock { $0.audited.contains(microbatch) && $0.digests[microbatch] == nil }
    }

    func note(_ microbatch: Int, _ digest: Digest) {
        state.withLock { $0.digests[microbatch] = digest }
        condition.broadcast()
    }

    /// Whether the caller is the one to see to it that the microbatch is computed beside the sum.
    func claim(_ microbatch: Int) -> Bool {
        state.withLock { $0.digests[microbatch] == nil && $0.claimed.insert(microbatch).inserted }
    }

    /// Whether a computation may begin; each that does says `leave` at its end.
    func enter() -> Bool {
        state.withLock { state in
            if state.isClosed { return false }
            state.running += 1
            return true
        }
    }

    func leave() {
        state.withLock { $0.running -= 1 }
        condition.broadcast()
    }

    /// The digests of `microbatches`, ascending, once they are known; nil where `isCancelled` before.
    func wait(for microbatches: [Int], unless isCancelled: () -> Bool) -> [AuditDigest]? {
        while true {
            let seen = condition.ticket
            let found = state.withLock { state in
                microbatches.compactMap { microbatch in
                    state.digests[microbatch].map { AuditDigest(microbatch: UInt32(microbatch), digest: $0) }
                }
            }
            if found.count == microbatches.count { return found.sorted { $0.microbatch < $1.microbatch } }
            if isCancelled() || state.withLock({ $0.isClosed }) { return nil }
            condition.wait(since: seen)
        }
    }

    /// Lets nothing further begin, and waits for what is under way: the weights are about to change.
    func close() {
        state.withLock { $0.isClosed = true }
        condition.broadcast()
        while true {
            let seen = condition.ticket
            if state.withLock({ $0.running == 0 }) { return }
            condition.wait(since: seen)
        }
    }
}

/// The digest of one microbatch's gradient, statistics and losses, bucket by bucket in their order.
struct GradientDigest {
    private var words: [UInt64] = []

    mutating func add(_ sums: UnsafePointer<Float>, _ bucket: Range<Int>) {
        let bytes = UnsafeRawBufferPointer(start: sums + bucket.lowerBound, count: 4 * bucket.count)
        let hash = XXH3.hash128(bytes)
        words += [hash.high, hash.low]
    }

    var value: Digest {
        let hash = words.withUnsafeBytes { XXH3.hash128($0) }
        return Digest(high: hash.high, low: hash.low)
    }
}
