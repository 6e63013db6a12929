import Reduction
import Testing

/// The order of the sum, which is part of the contract of a run: another order is another hash.
@Suite struct SumTreeTests {
    /// The trees as they were when the first run was hashed, written out: nothing computes them.
    static let golden = [
        "0",
        "(0 1)",
        "((0 1) 2)",
        "((0 1) (2 3))",
        "(((0 1) (2 3)) 4)",
        "(((0 1) (2 3)) (4 5))",
        "(((0 1) (2 3)) ((4 5) 6))",
        "(((0 1) (2 3)) ((4 5) (6 7)))",
        "((((0 1) (2 3)) ((4 5) (6 7))) 8)",
        "((((0 1) (2 3)) ((4 5) (6 7))) (8 9))",
        "((((0 1) (2 3)) ((4 5) (6 7))) ((8 9) 10))",
        "((((0 1) (2 3)) ((4 5) (6 7))) ((8 9) (10 11)))",
        "((((0 1) (2 3)) ((4 5) (6 7))) (((8 9) (10 11)) 12))",
        "((((0 1) (2 3)) ((4 5) (6 7))) (((8 9) (10 11)) (12 13)))",
        "((((0 1) (2 3)) ((4 5) (6 7))) (((8 9) (10 11)) ((12 13) 14)))",
        "((((0 1) (2 3)) ((4 5) (6 7))) (((8 9) (10 11)) ((12 13) (14 15))))",
        "(((((0 1) (2 3)) ((4 5) (6 7))) (((8 9) (10 11)) ((12 13) (14 15)))) 16)",
    ]

    @Test(arguments: 1...17)
    func leavesAreAddedInTheGoldenOrder(leafCount: Int) throws {
        let tree = SumTree(leafCount: leafCount)
        let golden = Self.golden[leafCount - 1]
        #expect(Parentheses.canonical(tree.root, of: tree) == golden)
        let leaves = (0..<leafCount).map(TreeNode.leaf)
        let program = try #require(tree.additions(over: leaves, into: tree.root))
        let sum = Parentheses.run(program.steps, result: program.result, over: leaves, of: tree)
        #expect(sum.text == golden)
        #expect(sum.isSound && program.steps.count == leafCount - 1 && program.result == 0)
    }

    /// Whoever holds what: each cover gives the parentheses of the tree, in whichever order its nodes are listed.
    @Test(arguments: 1...17)
    func everyCoverGivesTheSameParentheses(leafCount: Int) throws {
        let tree = SumTree(leafCount: leafCount)
        let seed = UInt64(leafCount)
        var random = SeededNumbers(seed: seed)
        // The whole, and both of its halves as sums of their own.
        for target in [tree.root, tree.root.left, tree.root.right] where target.level >= 0 {
            guard !tree.leaves(of: target).isEmpty else { continue }
            let whole = Parentheses.canonical(target, of: tree)
            let covers = Covers.all(of: target, in: tree)
            #expect(Set(covers).count == Covers.count(of: target, in: tree))
            for cover in covers {
                for held in [cover, cover.shuffled(using: &random)] {
                    let program = try #require(tree.additions(over: held, into: target), "\(held)")
                    let sum = Parentheses.run(program.steps, result: program.result, over: held, of: tree)
                    #expect(sum.text == whole && sum.isSound, "\(held), seed \(seed)")
                    #expect(program.steps.count == held.count - 1, "\(held)")
                    // The sum ends where the first leaf is.
                    #expect(tree.leaves(of: held[program.result]).lowerBound == tree.leaves(of: target).lowerBound)
                }
            }
        }
    }

    @Test func theNumberOfCoversIsKnown() {
        let counts = [1, 2, 4, 8, 12, 16, 17].map { leafCount in
            let tree = SumTree(leafCount: leafCount)
            return Covers.all(of: tree.root, in: tree).count
        }
        // c(n) = 1 + c(left) · c(right): the tests above see all of them, and not a few.
        #expect(counts == [1, 2, 5, 26, 131, 677, 678])
    }

