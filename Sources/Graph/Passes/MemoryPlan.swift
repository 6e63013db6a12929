/// A piece of the arena and the instructions between which it is in use.
package struct ArenaBlock: Hashable, Sendable {
    /// In elements of 4 bytes, a multiple of 16.
    package var offset: Int
    package var count: Int
    package var firstUse: Int { uses[0].lowerBound }
    /// The last instruction that touches it.
    package var lastUse: Int { uses[uses.count - 1].upperBound }
    /// When it holds something, in rising order: after each range the memory may be given to another block.
    package var uses: [ClosedRange<Int>]

    /// Whether both hold something at some time.
    func isAliveWith(_ other: ArenaBlock) -> Bool {
        uses.contains { own in other.uses.contains { $0.overlaps(own) } }
    }
}

/// Gives every block an offset so that blocks alive at once do not overlap: the largest first, each into the tightest
/// gap that fits.
func plannedOffsets(_ blocks: inout [ArenaBlock]) -> (arena: Int, peak: Int) {
    let order = blocks.indices.sorted { a, b in
        (blocks[b].count, blocks[a].firstUse, a) < (blocks[a].count, blocks[b].firstUse, b)
    }
    var placed: [Int] = []
    var arena = 0
    for index in order {
        let block = blocks[index]
        let neighbours =
            placed
            .filter { blocks[$0].isAliveWith(block) }
            .sorted { blocks[$0].offset < blocks[$1].offset }
        var best: (offset: Int, gap: Int)?
        var end = 0
        for neighbour in neighbours {
            let gap = blocks[neighbour].offset - end
            if gap >= block.count, best.map({ gap < $0.gap }) ?? true { best = (end, gap) }
            end = max(end, blocks[neighbour].offset + blocks[neighbour].count)
        }
        blocks[index].offset = best?.offset ?? end
        arena = max(arena, blocks[index].offset + block.count)
        placed.append(index)
    }
    // The lower bound on any plan: the most that is alive at once.
    var changes: [Int: Int] = [:]
    for block in blocks {
        for range in block.uses {
            changes[range.lowerBound, default: 0] += block.count
            changes[range.upperBound + 1, default: 0] -= block.count
        }
    }
    var alive = 0
    var peak = 0
    for index in changes.keys.sorted() {
        alive += changes[index] ?? 0
        peak = max(peak, alive)
    }
    return (arena, peak)
}
