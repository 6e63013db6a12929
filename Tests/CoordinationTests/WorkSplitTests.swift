import Coordination
import Reduction
import Testing

@Suite struct WorkSplitTests {
    @Test(arguments: 1...9, [1, 2, 3, 5, 8, 16, 17, 64, 100])
    func runsCoverTheLeavesInTheFewestRounds(workers: Int, leafCount: Int) {
        for variant in 0..<4 {
            let capacities = (0..<workers).map { 1 + ($0 * variant) % 4 }
            let runs = WorkSplit.runs(leafCount: leafCount, capacities: capacities)
            #expect(runs.count == workers)
            #expect(runs.flatMap(Array.init) == Array(0..<leafCount))
            let rounds = (leafCount + capacities.reduce(0, +) - 1) / capacities.reduce(0, +)
            for (run, capacity) in zip(runs, capacities) { #expect(run.count <= rounds * capacity) }
            if leafCount >= workers { #expect(runs.allSatisfy { !$0.isEmpty }) }
        }
    }

    @Test func boundariesLieOnWideNodes() {
        // Two and four equal workers of a power of two: one node each.
        for workers in [2, 4, 8] {
            let runs = WorkSplit.runs(leafCount: 16, capacities: [Int](repeating: 1, count: workers))
            #expect(runs.map(\.count) == [Int](repeating: 16 / workers, count: workers))
        }
        // Three: any split with 6 rounds is as fast, so boundaries move from 5 and 11 to even leaves.
        let runs = WorkSplit.runs(leafCount: 16, capacities: [1, 1, 1])
        let tree = SumTree(leafCount: 16)
        let nodes = runs.reduce(0) { $0 + tree.cover(of: $1).count }
        let proportional = [0..<5, 5..<11, 11..<16].reduce(0) { $0 + tree.cover(of: $1).count }
        #expect(nodes < proportional)
        #expect(runs.allSatisfy { $0.count <= 6 })
    }

    @Test func capacityCounts() {
        #expect(WorkSplit.runs(leafCount: 16, capacities: [3, 1]).map(\.count) == [12, 4])
        #expect(WorkSplit.runs(leafCount: 1, capacities: [1, 1, 1]).map(\.count).reduce(0, +) == 1)
    }

    @Test(arguments: 1...9)
    func plansAreExact(workers: Int) {
        let members = (0..<workers).map {
            Member(
                worker: WorkerNumber($0 * 3),
                hostName: "h",
                hostIdentity: "b",
                threads: UInt32(1 + $0 % 3),
                endpoints: []
            )
        }
        for leafCount in 1...40 {
            let plan = WorkSplit.plan(step: 5, generation: 2, leafCount: leafCount, members: members)
            #expect(plan.defect == nil)
            let assignment = Assignment(plan: plan, membership: 1, wantsStateDigest: false)
            #expect(members.flatMap { assignment.microbatches(of: $0.worker) } == Array(0..<leafCount))
        }
    }

    @Test func sharesOfACheckpointAreDisjointAndCoverIt() {
        let lists = [
            [], [5], [0, 0, 0], [1, 1, 1, 1], [100, 1, 1, 1], [1, 1, 1, 100], Array(1...50), [7, 0, 7, 0, 7],
        ]
        for sizes in lists {
            for parts in 1...9 {
                let ranges = (0..<parts).map {
                    CheckpointShare(part: UInt32($0), parts: UInt32(parts)).tensors(byteCounts: sizes)
                }
                #expect(ranges.flatMap(Array.init) == Array(sizes.indices))
            }
        }
        let halves = (0..<2).map { CheckpointShare(part: $0, parts: 2).tensors(byteCounts: Array(1...100)) }
        let bytes = halves.map { $0.reduce(0) { $0 + $1 + 1 } }
        #expect(abs(bytes[0] - bytes[1]) <= 100)
    }
}
