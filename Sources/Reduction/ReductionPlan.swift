/// Which worker supplies which node of a step's sum, and who adds which slice.
///
/// Only what the plan names enters the sum, so work done twice never counts twice. Workers are named by their number
/// in the job, which the coordinator gives to each incarnation and never gives again.
package struct ReductionPlan: Hashable, Sendable {
    package typealias Worker = UInt32

    /// A node of the cover and the worker that holds it.
    package struct Contribution: Hashable, Sendable {
        package var node: TreeNode
        package var owner: Worker

        package init(node: TreeNode, owner: Worker) {
            self.node = node
            self.owner = owner
        }
    }

    package var step: UInt64
    package var generation: UInt32
    package var tree: SumTree
    /// All workers of the step, in ascending order: member i owns slice i of every bucket, also where it computes
    /// nothing.
    package var members: [Worker]
    /// An exact cover of the leaves, in leaf order.
    package var contributions: [Contribution]

    package init(
        step: UInt64,
        generation: UInt32,
        tree: SumTree,
        members: [Worker],
        contributions: [Contribution]
    ) {
        self.step = step
        self.generation = generation
        self.tree = tree
        self.members = members
        self.contributions = contributions
    }

    /// What is wrong with the plan, or nil: members ascending and not empty, owners among them, the nodes an exact
    /// cover of the tree.
    package var defect: String? {
        if members.isEmpty { return "the plan has no members" }
        if zip(members, members.dropFirst()).contains(where: { $0 >= $1 }) { return "the members do not ascend" }
        if let stranger = contributions.first(where: { !isMember($0.owner) }) {
            return "node \(stranger.node) belongs to worker \(stranger.owner), which is no member"
        }
        if tree.additions(over: contributions.map(\.node), into: tree.root) == nil {
            return "the nodes \(contributions.map(\.node.description)) do not cover \(tree.leafCount) leaves exactly"
        }
        return nil
    }

    /// Whether `worker` is one of the members, which ascend.
    private func isMember(_ worker: Worker) -> Bool {
        var lower = 0
        var upper = members.count
        while lower < upper {
            let middle = (lower + upper) / 2
            if members[middle] < worker { lower = middle + 1 } else { upper = middle }
        }
        return lower < members.count && members[lower] == worker
    }
}

/// How the flat vector of a step's sums (gradients, BatchNorm statistics, loss) is cut into buckets, in the order in
/// which the backward pass fills them.
package struct BucketLayout: Hashable, Sendable {
    /// Ranges of elements, ascending and adjacent; bucket b is complete after the backward pass has reported b.
    package let buckets: [Range<Int>]

    package var elementCount: Int { buckets.last?.upperBound ?? 0 }

    package init(buckets: [Range<Int>]) {
        precondition(
            zip(buckets, buckets.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound }
                && (buckets.first?.lowerBound ?? 0) == 0,
            "buckets must be adjacent and start at 0"
        )
        self.buckets = buckets
    }

    /// The part of `bucket` that member `position` of `count` adds: equal shares in multiples of 64 elements (a page
    /// of cache lines), the rest to the last ones. May be empty.
    package func slice(of bucket: Int, member position: Int, of count: Int) -> Range<Int> {
        let range = buckets[bucket]
        let units = (range.count + 63) / 64
        let lower = units * position / count * 64
        let upper = units * (position + 1) / count * 64
        return min(range.lowerBound + lower, range.upperBound)..<min(range.lowerBound + upper, range.upperBound)
    }
}
