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
