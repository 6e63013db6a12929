import Numerics
import Reduction

/// Sums as text: "((0 1) 2)" is leaf 0 plus leaf 1, and leaf 2 added to that.
///
/// Text neither associates nor commutes, so two ways to add give the same text only where each addition has the same
/// operands on the same sides: then they give the same bits for any numbers.
enum Parentheses {
    /// The canonical sum under `node`, by its definition: left half, then right half, where there is one.
    static func canonical(_ node: TreeNode, of tree: SumTree) -> String {
        let node = tree.canonical(node)
        if node.level == 0 { return "\(node.index)" }
        return sum(canonical(node.left, of: tree), canonical(node.right, of: tree))
    }

    static func sum(_ left: String, _ right: String) -> String { "(\(left) \(right))" }

    /// What `steps` make of the canonical sums of `held`, and whether each took two values that were still there.
    static func run(
        _ steps: [SumTree.Addition],
        result: Int,
        over held: [TreeNode],
        of tree: SumTree
    ) -> (text: String, isSound: Bool) {
        var values = held.map { Optional(canonical($0, of: tree)) }
        var isSound = true
        for step in steps {
            guard let left = values[step.destination], let right = values[step.source] else {
                isSound = false
                continue
            }
            values[step.destination] = sum(left, right)
            // Its memory may be used anew.
            values[step.source] = nil
        }
        return (values[result] ?? "nothing", isSound && values.count(where: { $0 != nil }) == 1)
    }
}

/// The ways to hold a tree's leaves as whole nodes.
enum Covers {
    /// All exact covers of `node`, each in leaf order: the node itself, and each cover of its left half with each of its
    /// right one. A tree of 16 leaves has 677, one of 17 has 678.
    static func all(of node: TreeNode, in tree: SumTree) -> [[TreeNode]] {
        let node = tree.canonical(node)
        if node.level == 0 { return [[node]] }
        let rights = all(of: node.right, in: tree)
        return [[node]] + all(of: node.left, in: tree).flatMap { left in rights.map { left + $0 } }
    }

    /// A cover drawn at random: each node is divided with a chance of 3 in 4.
    static func drawn(of node: TreeNode, in tree: SumTree, _ random: inout SeededNumbers) -> [TreeNode] {
        let node = tree.canonical(node)
        if node.level == 0 || random.below(4) == 0 { return [node] }
        return drawn(of: node.left, in: tree, &random) + drawn(of: node.right, in: tree, &random)
    }

    /// The number of covers, by the same rule as `all`.
    static func count(of node: TreeNode, in tree: SumTree) -> Int {
        let node = tree.canonical(node)
        return node.level == 0 ? 1 : 1 + count(of: node.left, in: tree) * count(of: node.right, in: tree)
    }
}

/// Random numbers that a seed repeats.
struct SeededNumbers: RandomNumberGenerator {
    private let sequence: RandomSequence
    private var index = 0

    init(seed: UInt64) { sequence = RandomSequence(seed: seed, purpose: .simulation) }

    mutating func next() -> UInt64 {
        defer { index += 2 }
        return UInt64(sequence.word(index)) << 32 | UInt64(sequence.word(index + 1))
    }

    mutating func below(_ bound: Int) -> Int {
        defer { index += 1 }
        return sequence.integer(index, below: bound)
    }
}
