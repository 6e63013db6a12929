import Kernels
import Reduction
import Synchronization

/// Folds the gradients of a worker's microbatches to the value of one tree node, bucket by bucket, in the canonical
/// order, in place.
///
/// The first leaf writes the node's own buffer; the others write scratch memory and are added to their left neighbours
/// as soon as both sides have a bucket: whichever thread completes the pair adds it. Each addition is left += right, so
/// the bits are those of `SumTree`.
final class NodeFold: Sendable {
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

    let node: TreeNode
    let leaves: Range<Int>
    private let tree: SumTree
    private let layout: BucketLayout
    private let buffer: LeafBuffer
    private let add: @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void
    private let scratch: ScratchVectors
    private let state = Mutex(State())

    init(
        node: TreeNode, tree: SumTree, layout: BucketLayout, buffer: UnsafeMutablePointer<Float>,
        scratch: ScratchVectors, kernels: KernelTable
    ) {
        self.node = tree.canonical(node)
        self.tree = tree
        self.layout = layout
        self.buffer = LeafBuffer(base: buffer)
        self.scratch = scratch
        leaves = tree.leaves(of: node)
        add = kernels.addVectors
    }

    /// Where leaf `leaf` writes its sums.
    func buffer(of leaf: Int) throws -> UnsafeMutablePointer<Float> {
        if leaf == leaves.lowerBound { return buffer.base }
        let taken = LeafBuffer(base: try scratch.take())
        state.withLock { state in
            state.buffers[leaf] = taken
            state.held[leaf] = layout.buckets.count
        }
        return taken.base
    }

    /// Leaf `leaf` has finished `bucket`; returns whether the whole node has.
    func finished(leaf: Int, bucket: Int) -> Bool {
        var current = tree.canonical(.leaf(leaf))
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
            add(target + range.lowerBound, addend + range.lowerBound, range.count)
            let freed = state.withLock { state -> LeafBuffer? in
                state.held[source, default: 1] -= 1
                return state.held[source] == 0 ? state.buffers.removeValue(forKey: source) : nil
            }
            if let freed { scratch.give(freed.base) }
            current = parent
        }
        return true
    }

    private func base(_ leaf: Int, _ state: State) -> UnsafeMutablePointer<Float> {
        leaf == leaves.lowerBound ? buffer.base : state.buffers[leaf]?.base ?? buffer.base
    }
}

/// Vectors of the sums' length that leaves borrow; they stay allocated, so that a step allocates nothing once the first
/// steps have shown how many it takes.
final class ScratchVectors: @unchecked Sendable {
    // Everything mutable is behind the lock.
    private struct State {
        var free: [NodeFold.LeafBuffer] = []
        var memory: [PageMemory] = []
    }

    private let state = Mutex(State())
    private let count: Int

    init(count: Int) { self.count = count }

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
