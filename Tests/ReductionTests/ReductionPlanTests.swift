import Reduction
import Testing

/// A plan comes over the wire: what is wrong with it is found before anything is added.
@Suite struct ReductionPlanTests {
    private typealias Contribution = ReductionPlan.Contribution

    private func plan(
        leaves: Int = 5,
        members: [ReductionPlan.Worker] = [2, 4, 7],
        _ nodes: [(TreeNode, ReductionPlan.Worker)] = [
            (TreeNode(level: 1, index: 0), 2), (TreeNode(level: 1, index: 1), 4), (.leaf(4), 2),
        ]
    ) -> ReductionPlan {
        ReductionPlan(
            step: 3,
            generation: 1,
            tree: SumTree(leafCount: leaves),
            members: members,
            contributions: nodes.map { Contribution(node: $0.0, owner: $0.1) }
        )
    }

    @Test func soundPlansHaveNoDefect() {
        // A member that computes nothing, an owner of two nodes that are not neighbours.
        #expect(plan().defect == nil)
        #expect(plan(leaves: 1, members: [0], [(.leaf(0), 0)]).defect == nil)
        #expect(plan(leaves: 1, members: [0, .max], [(.leaf(0), .max)]).defect == nil)
        // Another name of the fifth leaf.
        #expect(plan([(TreeNode(level: 2, index: 0), 7), (TreeNode(level: 2, index: 1), 4)]).defect == nil)
    }

    @Test(arguments: 1...17)
    func everyCoverIsASoundPlan(leafCount: Int) {
        let tree = SumTree(leafCount: leafCount)
        for cover in Covers.all(of: tree.root, in: tree) {
            let nodes = cover.enumerated().map { ($1, [2, 4, 7][$0 % 3] as ReductionPlan.Worker) }
            #expect(plan(leaves: leafCount, nodes).defect == nil, "\(cover)")
        }
    }

    @Test func aPlanWithoutMembersIsNone() {
        #expect(plan(members: [], []).defect == "the plan has no members")
    }

    @Test(arguments: [[2, 7, 4], [7, 4, 2], [2, 2, 4], [2, 4, 4]] as [[ReductionPlan.Worker]])
    func membersAscend(members: [ReductionPlan.Worker]) {
        // Slices go by position: in another order, or with one twice, two workers would add the same one.
        let nodes = [(TreeNode(level: 3, index: 0), 4 as ReductionPlan.Worker)]
        #expect(plan(members: members, nodes).defect == "the members do not ascend")
    }

    @Test func ownersAreMembers() {
        let stranger = [(TreeNode(level: 2, index: 0), 4 as ReductionPlan.Worker), (.leaf(4), 5)]
        #expect(plan(stranger).defect == "node 0:4 belongs to worker 5, which is no member")
    }

    @Test(arguments: [
        [], [TreeNode(level: 2, index: 0)], [.leaf(4)], [TreeNode(level: 2, index: 0), .leaf(3)],
        [TreeNode(level: 3, index: 0), .leaf(4)], [TreeNode(level: 2, index: 0), .leaf(4), .leaf(4)],
        [TreeNode(level: 2, index: 0), .leaf(4), TreeNode(level: 1, index: 2)],
        [TreeNode(level: 2, index: 0), .leaf(4), .leaf(5)],
        [TreeNode(level: 3, index: 0), TreeNode(level: 3, index: 1)],
        [TreeNode(level: 2, index: 0), TreeNode(level: 62, index: 1)],
        [TreeNode(level: 2, index: 0), TreeNode(level: 0, index: .min)],
    ])
    func nodesCoverTheLeavesExactly(nodes: [TreeNode]) throws {
        let defect = try #require(plan(nodes.map { ($0, 4) }).defect)
        #expect(defect == "the nodes \(nodes.map(\.description)) do not cover 5 leaves exactly")
    }

    @Test func theFirstDefectIsTold() {
        // Several at once: who is there comes before what they hold.
        #expect(plan(members: [4, 2], [(.leaf(9), 5)]).defect == "the members do not ascend")
        #expect(plan([(.leaf(9), 5)]).defect == "node 0:9 belongs to worker 5, which is no member")
    }
}

