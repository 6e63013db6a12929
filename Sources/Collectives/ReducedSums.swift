package import Reduction

/// The sums of one step, readable by any number of threads until `Allreduce.release` of the step.
package struct ReducedSums: Sendable {
    package let step: UInt64
    package let generation: UInt32
    /// XXH3-64 over the hashes of all slices in the order of buckets and members: equal on all members of a plan, and
    /// meant for that comparison alone, since it depends on how many members there are.
    package let digest: UInt64
    package internal(set) var timings: AllreduceTimings

    let layout: BucketLayout
    let memory: SumMemory

    /// Calls `body` for the contiguous pieces of `range` in ascending order, each with the address of its first
    /// element.
    ///
    /// A piece may lie in another worker's memory, which is mapped for reading only.
    package func forEachPiece(
        in range: Range<Int>,
        _ body: (_ piece: Range<Int>, _ sums: UnsafePointer<Float>) throws -> Void
    ) rethrows {
        precondition(range.lowerBound >= 0 && range.upperBound <= layout.elementCount, "no such elements: \(range)")
        let bases = memory.bases
        if bases.count == 1 {
            if !range.isEmpty { try body(range, bases[0] + range.lowerBound) }
            return
        }
        for bucket in firstBucket(endingAfter: range.lowerBound)..<layout.buckets.count {
            if layout.buckets[bucket].lowerBound >= range.upperBound { return }
            for member in bases.indices {
                let piece = layout.slice(of: bucket, member: member, of: bases.count).clamped(to: range)
                if !piece.isEmpty { try body(piece, bases[member] + piece.lowerBound) }
            }
        }
    }

    /// Copies all sums to `destination`, which has room for the layout's elements.
    package func copy(to destination: UnsafeMutablePointer<Float>) {
        forEachPiece(in: 0..<layout.elementCount) { piece, sums in
            (destination + piece.lowerBound).update(from: sums, count: piece.count)
        }
    }

    private func firstBucket(endingAfter element: Int) -> Int {
        var (lower, upper) = (0, layout.buckets.count)
        while lower < upper {
            let middle = (lower + upper) / 2
            if layout.buckets[middle].upperBound > element { upper = middle } else { lower = middle + 1 }
        }
        return lower
    }
}

/// Where the sums lie, and what keeps that memory mapped.
final class SumMemory: @unchecked Sendable {
    // Immutable; the memory behind the pointers is not written while the sums are valid.

    /// For each member, an address that is offset by an element's number; one alone where all lie together.
    let bases: [UnsafePointer<Float>]
    private let owners: [AnyObject]

    init(bases: [UnsafePointer<Float>], owners: [AnyObject]) {
        self.bases = bases
        self.owners = owners
    }
}

/// Where the time and the bytes of one all-reduce went.
package struct AllreduceTimings: Hashable, Sendable {
    /// From `begin` to the last sum.
    package var total: Duration = .zero
    /// The communication thread's work for it: adding, hashing, copying, sending and receiving.
    package var busy: Duration = .zero
    /// How long `waitReduced` slept: the part that was not hidden behind computation.
    package var waited: Duration = .zero
    /// The other member whose node or sums came last; nil where nothing was missing.
    package var last: ReductionPlan.Worker?
    /// Read from other workers' shared memory for the additions.
    package var sharedBytes = 0
    package var sentBytes = 0
    package var receivedBytes = 0
}