    /// Trees too large to try all of their covers.
    @Test(arguments: [18, 31, 32, 33, 63, 64, 65, 100, 255, 257, 1000])
    func drawnCoversOfLargeTreesDoToo(leafCount: Int) throws {
        let tree = SumTree(leafCount: leafCount)
        let whole = Parentheses.canonical(tree.root, of: tree)
        for seed in 0..<20 as Range<UInt64> {
            var random = SeededNumbers(seed: seed << 32 | UInt64(leafCount))
            let held = Covers.drawn(of: tree.root, in: tree, &random).shuffled(using: &random)
            let program = try #require(tree.additions(over: held, into: tree.root), "seed \(seed)")
            let sum = Parentheses.run(program.steps, result: program.result, over: held, of: tree)
            #expect(sum.text == whole && sum.isSound, "seed \(seed)")
        }
    }

    /// Threads add what is ready. A step waits for the earlier ones that write its operands, and for no other.
    @Test(arguments: 2...17)
    func stepsOnDisjointSubtreesMayTradePlaces(leafCount: Int) throws {
        let tree = SumTree(leafCount: leafCount)
        let whole = Parentheses.canonical(tree.root, of: tree)
        for seed in 0..<8 as Range<UInt64> {
            var random = SeededNumbers(seed: seed << 32 | UInt64(leafCount))
            let held = Covers.drawn(of: tree.root, in: tree, &random)
            let program = try #require(tree.additions(over: held, into: tree.root))
            var waiting = program.steps
            var order: [SumTree.Addition] = []
            while !waiting.isEmpty {
                let ready = waiting.indices.filter { position in
                    let step = waiting[position]
                    return waiting[..<position].allSatisfy {
                        $0.destination != step.destination && $0.destination != step.source
                    }
                }
                order.append(waiting.remove(at: ready[random.below(ready.count)]))
            }
            let sum = Parentheses.run(order, result: program.result, over: held, of: tree)
            #expect(sum.text == whole && sum.isSound, "\(held), seed \(seed)")
        }
    }

    // MARK: Names

    @Test func aNodeHasOneCanonicalNameAmongMany() {
        // Five leaves: the fifth is also the right half of the root, and what lies between.
        let five = SumTree(leafCount: 5)
        for level in 0...2 {
            #expect(five.canonical(TreeNode(level: level, index: 4 >> level)) == .leaf(4), "level \(level)")
        }
        #expect(five.canonical(TreeNode(level: 2, index: 0)) == TreeNode(level: 2, index: 0))
        // Above the root there is the root again.
        #expect(five.canonical(TreeNode(level: 9, index: 0)) == five.root)
        #expect(five.isSum(five.root) && !five.isSum(TreeNode(level: 1, index: 2)) && !five.isSum(.leaf(0)))
    }

    @Test(arguments: 1...17)
    func additionsTakeEveryNameOfANode(leafCount: Int) throws {
        let tree = SumTree(leafCount: leafCount)
        for cover in Covers.all(of: tree.root, in: tree) {
            // The highest name of each node instead of the lowest.
            let aliases = cover.map { node in
                var highest = node
                while highest.level < tree.rootLevel && tree.canonical(highest.parent) == node {
                    highest = highest.parent
                }
                return highest
            }
            let (named, plain) = (
                try #require(tree.additions(over: aliases, into: tree.root)),
                try #require(tree.additions(over: cover, into: tree.root))
            )
            #expect(named.result == plain.result && named.steps == plain.steps, "\(aliases)")
        }
    }

    @Test func theRootIsTheSmallestNodeOverAllLeaves() {
        let levels = (1...17).map { SumTree(leafCount: $0).rootLevel }
        #expect(levels == [0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5])
        #expect(SumTree(leafCount: 1 << 20).rootLevel == 20)
        #expect(SumTree(leafCount: 1 << 20 + 1).rootLevel == 21)
    }

    @Test func relativesAndOrder() {
        let node = TreeNode(level: 2, index: 3)
        #expect(node.firstLeaf == 12 && node.description == "2:3")
        #expect(node.left == TreeNode(level: 1, index: 6) && node.right == TreeNode(level: 1, index: 7))
        #expect(node.left.parent == node && node.right.parent == node)
        let tree = SumTree(leafCount: 14)
        #expect(tree.leaves(of: node) == 12..<14 && tree.leaves(of: TreeNode(level: 1, index: 7)).isEmpty)
        // By first leaf, wider ones first.
        let sorted = [TreeNode.leaf(12), node, TreeNode.leaf(11), TreeNode(level: 1, index: 6)].sorted()
        #expect(sorted == [.leaf(11), node, TreeNode(level: 1, index: 6), .leaf(12)])
    }

    // MARK: Covers of ranges

