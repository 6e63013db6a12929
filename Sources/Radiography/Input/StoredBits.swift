/// Where a value's bits stand in a stored word (PS3.5 8.1.1).
struct StoredBits: Equatable, Sendable {
    /// The bits of a value.
    var count: Int
    var highBit: Int
    var isSigned: Bool

    private var shift: Int { highBit + 1 - count }

    /// The value's bits alone.
    func pattern(of word: Int) -> Int { word >> shift & ((1 << count) - 1) }

    /// The value, with its sign.
    func value(of word: Int) -> Int {
        let pattern = pattern(of: word)
        return isSigned && pattern >= 1 << (count - 1) ? pattern - 1 << count : pattern
    }

    /// The bits above the value: 0 where they are clear or repeat the sign of a signed value.
    func excess(of word: Int, width: Int) -> Int {
        let above = word >> (highBit + 1)
        guard isSigned, value(of: word) < 0 else { return above }
        return above == (1 << (width - highBit - 1)) - 1 ? 0 : above
    }
}

/// How often each word stands in the stored pixels.
struct WordCounts {
    /// Indexed by word.
    let counts: [UInt32]
    /// The bits of a word: 8 or 16.
    let width: Int

    init<Word: FixedWidthInteger & UnsignedInteger>(_ words: [Word]) {
        // Neighbours are often equal, and an addition waits for the last one to the same place: bytes have four tables.
        let (lanes, size) = (Word.bitWidth == 8 ? 4 : 1, 1 << Word.bitWidth)
        var counts = [UInt32](repeating: 0, count: lanes * size)
        counts.withUnsafeMutableBufferPointer { counts in
            words.withUnsafeBufferPointer { words in
                var index = 0
                while lanes == 4 && index + 4 <= words.count {
                    counts[Int(words[index])] &+= 1
                    counts[size &+ Int(words[index &+ 1])] &+= 1
                    counts[2 &* size &+ Int(words[index &+ 2])] &+= 1
                    counts[3 &* size &+ Int(words[index &+ 3])] &+= 1
                    index &+= 4
                }
                while index < words.count {
                    counts[Int(words[index])] &+= 1
                    index &+= 1
                }
            }
        }
        for index in size..<lanes * size where lanes > 1 { counts[index % size] += counts[index] }
        self.counts = Array(counts.prefix(size))
        width = Word.bitWidth
    }

    /// The words that are there.
    var present: some Sequence<Int> { counts.indices.lazy.filter { counts[$0] > 0 } }

    /// How many pixels have a word of which this is so.
    func pixels(where holds: (Int) -> Bool) -> Int { present.reduce(0) { holds($1) ? $0 + Int(counts[$1]) : $0 } }
}
