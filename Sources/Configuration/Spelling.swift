/// Finds the word that a user probably meant.
package enum Spelling {
    /// The candidate with the fewest edits from `word`, or nil where none is near.
    ///
    /// Near is: at most a third of the letters change, or 2 of a short word. Of equally near ones, the first.
    package static func nearest(to word: String, in candidates: some Sequence<String>) -> String? {
        var best: (word: String, distance: Int)?
        for candidate in candidates {
            let distance = distance(word.lowercased(), candidate)
            if distance < best?.distance ?? Int.max { best = (candidate, distance) }
        }
        guard let best, best.distance < best.word.count else { return nil }
        return best.distance <= max(2, best.word.count / 3) ? best.word : nil
    }

    /// The number of insertions, deletions, replacements and exchanges of neighbours that turn `first` into `second`.
    package static func distance(_ first: String, _ second: String) -> Int {
        let first = Array(first.unicodeScalars.prefix(64))
        let second = Array(second.unicodeScalars.prefix(64))
        var beforeLast: [Int] = []
        var last = Array(0...second.count)
        for i in 0..<first.count {
            var row = [i + 1]
            for j in 0..<second.count {
                let replaced = last[j] + (first[i] == second[j] ? 0 : 1)
                var cost = min(replaced, last[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, first[i] == second[j - 1], first[i - 1] == second[j] {
                    cost = min(cost, beforeLast[j - 1] + 1)
                }
                row.append(cost)
            }
            beforeLast = last
            last = row
        }
        return last[second.count]
    }
}
