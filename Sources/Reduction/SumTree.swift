/// A node of the canonical sum: the leaves `index << level ..< (index + 1) << level`, as far as they are present.
package struct TreeNode: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var level: Int
    package var index: Int

    package init(level: Int, index: Int) {
        self.level = level
        self.index = index
    }

    package static func leaf(_ index: Int) -> TreeNode { TreeNode(level: 0, index: index) }

    package var firstLeaf: Int { index << level }
    package var parent: TreeNode { TreeNode(level: level + 1, index: index >> 1) }
    package var left: TreeNode { TreeNode(level: level - 1, index: index << 1) }
    package var right: TreeNode { TreeNode(level: level - 1, index: index << 1 | 1) }

    /// Order of the first leaf, wider nodes first.
    package static func < (a: TreeNode, b: TreeNode) -> Bool {
        (a.firstLeaf, -a.level) < (b.firstLeaf, -b.level)
    }

    package var description: String { "\(level):\(index)" }
}

/// The one order in which the sum over `leafCount` microbatches is taken: the balanced binary tree over their
/// indices, absent leaves skipped.
///
/// value(node) = value(left) + value(right), one rounded addition per element; a node whose right half has no leaves
/// is its left half. Floating-point addition does not associate, so this order is part of the contract of a run.
package struct SumTree: Hashable, Sendable {
    package let leafCount: Int

    package init(leafCount: Int) {
        precondition(leafCount > 0, "a sum needs at least one leaf, not \(leafCount)")
        self.leafCount = leafCount
    }

    /// The smallest level at which one node covers all leaves.
    package var rootLevel: Int {
        var level = 0
        while 1 << level < leafCount { level += 1 }
        return level
    }

    package var root: TreeNode { TreeNode(level: rootLevel, index: 0) }

    /// The leaves under `node`; empty where none is present.
    package func leaves(of node: TreeNode) -> Range<Int> {
        let lower = min(node.firstLeaf, leafCount)
        return lower..<min((node.index + 1) << node.level, leafCount)
    }

    /// Whether `node` has leaves, under any of its names; false for every level and index that no tree has, however
    /// large or negative: plans come from other programs.
    package func contains(_ node: TreeNode) -> Bool {
        // Above the root there is the root once more, up to where shifts would overflow.
        (0..<Int.bitWidth - 2).contains(node.level) && (0...(leafCount - 1) >> node.level).contains(node.index)
    }

    /// Whether `node` has two children with leaves, so that its value takes an addition.
    package func isSum(_ node: TreeNode) -> Bool {
        node.level > 0 && !leaves(of: node.right).isEmpty
    }

    /// `node` by its lowest name: a node with one present child is that child.
    package func canonical(_ node: TreeNode) -> TreeNode {
        var node = node
        while node.level > 0 && !isSum(node) { node = node.left }
        return node
    }

    /// The fewest nodes, by their canonical names and in order, that cover exactly `range`.
    package func cover(of range: Range<Int>) -> [TreeNode] {
        var result: [TreeNode] = []
        func visit(_ node: TreeNode) {
            let own = leaves(of: node)
            if own.isEmpty || !own.overlaps(range) { return }
            if range.lowerBound <= own.lowerBound && own.upperBound <= range.upperBound {
                result.append(canonical(node))
            } else {
                visit(node.left)
                visit(node.right)
            }
        }
        visit(root)
        return result
    }

    /// The additions that turn the values of `held` into the value of `target`, in the canonical order.
    ///
    /// Each addition is `destination += source` between two entries of `held`; the sum ends in the first entry that
    /// lies under `target`. Returns nil where `held` is not an exact cover of `target`. Additions on disjoint
    /// subtrees may run in any order or at once; each operand is complete when its own additions are done.
    package func additions(over held: [TreeNode], into target: TreeNode) -> (result: Int, steps: [Addition])? {
        var names: [TreeNode] = []
        names.reserveCapacity(held.count)
        for node in held {
            if !contains(node) { return nil }
            names.append(canonical(node))
        }
        // In leaf order an exact cover is used up from its first node to its last; plans name their nodes so already.
        var order = Array(held.indices)
        if zip(names, names.dropFirst()).contains(where: { $0 >= $1 }) { order.sort { names[$0] < names[$1] } }
        var steps: [Addition] = []
        steps.reserveCapacity(held.count)
        var used = 0
        func visit(_ node: TreeNode) -> Int? {
            let node = canonical(node)
            // Every node before this one is left of it. The next one covers its first leaf, or nothing does.
            guard used < order.count else { return nil }
            let position = order[used]
            if names[position] == node {
                used += 1
                return position
            }
            guard isSum(node), let left = visit(node.left), let right = visit(node.right) else { return nil }
            steps.append(Addition(destination: left, source: right))
            return left
        }
        guard let result = visit(target), used == held.count else { return nil }
        return (result, steps)
    }

    /// One addition of `additions(over:into:)`: indices into `held`.
    package struct Addition: Hashable, Sendable {
        package var destination: Int
        package var source: Int
    }
}