/// Each element of the sums is added by one member, whatever the number of members and the size of the bucket.
@Suite struct BucketLayoutTests {
    private static let unit = 64

    @Test(arguments: [0, 1, 2, 63, 64, 65, 127, 128, 129, 448, 449, 1_000, 4_096, 65_537])
    func slicesAreEqualSharesOfABucket(elements: Int) {
        // The bucket in question is not the first, so that its bounds are not those of its slices.
        let layout = BucketLayout(buckets: [0..<100, 100..<100 + elements, 100 + elements..<107 + elements])
        #expect(layout.elementCount == 107 + elements)
        for count in [1, 2, 3, 4, 5, 7, 8, 9, 16, 63, 64, 65, 1_000] {
            let slices = (0..<count).map { layout.slice(of: 1, member: $0, of: count) }
            #expect(slices.first?.lowerBound == 100 && slices.last?.upperBound == 100 + elements)
            for (slice, next) in zip(slices, slices.dropFirst()) {
                #expect(slice.upperBound == next.lowerBound, "\(count) members")
                // A boundary lies on a cache line of the bucket, or at its end.
                let offset = slice.upperBound - 100
                #expect(offset % Self.unit == 0 || offset == elements, "\(count) members: \(slice)")
            }
            // In units no member has more than one more than another; the last unit may be short.
            let units = slices.map { ($0.count + Self.unit - 1) / Self.unit }
            #expect((units.max() ?? 0) - (units.min() ?? 0) <= 1, "\(count) members: \(units)")
            #expect(units.reduce(0, +) == (elements + Self.unit - 1) / Self.unit, "\(count) members")
        }
    }

    @Test func goldenSlices() {
        let layout = BucketLayout(buckets: [0..<300, 300..<301, 301..<301, 301..<1_000])
        func slices(_ bucket: Int, _ count: Int) -> [Range<Int>] {
            (0..<count).map { layout.slice(of: bucket, member: $0, of: count) }
        }
        #expect(slices(0, 1) == [0..<300])
        #expect(slices(0, 2) == [0..<128, 128..<300])
        #expect(slices(0, 3) == [0..<64, 64..<192, 192..<300])
        #expect(slices(0, 7) == [0..<0, 0..<64, 64..<128, 128..<128, 128..<192, 192..<256, 256..<300])
        #expect(slices(1, 3) == [300..<300, 300..<300, 300..<301])
        #expect(slices(2, 2) == [301..<301, 301..<301])
        #expect(slices(3, 3) == [301..<493, 493..<749, 749..<1_000])
    }

    /// Every bucket of a layout, so every element of a step, once.
    @Test func allSlicesOfALayoutCoverItOnce() {
        for seed in 0..<50 as Range<UInt64> {
            var random = SeededNumbers(seed: seed)
            var end = 0
            let buckets = (0..<1 + random.below(9)).map { _ in
                let start = end
                end += random.below(2) == 0 ? random.below(4) : random.below(700)
                return start..<end
            }
            let layout = BucketLayout(buckets: buckets)
            let count = 1 + random.below(12)
            var times = [Int](repeating: 0, count: layout.elementCount)
            for bucket in buckets.indices {
                for member in 0..<count {
                    for element in layout.slice(of: bucket, member: member, of: count) { times[element] += 1 }
                }
            }
            #expect(times.allSatisfy { $0 == 1 }, "seed \(seed)")
        }
    }

    @Test func anEmptyLayoutHasNoElements() {
        #expect(BucketLayout(buckets: []).elementCount == 0)
        #expect(BucketLayout(buckets: [0..<0]).slice(of: 0, member: 0, of: 1).isEmpty)
    }

    @Test func bucketsWithAGapOrAnOverlapAreAMistakeOfTheCaller() async {
        await #expect(processExitsWith: .failure) { _ = BucketLayout(buckets: [0..<2, 3..<4]) }
        await #expect(processExitsWith: .failure) { _ = BucketLayout(buckets: [0..<2, 1..<4]) }
        await #expect(processExitsWith: .failure) { _ = BucketLayout(buckets: [1..<2]) }
    }
}
