package import Reduction

/// Divides a step's microbatches among its workers.
package enum WorkSplit {
    /// A contiguous run of leaves for each worker, in proportion to its speed.
    ///
    /// A worker with capacity c runs c microbatches at once, each in its cost, so a run of r takes ⌈r/c⌉ times the cost.
    /// Among the splits whose longest run takes the shortest time that whole microbatches allow, boundaries are put near
    /// the proportional ones, on the widest tree nodes within half a run: fewer nodes are fewer additions for the peers.
    /// A worker of which one microbatch would take longer than all the rest gets none; every other one gets one where
    /// there are enough.
    ///
    /// O(workers).
    ///
    /// - Parameters:
    ///   - leafCount: microbatches of the step.
    ///   - capacities: one for each worker, at least 1; not empty.
    ///   - costs: the time that each worker takes for one microbatch, in any unit, positive and finite; empty where all
    ///     are equal.
    ///   - needed: positions of workers that get a microbatch however long it takes them, where there are enough.
    package static func runs(
        leafCount: Int,
        capacities: [Int],
        costs: [Double] = [],
        needed: Set<Int> = []
    ) -> [Range<Int>] {
        precondition(!capacities.isEmpty && capacities.allSatisfy { $0 > 0 }, "capacities \(capacities)")
        precondition(costs.isEmpty || costs.count == capacities.count, "\(costs.count) costs")
        var limits = limits(leafCount: leafCount, capacities: capacities, costs: costs)
        if leafCount >= capacities.count {
            for position in needed where limits.indices.contains(position) {
                limits[position] = max(1, limits[position])
            }
        }
        let least = leafCount >= limits.count(where: { $0 > 0 }) ? 1 : 0
        let weights = capacities.indices.map { Double(capacities[$0]) / (costs.isEmpty ? 1 : costs[$0]) }
        let total = weights.reduce(0, +)
        var result: [Range<Int>] = []
        var start = 0
        var before = 0.0
        // What the workers that follow take at most and get at least.
        var most = limits.reduce(0, +)
        var reserved = least * limits.count(where: { $0 > 0 })
        for (limit, weight) in zip(limits, weights) {
            before += weight
            most -= limit
            if limit > 0 { reserved -= least }
            let lower = max(start + min(limit, least), leafCount - most)
            let upper = min(start + limit, leafCount - reserved)
            let end =
                result.count == capacities.count - 1
                ? leafCount
                : boundary(
                    in: lower...upper,
                    near: Int(Double(leafCount) * before / total),
                    within: max(1, Int(Double(leafCount) * weight / total) / 2)
                )
            result.append(start..<end)
            start = end
        }
        return result
    }

    /// How many microbatches each worker can run in the shortest time in which all of them together run `leafCount`.
    private static func limits(leafCount: Int, capacities: [Int], costs: [Double]) -> [Int] {
        func rounds(of position: Int, in time: Double) -> Int {
            // No more than enough, so that nothing overflows.
            Int(min(time / costs[position], Double(leafCount)))
        }
        func limit(_ position: Int, _ rounds: Int) -> Int {
            capacities[position].multipliedReportingOverflow(by: rounds).overflow
                ? leafCount : min(leafCount, capacities[position] * rounds)
        }
        guard let first = costs.first, costs.contains(where: { $0 != first }) else {
            let total = capacities.reduce(0, +)
            let rounds = (leafCount + total - 1) / total
            return capacities.indices.map { limit($0, rounds) }
        }
        func suffices(_ time: Double) -> Bool {
            var count = 0
            for position in capacities.indices {
                count += limit(position, rounds(of: position, in: time))
                if count >= leafCount { return true }
            }
            return false
        }
        // The fastest worker alone is an upper bound. Halving ends at two neighbouring values, or near enough.
        var upper = costs.min().map { $0 * Double(leafCount + 1) } ?? 0
        var lower = 0.0
        for _ in 0..<64 {
            let middle = lower + (upper - lower) / 2
            if middle <= lower || middle >= upper { break }
            if suffices(middle) { upper = middle } else { lower = middle }
        }
        return capacities.indices.map { limit($0, rounds(of: $0, in: upper)) }
    }

    /// The time that the longest of `runs` takes, in the unit of `costs`.
    package static func time(of runs: [Range<Int>], capacities: [Int], costs: [Double]) -> Double {
        var longest = 0.0
        for (position, run) in runs.enumerated() {
            let rounds = (run.count + capacities[position] - 1) / capacities[position]
            longest = max(longest, Double(rounds) * costs[position])
        }
        return longest
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
        let capacities = capacities(of: members)
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
    ///
    /// - Parameter runs: as `runs` gives them for the members' threads; nil divides by these alone.
    package static func plan(
        step: UInt64,
        generation: UInt32,
        leafCount: Int,
        members: [Member],
        runs: [Range<Int>]? = nil
    ) -> ReductionPlan {
        let tree = SumTree(leafCount: leafCount)
        let runs = runs ?? Self.runs(leafCount: leafCount, capacities: capacities(of: members))
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

    /// How many microbatches each member runs at once.
    package static func capacities(of members: [Member]) -> [Int] { members.map { max(1, Int($0.threads)) } }
}
