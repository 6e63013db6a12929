import Collectives
import Foundation
import KernelSelection
import Reduction
import Synchronization
import Testing

@Suite(.serialized, .timeLimit(.minutes(15)))
struct AllreduceTests {
    @Test("Sums are the canonical bits for any number of microbatches and members", arguments: Wiring.allCases)
    func sumsAreCanonical(_ wiring: Wiring) async throws {
        // Odd sizes: below, at and above a slice's unit of 64 elements, an empty bucket, one of a single element.
        let layout = BucketLayout(sizes: [63, 64, 65, 0, 1, 5003, 2048])
        for count in 1...5 {
            let group = try Group(count, layout: layout, wiring: wiring)
            for leaves in 1...9 {
                let plan = ReductionPlan.even(
                    step: UInt64(leaves),
                    leaves: leaves,
                    members: (0..<count).map(UInt32.init)
                )
                _ = try await group.step(plan)
            }
            group.close()
        }
    }

    @Test("Rounded sums are those of the rounded tree, for any number of members", arguments: Wiring.allCases)
    func roundedSums(_ wiring: Wiring) async throws {
        let layout = BucketLayout(sizes: [63, 64, 65, 0, 1, 5003, 2048])
        // The end of the rounded elements inside a slice at odd places, at a bucket's end, in front of and behind all.
        for roundedCount in [1, 127, 128, 2501, 4444, layout.elementCount - 3, layout.elementCount] {
            for count in [1, 2, 3, 5] {
                for additions in [VectorAdditions.portable, VectorAdditions(KernelVariant.best.table)] {
                    let group = try Group(
                        count,
                        layout: layout,
                        wiring: wiring,
                        roundedCount: roundedCount,
                        additions: additions
                    )
                    let members = (0..<count).map(UInt32.init)
                    for leaves in [1, 2, 3, 7] {
                        _ = try await group.step(.even(step: UInt64(leaves), leaves: leaves, members: members))
                    }
                    group.close()
                }
            }
        }
    }

    @Test("Rounded elements take half the bytes, in slices larger than a frame")
    func roundedFrames() async throws {
        let layout = BucketLayout(sizes: [1_100_003, 700_001])
        var bytes: [Int] = []
        for roundedCount in [0, 1_500_001] {
            let group = try Group(3, layout: layout, wiring: .zeromq, roundedCount: roundedCount)
            for step in 0..<2 {
                _ = try await group.step(.even(step: UInt64(step), leaves: 4, members: [0, 1, 2]))
            }
            bytes.append(group.sent.withLock { $0 })
            group.close()
        }
        // Each element crosses as often as there are receivers of its nodes and sums, rounded or not.
        let rest = layout.elementCount - 1_500_001
        #expect(bytes[0] > 0)
        let ratio = Double(2 * 1_500_001 + 4 * rest) / Double(4 * layout.elementCount)
        #expect(abs(Double(bytes[1]) / Double(bytes[0]) - ratio) < 0.05, "\(bytes)")
    }

    @Test("Slices larger than a frame", arguments: Wiring.allCases)
    func largeSlices(_ wiring: Wiring) async throws {
        let layout = BucketLayout(sizes: [1_100_003, 700_001])
        let group = try Group(3, layout: layout, wiring: wiring)
        for step in 0..<3 {
            _ = try await group.step(.even(step: UInt64(step), leaves: 4, members: [0, 1, 2]))
        }
        group.close()
    }

    @Test("An empty vector, and members without microbatches")
    func nothingToAdd() async throws {
        let empty = try Group(2, layout: BucketLayout(sizes: []), wiring: .sharedMemory)
        _ = try await empty.step(.even(step: 0, leaves: 2, members: [0, 1]))
        empty.close()
        let layout = BucketLayout(sizes: [500])
        for wiring in Wiring.allCases {
            let group = try Group(3, layout: layout, wiring: wiring)
            // Member 1 owns everything; 0 and 2 own slices alone.
            let plan = ReductionPlan(
                step: 7,
                generation: 0,
                tree: SumTree(leafCount: 4),
                members: [0, 1, 2],
                contributions: [.init(node: TreeNode(level: 2, index: 0), owner: 1)]
            )
            _ = try await group.step(plan)
            group.close()
        }
    }

