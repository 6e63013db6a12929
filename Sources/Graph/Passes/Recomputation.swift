/// What a program keeps of its forward pass for its backward pass.
package enum MemoryPolicy: String, Hashable, Sendable, Codable, CaseIterable {
    /// Everything that the backward pass reads.
    case keep
    /// Everything but what memory-bound instructions make once more from what is kept: the outputs of normalisations,
    /// activations and upsamplings. Costs a few passes over memory.
    case lean
    /// The inputs of residual blocks and of upsamplings: the rest, convolutions included, is computed once more (Chen et
    /// al., "Training Deep Nets with Sublinear Memory Cost", 2016).
    case recompute
}

/// Frees feature maps after their last use in the forward pass and computes them once more before their first use in
/// the backward pass.
///
/// Works on roots, the pieces of memory that remain after sharing. A root comes back by the instructions that wrote it,
/// in their order; what they read is kept, or comes back before. The bits are those of the first time: instructions are
/// pure functions of what they read, and the statistics of normalisations are kept.
struct RecomputationPass {
    private(set) var instructions: [ScheduledInstruction]
    /// The roots that are made twice.
    private(set) var recomputed: Set<Int> = []

    private let roots: [Int]
    private let words: [Int]
    /// For each root the forward instructions that write it, and the tensors' roots that these read.
    private var writers: [Int: [Int]] = [:]
    private var forwardReaders: [Int: [Int]] = [:]
    private var backwardUses: [Int: [Int]] = [:]

    /// - Parameters:
    ///   - roots: the root of each tensor, by its number.
    ///   - words: the size of each tensor.
    ///   - external: roots that are the caller's memory.
    init(
        _ instructions: [ScheduledInstruction],
        roots: [Int],
        words: [Int],
        external: Set<Int>,
        policy: MemoryPolicy
    ) {
        self.instructions = instructions
        self.roots = roots
        self.words = words
        guard policy != .keep, let turn = instructions.firstIndex(where: { $0.phase == .backward }) else { return }
        var fixed = external
        for (index, scheduled) in instructions.enumerated() {
            let reads = Set(scheduled.instruction.reads.map { roots[$0] })
            let writes = Set(scheduled.instruction.writes.map { roots[$0] })
            if index < turn {
                for root in reads { forwardReaders[root, default: []].append(index) }
                for root in writes { writers[root, default: []].append(index) }
            } else {
                for root in reads { backwardUses[root, default: []].append(index) }
                fixed.formUnion(writes)
            }
        }
        let candidates = writers.keys.filter { root in
            !fixed.contains(root) && backwardUses[root] != nil && isReproducible(root, policy)
        }
        let chosen =
            policy == .lean ? shallow(candidates, turn: turn) : deep(candidates, turn: turn)
        recomputed = chosen
        insert(chosen, turn: turn)
    }

    /// For each root the instructions between which it holds something.
    func uses(roots: [Int]) -> [Int: [ClosedRange<Int>]] {
        let read = Set(instructions.flatMap { $0.instruction.reads.map { roots[$0] } })
        var uses: [Int: [ClosedRange<Int>]] = [:]
        var returned: Set<Int> = []
        for (index, scheduled) in instructions.enumerated() {
            let written = Set(scheduled.instruction.writes.map { roots[$0] })
            for root in written.union(scheduled.instruction.reads.map { roots[$0] }) {
                let comesBack =
                    scheduled.isRecomputation && recomputed.contains(root) && written.contains(root)
                    && returned.insert(root).inserted
                // What nothing reads is scratch memory: it is free between two instructions.
                if comesBack || !read.contains(root) || uses[root] == nil {
                    uses[root, default: []].append(index...index)
                } else if let last = uses[root]?.popLast() {
                    uses[root]?.append(last.lowerBound...index)
                }
            }
        }
        return uses
    }

    // MARK: Facts

    private func isReproducible(_ root: Int, _ policy: MemoryPolicy) -> Bool {
        (writers[root] ?? []).allSatisfy { index in
            let scheduled = instructions[index]
            guard let again = scheduled.instruction.recomputation else { return false }
            if policy == .lean && scheduled.flops > 0 { return false }
            // All that the first time wrote of this root must be written the second time.
            let first = Set(scheduled.instruction.writes.filter { roots[$0] == root })
            return first.isSubset(of: Set(again.writes))
        }
    }

    /// The roots that must be there for `root` to be made again.
    private func inputs(of root: Int) -> Set<Int> {
        var needed: Set<Int> = []
        for index in writers[root] ?? [] {
            guard let again = instructions[index].instruction.recomputation else { continue }
            needed.formUnion(again.reads.map { roots[$0] })
        }
        needed.remove(root)
        return needed
    }

    // MARK: Choices

    /// The largest first: roots made from kept ones only.
    private func shallow(_ candidates: [Int], turn: Int) -> Set<Int> {
        // Freed for a moment only, a root would cost time and save nothing.
        let shortest = 12
        var chosen: Set<Int> = []
        var kept: Set<Int> = []
        let order = candidates.sorted { (words[$1], $0) < (words[$0], $1) }
        for root in order where !kept.contains(root) {
            let needed = inputs(of: root)
            let last = max(forwardReaders[root]?.last ?? 0, writers[root]?.last ?? 0)
            guard let next = backwardUses[root]?.first, next - last >= shortest, needed.isDisjoint(with: chosen)
            else { continue }
            chosen.insert(root)
            kept.formUnion(needed)
        }
        return chosen
    }

    /// All but the inputs of branches and of what makes more of them.
    private func deep(_ candidates: [Int], turn: Int) -> Set<Int> {
        Set(
            candidates.filter { root in
                let readers = forwardReaders[root] ?? []
                if readers.count > 1 { return false }
                let grows = readers.contains { index in
                    instructions[index].instruction.writes.contains { id in
                        // What nothing reads is scratch memory.
                        let isRead = forwardReaders[roots[id]] != nil || backwardUses[roots[id]] != nil
                        return isRead && words[id] > 2 * words[root]
                    }
                }
                return !grows
            }
        )
    }

    // MARK: The new list

    private mutating func insert(_ chosen: Set<Int>, turn: Int) {
        var result = Array(instructions[..<turn])
        var returned: Set<Int> = []
        func bringBack(_ root: Int) {
            guard chosen.contains(root), returned.insert(root).inserted else { return }
            for input in inputs(of: root).sorted() { bringBack(input) }
            for index in writers[root] ?? [] {
                var scheduled = instructions[index]
                guard let again = scheduled.instruction.recomputation else { continue }
                scheduled.instruction = again
                scheduled.phase = .backward
                scheduled.isRecomputation = true
                scheduled.completes = []
                result.append(scheduled)
            }
        }
        for scheduled in instructions[turn...] {
            for id in scheduled.instruction.reads { bringBack(roots[id]) }
            result.append(scheduled)
        }
        instructions = result
    }
}
