package import Kernels
import Platform
package import Reduction
import Synchronization

/// Folds the gradients of a worker's microbatches to the value of one tree node, bucket by bucket, in the canonical
/// order, in place.
///
/// The first leaf writes the node's own buffer; the others write scratch memory and are added to their left neighbours
/// as soon as both sides have a bucket: whichever thread completes the pair adds it. Each addition is left += right, so
/// the bits are those of `SumTree`. The elements below `roundedCount` are rounded to bfloat16, leaves and sums alike.
package final class NodeFold: Sendable {
    /// Memory of one leaf, for as long as a bucket of it is not added to another.
    struct LeafBuffer: @unchecked Sendable {
        // Written by the one thread that computes the leaf, read by the one that adds it; the fold's lock is between.
        let base: UnsafeMutablePointer<Float>
    }

    private struct State: Sendable {
        /// For each node under this one the number of buckets... by (node, bucket): complete and waiting for its sibling.
        var waiting: Set<Place> = []
        var buffers: [Int: LeafBuffer] = [:]
        /// Buckets that a leaf still holds and that are not added to its left.
        var held: [Int: Int] = [:]
    }

    private struct Place: Hashable, Sendable {
        var node: TreeNode
        var bucket: Int
    }

    package let node: TreeNode
    package let leaves: Range<Int>
    private let tree: SumTree
    private let layout: BucketLayout
    private let buffer: LeafBuffer
    private let kernels: KernelTable
    private let roundedCount: Int
    private let scratch: ScratchVectors
    private let state = Mutex(State())

    package init(
        node: TreeNode,
        tree: SumTree,
        layout: BucketLayout,
        buffer: UnsafeMutablePointer<Float>,
        scratch: ScratchVectors,
        kernels: KernelTable,
        roundedCount: Int = 0
    ) {
        self.node = tree.canonical(node)
        self.tree = tree
        self.layout = layout
        self.buffer = LeafBuffer(base: buffer)
        self.scratch = scratch
        leaves = tree.leaves(of: node)
        self.kernels = kernels
        self.roundedCount = roundedCount
    }

    /// Where leaf `leaf` writes its sums.
    package func buffer(of leaf: Int) throws -> UnsafeMutablePointer<Float> {
        if leaf == leaves.lowerBound { return buffer.base }
        let taken = LeafBuffer(base: try scratch.take())
        state.withLock { state in
            state.buffers[leaf] = taken
            state.held[leaf] = layout.buckets.count
        }
        return taken.base
    }

    /// Leaf `leaf` has finished `bucket`; returns whether the whole node has.
    package func finished(leaf: Int, bucket: Int) -> Bool {
        var current = tree.canonical(.leaf(leaf))
        // Leaves that are added are rounded on the way.
        if current == node { roundLeaf(bucket) }
        while current != node {
            // The smallest sum that holds this node.
            var parent = current.parent
            while !tree.isSum(parent) { parent = parent.parent }
            let left = tree.canonical(parent.left)
            let right = tree.canonical(parent.right)
            let sibling = current == left ? right : left
            let isSecond = state.withLock { state in
                if state.waiting.remove(Place(node: sibling, bucket: bucket)) != nil { return true }
                state.waiting.insert(Place(node: current, bucket: bucket))
                return false
            }
            if !isSecond { return false }
            let range = layout.buckets[bucket]
            let source = tree.leaves(of: right).lowerBound
            let (target, addend) = state.withLock { state in
                (base(tree.leaves(of: left).lowerBound, state), base(source, state))
            }
            add(range, target, addend)
            let freed = state.withLock { state -> LeafBuffer? in
                state.held[source, default: 1] -= 1
                return state.held[source] == 0 ? state.buffers.removeValue(forKey: source) : nil
            }
            if let freed { scratch.give(freed.base) }
            current = parent
        }
        return true
    }

    private func add(_ range: Range<Int>, _ target: UnsafeMutablePointer<Float>, _ addend: UnsafePointer<Float>) {
        let rounded = range.clamped(to: 0..<roundedCount)
        if !rounded.isEmpty {
            let first = rounded.lowerBound
            kernels.sumRounded(target + first, addend + first, target + first, rounded.count)
        }
        let first = max(range.lowerBound, roundedCount)
        if first < range.upperBound { kernels.addVectors(target + first, addend + first, range.upperBound - first) }
    }

    private func roundLeaf(_ bucket: Int) {
        let rounded = layout.buckets[bucket].clamped(to: 0..<roundedCount)
        if !rounded.isEmpty { kernels.roundVector(buffer.base + rounded.lowerBound, rounded.count) }
    }

    private func base(_ leaf: Int, _ state: State) -> UnsafeMutablePointer<Float> {
        leaf == leaves.lowerBound ? buffer.base : state.buffers[leaf]?.base ?? buffer.base
    }
}

/// Vectors of the sums' length that leaves borrow; they stay allocated, so that a step allocates nothing once the first
/// steps have shown how many it takes.
package final class ScratchVectors: @unchecked Sendable {
    // Everything mutable is behind the lock.
    private struct State {
        var free: [NodeFold.LeafBuffer] = []
        var memory: [PageMemory] = []
    }

    private let state = Mutex(State())
    private let count: Int

    package init(count: Int) { self.count = count }

    func take() throws -> UnsafeMutablePointer<Float> {
        if let free = state.withLock({ $0.free.popLast() }) { return free.base }
        let pages = try PageMemory(bytes: 4 * count)
        state.withLock { $0.memory.append(pages) }
        return pages.floats
    }

    func give(_ vector: UnsafeMutablePointer<Float>) {
        let buffer = NodeFold.LeafBuffer(base: vector)
        state.withLock { $0.free.append(buffer) }
    }
}