    /// Every range of every tree: the cover is exact, in order, by canonical names, and no shorter one exists.
    @Test(arguments: 1...17)
    func coversOfRangesAreTheFewestNodes(leafCount: Int) {
        let tree = SumTree(leafCount: leafCount)
        var nodes: Set<TreeNode> = []
        func collect(_ node: TreeNode) {
            let node = tree.canonical(node)
            nodes.insert(node)
            if node.level > 0 { for child in [node.left, node.right] { collect(child) } }
        }
        collect(tree.root)
        #expect(nodes.count == 2 * leafCount - 1)
        let spans = nodes.map { tree.leaves(of: $0) }
        for lower in 0...leafCount {
            // The fewest nodes that cover lower..<end, by trying each last node.
            var fewest = [Int](repeating: .max, count: leafCount + 1)
            fewest[lower] = 0
            for upper in lower...leafCount {
                for span in spans where span.upperBound == upper && span.lowerBound >= lower {
                    if fewest[span.lowerBound] != .max {
                        fewest[upper] = min(fewest[upper], fewest[span.lowerBound] + 1)
                    }
                }
                let cover = tree.cover(of: lower..<upper)
                #expect(cover.flatMap { Array(tree.leaves(of: $0)) } == Array(lower..<upper))
                #expect(cover.allSatisfy { tree.canonical($0) == $0 }, "\(cover)")
                #expect(cover.count == fewest[upper], "\(lower)..<\(upper): \(cover)")
            }
        }
    }

    @Test func rangesBeyondTheLeavesAreCoveredAsFarAsThereAreLeaves() {
        let tree = SumTree(leafCount: 5)
        #expect(tree.cover(of: -3..<100) == [tree.root])
        #expect(tree.cover(of: 3..<100) == [.leaf(3), .leaf(4)])
        #expect(tree.cover(of: 5..<100).isEmpty && tree.cover(of: 2..<2).isEmpty)
    }

    // MARK: What is no cover

    /// From every exact cover: one node too few, one twice, one with a part of it or with what it is a part of.
    @Test(arguments: 1...12)
    func whatIsNoExactCoverHasNoAdditions(leafCount: Int) {
        let tree = SumTree(leafCount: leafCount)
        for cover in Covers.all(of: tree.root, in: tree) {
            for position in cover.indices {
                var missing = cover
                missing.remove(at: position)
                #expect(tree.additions(over: missing, into: tree.root) == nil, "\(missing)")
                let node = cover[position]
                #expect(tree.additions(over: cover + [node], into: tree.root) == nil, "\(node) twice in \(cover)")
                if node.level > 0 {
                    #expect(tree.additions(over: cover + [node.left], into: tree.root) == nil, "\(node) and its left")
                    #expect(tree.additions(over: [node.right] + cover, into: tree.root) == nil, "\(node) and its right")
                }
                if node != tree.root {
                    #expect(tree.additions(over: cover + [tree.root], into: tree.root) == nil, "\(cover) and the root")
                }
            }
        }
    }

    @Test func theSameNodeByTwoNamesIsThereTwice() {
        let tree = SumTree(leafCount: 5)
        let held = [TreeNode(level: 2, index: 0), .leaf(4), TreeNode(level: 1, index: 2)]
        #expect(tree.additions(over: held, into: tree.root) == nil)
    }

    @Test(arguments: [
        TreeNode.leaf(3), .leaf(-1), TreeNode(level: 1, index: 2), TreeNode(level: -1, index: 0),
        TreeNode(level: 62, index: 1), TreeNode(level: 63, index: 1), TreeNode(level: 64, index: 0),
        TreeNode(level: .max, index: .max), TreeNode(level: .min, index: .min), TreeNode(level: 0, index: .max),
        TreeNode(level: 60, index: 8),
    ])
    func nodesThatTheTreeDoesNotHaveAreNoPartOfACover(stranger: TreeNode) {
        let tree = SumTree(leafCount: 3)
        #expect(tree.additions(over: [tree.root, stranger], into: tree.root) == nil)
        #expect(tree.additions(over: [stranger], into: tree.root) == nil)
        #expect(tree.additions(over: [.leaf(0), .leaf(1), stranger], into: tree.root) == nil)
        #expect(tree.additions(over: [], into: tree.root) == nil)
    }

    @Test func aSumOfNothingIsAMistakeOfTheCaller() async {
        await #expect(processExitsWith: .failure) { _ = SumTree(leafCount: 0) }
        await #expect(processExitsWith: .failure) { _ = SumTree(leafCount: -1) }
    }
}
