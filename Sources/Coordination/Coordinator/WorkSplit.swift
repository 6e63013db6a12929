package import Reduction

/// Divides a step's microbatches among its workers.
package enum WorkSplit {
    /// A contiguous run of leaves for each worker, in proportion to `capacities`.
    ///
    /// A worker with capacity c runs c microbatches at once, so a run of r takes ⌈r/c⌉ rounds. Among the splits with
    /// the fewest rounds, boundaries are put near the proportional ones, on the widest tree nodes within half a run:
    /// fewer nodes are fewer additions for the peers. Every worker gets a microbatch where there are enough.
    ///
    /// - Parameters:
    ///   - leafCount: microbatches of the step.
    ///   - capacities: one for each worker, at least 1; not empty.
    package static func runs(leafCount: Int, capacities: [Int]) -> [Range<Int>] {
        precondition(!capacities.isEmpty && capacities.allSatisfy { $0 > 0 }, "capacities \(capacities)")
        let total = capacities.reduce(0, +)
        let rounds = (leafCount + total - 1) / total
        let least = leafCount >= capacities.count ? 1 : 0
        var result: [Range<Int>] = []
        var start = 0
        var before = 0
        for (index, capacity) in capacities.enumerated() {
            before += capacity
            let following = capacities.count - index - 1
            let lower = max(start + least, leafCount - (total - before) * rounds)
            let upper = min(start + capacity * rounds, leafCount - following * least)
            let end =
                following == 0
                ? leafCount
                : boundary(
                    in: lower...upper,
                    near: leafCount * before / total,
                    within: max(1, leafCount * capacity / total / 2)
                )
            result.append(start..<end)
            start = end
        }
        return result
    }

    /// The boundary of the widest node: of equally wide ones the nearest to `target`, of equally near ones the lower.
    private static func boundary(in range: ClosedRange<Int>, near target: Int, within distance: Int) -> Int {
        let lower = max(range.lowerBound, target - distance)
        let upper = min(range.upperBound, target + distance)
        guard lower <= upper else { return min(max(target, range.lowerBound), range.upperBound) }
        var best = lower
        for candidate in lower...upper {
            let wider = candidate.trailingZeroBitCount - best.trailingZeroBitCount
            if wider > 0 || (wider == 0 && abs(candidate - target) < abs(best - target)) { best = candidate }
        }
        return best
    }

    /// The most nodes that any plan of a step of `leafCount` leaves gives to one worker: a contiguous run is covered by at
    /// most two nodes of each level.
    package static func maximumNodes(leafCount: Int) -> Int {
        max(1, 2 * SumTree(leafCount: max(1, leafCount)).rootLevel)
    }

    /// The next attempt at a step after some of its workers are gone: `members` keep the nodes that they own, and share
    /// the leaves of the others in proportion to their threads.
    ///
    /// Where that would take more nodes than a worker has memory for, all is divided anew.
    package static func replan(_ plan: ReductionPlan, generation: UInt32, members: [Member]) -> ReductionPlan {
        let tree = plan.tree
        let staying = Set(members.map(\.worker))
        var contributions = plan.contributions.filter { staying.contains($0.owner) }
        let lost = plan.contributions.filter { !staying.contains($0.owner) }.flatMap { tree.leaves(of: $0.node) }
            .sorted()
        let capacities = members.map { max(1, Int($0.threads)) }
        let runs = lost.isEmpty ? [] : runs(leafCount: lost.count, capacities: capacities)
        for (member, run) in zip(members, runs) {
            // Leaves of several lost workers need not stand side by side.
            var leaves = lost[run][...]
            while let first = leaves.first {
                var end = first
                while leaves.first == end {
                    leaves.removeFirst()
                    end += 1
                }
                contributions += tree.cover(of: first..<end).map {
                    ReductionPlan.Contribution(node: $0, owner: member.worker)
                }
            }
        }
        let most = Dictionary(grouping: contributions, by: \.owner).values.map(\.count).max() ?? 0
        if most > maximumNodes(leafCount: tree.leafCount) {
            return Self.plan(step: plan.step, generation: generation, leafCount: tree.leafCount, members: members)
        }
        contributions.sort { $0.node < $1.node }
        return ReductionPlan(
            step: plan.step,
            generation: generation,
            tree: tree,
            members: members.map(\.worker),
            contributions: contributions
        )
    }

    /// The plan of a step in which each member computes its run of leaves.
    package static func plan(step: UInt64, generation: UInt32, leafCount: Int, members: [Member]) -> ReductionPlan {
        let tree = SumTree(leafCount: leafCount)
        let runs = runs(leafCount: leafCount, capacities: members.map { max(1, Int($0.threads)) })
        return ReductionPlan(
            step: step,
            generation: generation,
            tree: tree,
            members: members.map(\.worker),
            contributions: zip(members, runs).flatMap { member, run in
                tree.cover(of: run).map { ReductionPlan.Contribution(node: $0, owner: member.worker) }
            }
        )
    }
}
