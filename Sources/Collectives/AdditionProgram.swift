import Reduction

/// The canonical sum over a plan's contributions as operations on blocks that fit the cache.
///
/// Contributions are read-only memory of other processes, so the first addition to each goes into scratch memory, and
/// the last one into the sum itself.
struct AdditionProgram {
    /// Elements that are added at a time.
    static let blockCount = 2048

    private enum Operand {
        case source(Int)
        case scratch(Int)
        case sum
    }

    private enum Operation {
        case sum(Operand, Operand, into: Operand)
        case add(Operand, to: Operand)
    }

    private var operations: [Operation] = []
    /// The contribution that is the sum where nothing is added.
    private var onlySource = 0
    private(set) var scratchCount = 0

    /// Nil where `nodes` does not cover the tree.
    init?(tree: SumTree, nodes: [TreeNode]) {
        guard let (result, steps) = tree.additions(over: nodes, into: tree.root) else { return nil }
        onlySource = result
        var location = nodes.indices.map(Operand.source)
        var free: [Int] = []
        for step in steps {
            let (destination, source) = (location[step.destination], location[step.source])
            if case .source = destination {
                let target: Operand
                if step.destination == result {
                    target = .sum
                } else if let reused = free.popLast() {
                    target = .scratch(reused)
                } else {
                    target = .scratch(scratchCount)
                    scratchCount += 1
                }
                operations.append(.sum(destination, source, into: target))
                location[step.destination] = target
            } else {
                operations.append(.add(source, to: destination))
            }
            if case .scratch(let index) = source { free.append(index) }
        }
    }

    /// Adds `count` elements (at most `blockCount`) of `sources` into `sum`; `scratch` holds `scratchCount` blocks.
    ///
    /// `rounds`: every sum to bfloat16, as the sources are.
    func run(
        sources: UnsafeBufferPointer<UnsafePointer<Float>>,
        into sum: UnsafeMutablePointer<Float>,
        count: Int,
        scratch: UnsafeMutablePointer<Float>,
        additions: VectorAdditions,
        rounds: Bool
    ) {
        if operations.isEmpty {
            sum.update(from: sources[onlySource], count: count)
            return
        }
        func reading(_ operand: Operand) -> UnsafePointer<Float> {
            switch operand {
            case .source(let index): sources[index]
            case .scratch(let index): UnsafePointer(scratch + index * Self.blockCount)
            case .sum: UnsafePointer(sum)
            }
        }
        func writing(_ operand: Operand) -> UnsafeMutablePointer<Float> {
            if case .scratch(let index) = operand { scratch + index * Self.blockCount } else { sum }
        }
        for operation in operations {
            switch operation {
            case .sum(let a, let b, let target):
                let sum = rounds ? additions.sumRounded : additions.sum
                sum(reading(a), reading(b), writing(target), count)
            case .add(let a, let target):
                if rounds {
                    additions.sumRounded(reading(target), reading(a), writing(target), count)
                } else {
                    additions.add(writing(target), reading(a), count)
                }
            }
        }
    }
}
