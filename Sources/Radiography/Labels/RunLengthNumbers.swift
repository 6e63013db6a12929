/// How run-length rows are to be understood.
package struct RunLengthFormat: Sendable, Equatable {
    /// What the first number of a pair counts.
    package enum Numbering: Sendable, Equatable {
        /// Pixels since the end of the last run: the challenge's.
        case relative
        /// Pixels since the beginning of the image, whose first pixel has the number `first`.
        case absolute(first: Int)
    }

    /// In which direction pixels follow each other.
    package enum Order: String, Sendable, CaseIterable {
        /// Top to bottom, then left to right: the challenge's.
        case columns
        /// Left to right, then top to bottom.
        case rows
    }

    package var numbering: Numbering
    package var order: Order

    package init(numbering: Numbering, order: Order) {
        self.numbering = numbering
        self.order = order
    }

    /// What the challenge's files have.
    package static let challenge = RunLengthFormat(numbering: .relative, order: .columns)
}

/// The numbers of a run-length row, start or gap and length in turn, before it is decided what they count.
package struct RunLengthNumbers: Sendable, Equatable {
    package private(set) var values: [Int32]

    /// The numbers of a text, of which there are an even number, two at least.
    init(_ bytes: UnsafeBufferPointer<UInt8>) throws(RunLengthError) {
        values = []
        var scanner = NumberScanner(bytes: bytes)
        while let token = scanner.next() {
            guard let value = token.value else {
                throw Self.badNumber(scanner.text(of: token), run: values.count / 2 + 1)
            }
            guard values.count & 1 == 0 || value > 0 else { throw .zeroLength(run: values.count / 2 + 1) }
            values.append(Int32(value))
        }
        guard !values.isEmpty else { throw .blank }
        guard values.count & 1 == 0 else { throw .oddCount(values.count) }
    }

    private static func badNumber(_ text: String, run: Int) -> RunLengthError {
        if let value = Int(text), value < 0 { return .negative(run: run, value: value) }
        return .notANumber(run: run, text: String(text.prefix(40)))
    }

    /// The number of runs.
    package var count: Int { values.count / 2 }

    /// The first number of the first run.
    package var first: Int { Int(values[0]) }

    /// Whether each start lies at or behind the end of the run before, as starts that count from the image's beginning
    /// do; gaps do so by chance alone.
    package var rises: Bool {
        for index in stride(from: 2, to: values.count, by: 2)
        where Int(values[index]) < Int(values[index - 2]) + Int(values[index - 1]) {
            return false
        }
        return true
    }

    /// The pixel after the last run, counted from 0.
    package func end(_ numbering: RunLengthFormat.Numbering) -> Int {
        switch numbering {
        case .relative: values.reduce(0) { $0 + Int($1) }
        case .absolute(let first):
            stride(from: 0, to: values.count, by: 2).map { Int(values[$0]) + Int(values[$0 + 1]) }.max().map {
                $0 - first
            }
                ?? 0
        }
    }

    /// The usual distance between the starts of neighbouring runs, which is the height of the image where runs lie side
    /// by side; nothing of a few runs.
    package func pitch(_ numbering: RunLengthFormat.Numbering) -> Int? {
        guard count >= 8 else { return nil }
        let distances = stride(from: 2, to: values.count, by: 2).map { index in
            numbering == .relative
                ? Int(values[index]) + Int(values[index - 1]) : Int(values[index]) - Int(values[index - 2])
        }.sorted()
        return distances[distances.count / 2]
    }

    /// The mask of an image of this size.
    package func mask(_ format: RunLengthFormat, width: Int, height: Int) throws(RunLengthError) -> RunLengthMask {
        // Along the rows, the turned image is numbered down its columns.
        let isTurned = format.order == .rows
        var mask = RunLengthMask(width: isTurned ? height : width, height: isTurned ? width : height)
        let pixels = width * height
        var position = 0
        for index in stride(from: 0, to: values.count, by: 2) {
            let run = index / 2 + 1
            var start = Int(values[index])
            switch format.numbering {
            case .relative: start += position
            case .absolute(let first):
                guard start >= first else { throw .beforeFirst(run: run, start: start, first: first) }
                start -= first
                guard start >= position else { throw .descends(run: run, start: start, end: position) }
            }
            let end = start + Int(values[index + 1])
            guard end <= pixels else { throw .outOfRange(run: run, end: end, pixels: pixels) }
            mask.append(RunLengthMask.Run(start: Int32(start), length: values[index + 1]))
            position = end
        }
        return isTurned ? mask.transposed() : mask
    }
}

/// Splits ASCII bytes at blanks and reads decimal numbers below 2³¹.
private struct NumberScanner {
    struct Token {
        var start: Int
        var end: Int
        /// Nothing where the token is not a run of digits or exceeds 2³¹ - 1.
        var value: Int?
    }

    let bytes: UnsafeBufferPointer<UInt8>
    private var index = 0

    init(bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || (byte >= 0x09 && byte <= 0x0D)
    }

    func text(of token: Token) -> String {
        String(decoding: bytes[token.start..<token.end], as: UTF8.self)
    }

    mutating func next() -> Token? {
        let count = bytes.count
        while index < count && Self.isBlank(bytes[index]) { index += 1 }
        guard index < count else { return nil }
        let start = index
        var value = 0
        var isNumber = true
        while index < count && !Self.isBlank(bytes[index]) {
            let digit = bytes[index] &- 0x30
            if digit <= 9 && value <= Int(Int32.max) {
                value = value * 10 + Int(digit)
            } else {
                isNumber = false
            }
            index += 1
        }
        return Token(start: start, end: index, value: isNumber && value <= Int(Int32.max) ? value : nil)
    }
}
