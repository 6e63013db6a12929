import Collectives
import KernelSelection
import Reduction
import TestSupport
import Testing
import WorkerRuntime

@Suite struct NodeFoldTests {
    /// Leaves that finish bucket by bucket in any order give the bits of the reference tree.
    @Test(arguments: KernelVariant.allCases.filter(\.isSupported))
    func foldsAreTheReferencesBits(variant: KernelVariant) throws {
        // The same orders for every variant, so that one that fails alone is to blame itself.
        let seed: UInt64 = 20_240
        var random = SeededRandom(seed: seed)
        let layout = BucketLayout(buckets: [0..<100, 100..<437, 437..<700])
        let pattern = TestPattern.random
        for leafCount in 1...9 {
            let tree = SumTree(leafCount: leafCount)
            for roundedCount in [0, 99, 500, 700] {
                // A node in the middle of the tree as well as all of it.
                for node in Set([tree.root, tree.canonical(tree.isSum(tree.root) ? tree.root.left : tree.root)]) {
                    let memory = UnsafeMutablePointer<Float>.allocate(capacity: 716)
                    defer { memory.deallocate() }
                    memory.initialize(repeating: 0, count: 716)
                    let fold = NodeFold(
                        node: node,
                        tree: tree,
                        layout: layout,
                        buffer: memory,
                        scratch: ScratchVectors(count: 716),
                        kernels: variant.table,
                        roundedCount: roundedCount
                    )
                    var order: [(leaf: Int, bucket: Int)] = []
                    for leaf in fold.leaves {
                        let sums = try fold.buffer(of: leaf)
                        let values = UnsafeMutableBufferPointer(start: sums, count: layout.elementCount)
                        pattern.fill(values, first: 0, leaf: leaf, step: 1)
                        order += layout.buckets.indices.map { (leaf, $0) }
                    }
                    order.shuffle(using: &random)
                    let complete = order.filter { fold.finished(leaf: $0.leaf, bucket: $0.bucket) }
                    #expect(complete.map(\.bucket).sorted() == Array(layout.buckets.indices))
                    var wrong = 0
                    pattern.forEachBlock(
                        of: 0..<layout.elementCount,
                        node,
                        tree,
                        step: 1,
                        roundedCount: roundedCount
                    ) { first, expected in
                        for index in expected.indices
                        where expected[index].bitPattern != memory[first + index].bitPattern { wrong += 1 }
                    }
                    #expect(
                        wrong == 0,
                        "\(node) of \(leafCount) leaves, \(roundedCount) rounded, seed \(seed): \(order)"
                    )
                }
            }
        }
    }
}