    @Test("The digest does not depend on the transport, and changes with any element")
    func digestIsOfTheSums() async throws {
        let layout = BucketLayout(sizes: [3000, 1000])
        var digests: [UInt64] = []
        for wiring in Wiring.allCases {
            let group = try Group(3, layout: layout, wiring: wiring)
            digests.append(try await group.step(.even(step: 5, leaves: 6, members: [0, 1, 2])))
            group.close()
        }
        #expect(Set(digests).count == 1)
        let group = try Group(3, layout: layout, wiring: .sharedMemory)
        let other = try await group.step(.even(step: 6, leaves: 6, members: [0, 1, 2]))
        #expect(!digests.contains(other))
        group.close()
    }

    @Test("Gathered sums are the same, in private memory")
    func gathering() async throws {
        let layout = BucketLayout(sizes: [4000, 777])
        for wiring in Wiring.allCases {
            let group = try Group(3, layout: layout, wiring: wiring)
            let plan = ReductionPlan.even(step: 0, leaves: 5, members: [0, 1, 2])
            try await withThrowingTaskGroup(of: Int.self) { tasks in
                for member in group.members {
                    tasks.addTask {
                        try await onThread {
                            let memory = UnsafeMutablePointer<Float>.allocate(capacity: layout.elementCount)
                            defer { memory.deallocate() }
                            let nodes = try member.begin(plan: plan, peers: group.addresses, gather: memory)
                            contribute(nodes, to: member, plan: plan, layout: layout)
                            let sums = try member.waitReduced(within: .seconds(30))
                            var bases: Set<UnsafePointer<Float>> = []
                            sums.forEachPiece(in: 0..<layout.elementCount) { piece, values in
                                bases.insert(values - piece.lowerBound)
                            }
                            member.release(step: 0)
                            return bases == [UnsafePointer(memory)]
                                ? wrongElements(sums, plan: plan, layout: layout) : -1
                        }
                    }
                }
                for try await wrong in tasks { #expect(wrong == 0) }
            }
            group.close()
        }
    }

    @Test("A member that is alone reads the sum where its node stands", arguments: Wiring.allCases)
    func oneNodeIsTheSum(_ wiring: Wiring) async throws {
        let layout = BucketLayout(sizes: [70_000, 0, 777])
        let group = try Group(1, layout: layout, wiring: wiring)
        defer { group.close() }
        let member = group.members[0]
        for step in 0..<3 {
            let plan = ReductionPlan.even(step: UInt64(step), leaves: 5, members: [0])
            let (sums, buffer) = try await onThread {
                let nodes = try member.begin(plan: plan, peers: [])
                contribute(nodes, to: member, plan: plan, layout: layout)
                return (try member.waitReduced(within: .seconds(30)), nodes.map { UInt(bitPattern: $0.buffer) })
            }
            var bases: Set<UInt> = []
            sums.forEachPiece(in: 0..<layout.elementCount) { piece, values in
                bases.insert(UInt(bitPattern: values - piece.lowerBound))
            }
            #expect(bases == Set(buffer))
            #expect(wrongElements(sums, plan: plan, layout: layout) == 0)
            member.release(step: plan.step)
        }
    }

    @Test("Memory of the sums is not written again before everybody has released it", arguments: Wiring.allCases)
    func releaseGuardsTheSums(_ wiring: Wiring) async throws {
        let layout = BucketLayout(sizes: [2000])
        let group = try Group(3, layout: layout, wiring: wiring)
        let first = ReductionPlan.even(step: 0, leaves: 3, members: [0, 1, 2])
        let second = ReductionPlan.even(step: 1, leaves: 3, members: [0, 1, 2])
        // Member 2 keeps reading the sums of step 0 while the others go on.
        let kept = try await withThrowingTaskGroup(of: ReducedSums?.self) { tasks in
            for (index, member) in group.members.enumerated() {
                tasks.addTask {
                    try await onThread {
                        let nodes = try member.begin(plan: first, peers: group.addresses)
                        contribute(nodes, to: member, plan: first, layout: layout)
                        let sums = try member.waitReduced(within: .seconds(30))
                        if index != 2 { member.release(step: 0) }
                        return index == 2 ? sums : nil
                    }
                }
            }
            return try #require(try await tasks.reduce(nil) { $0 ?? $1 })
        }
        for member in group.members {
            let nodes = try member.begin(plan: second, peers: group.addresses)
            contribute(nodes, to: member, plan: second, layout: layout)
        }
        let error = await #expect(throws: AllreduceError.self) {
            try await onThread { try group.members[0].waitReduced(within: .milliseconds(300)) }
        }
        #expect("\(try #require(error))".contains("[2] have not released") || wiring != .sharedMemory)
        #expect(wrongElements(kept, plan: first, layout: layout) == 0)
        group.members[2].release(step: 0)
        for member in group.members {
            let sums = try await onThread { try member.waitReduced(within: .seconds(30)) }
            #expect(wrongElements(sums, plan: second, layout: layout) == 0)
        }
        group.close()
    }

    @Test("Plans that cannot be followed are refused")
    func badPlans() throws {
        let group = try Group(2, layout: BucketLayout(sizes: [100]), maximumNodes: 1, wiring: .sharedMemory)
        defer { group.close() }
        let member = group.members[0]
        let good = ReductionPlan.even(step: 0, leaves: 2, members: [0, 1])
        func expectRefusal(_ word: String, _ plan: ReductionPlan, _ peers: [PeerAddress]) {
            #expect {
                try member.begin(plan: plan, peers: peers)
            } throws: {
                "\($0)".contains(word)
            }
        }
        expectRefusal("not among its members", .even(step: 0, leaves: 2, members: [1, 2]), group.addresses)
        expectRefusal("no address", good, [])
        var crowded = good
        crowded.contributions[1].owner = 0
        expectRefusal("has memory for 1", crowded, group.addresses)
        var holes = good
        holes.contributions.removeLast()
        expectRefusal("do not cover", holes, group.addresses)
        _ = try? member.begin(plan: good, peers: group.addresses)
        expectRefusal("begun before", good, group.addresses)
    }

    @Test("A region is only taken for what it is, and can only be written by its owner")
    func regionsAreChecked() throws {
        let layout = BucketLayout(sizes: [100])
        let group = try Group(2, layout: layout, wiring: .sharedMemory)
        let other = try Group(1, layout: BucketLayout(sizes: [5000]), wiring: .sharedMemory)
        defer {
            group.close()
            other.close()
        }
        let plan = ReductionPlan.even(step: 0, leaves: 2, members: [0, 1])
        let good = group.addresses[1]
        func expectRefusal(_ word: String, _ change: (inout PeerAddress) -> Void) {
            var address = good
            change(&address)
            #expect {
                try group.members[0].begin(plan: plan, peers: [address])
            } throws: {
                "\($0)".contains(word) && "\($0)".contains("Worker 1")
            }
        }
        expectRefusal("another incarnation") { $0.incarnation ^= 1 }
        expectRefusal("another worker") { $0.region = group.addresses[0].region }
        expectRefusal("bytes and not") { $0.region = other.addresses[0].region }
        expectRefusal("cannot be opened") { $0.region = 9999 }
        expectRefusal("is not a pipe") { $0.doorbell = good.region }
        expectRefusal("does not share this host") { $0.host = "elsewhere" }

        let descriptor = open("/proc/self/fd/\(good.region)", O_RDWR | O_CLOEXEC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        #expect(mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) == MAP_FAILED)
        #expect(write(descriptor, "x", 1) == -1)
        #expect(ftruncate(descriptor, 0) == -1)
    }
}
