package import Diagnostics

/// A binary mask as runs of set pixels, in the challenge's order: top to bottom, then left to right.
///
/// The mask is always normalised: runs ascend, do not touch and are not empty, so two equal masks are equal values.
/// Pixel (x, y) has the index x · height + y. The challenge's masks are 1024 × 1024 whatever the radiograph's size:
/// their grid covers the radiograph padded to a square.
package struct RunLengthMask: Equatable, Sendable {
    /// `length` set pixels from the column-major index `start` on.
    package struct Run: Equatable, Sendable {
        package var start: Int32
        package var length: Int32

        package init(start: Int32, length: Int32) {
            self.start = start
            self.length = length
        }

        /// The index after the last pixel.
        package var end: Int32 { start + length }
    }

    /// The width and height of the challenge's masks.
    package static let challengeSide = 1024

    package let width: Int
    package let height: Int
    package private(set) var runs: [Run]

    /// An empty mask.
    ///
    /// `width` · `height` is at most 2³¹ - 1.
    package init(width: Int, height: Int) {
        precondition(
            width > 0 && height > 0 && width <= Int(Int32.max) / height,
            "a mask of \(width)×\(height) pixels"
        )
        self.width = width
        self.height = height
        self.runs = []
    }

    /// The pixels of `runs`, in any order; what lies outside the mask is left out.
    package init(runs: some Sequence<Run>, width: Int, height: Int) {
        self.init(width: width, height: height)
        let limit = Int32(width * height)
        for run in runs.sorted(by: { $0.start < $1.start }) {
            let start = max(0, run.start)
            let end = Int32(clamping: min(Int(run.start) + Int(run.length), Int(limit)))
            guard end > start else { continue }
            if let last = self.runs.last, last.end >= start {
                self.runs[self.runs.count - 1].length = max(last.end, end) - last.start
            } else {
                self.runs.append(Run(start: start, length: end - start))
            }
        }
    }

    /// Whether no pixel is set.
    package var isEmpty: Bool { runs.isEmpty }

    /// The number of set pixels.
    package var area: Int {
        var sum = 0
        for run in runs { sum += Int(run.length) }
        return sum
    }

    /// The pixels set in either mask.
    ///
    /// Both have the same size.
    package func union(_ other: RunLengthMask) -> RunLengthMask {
        precondition(width == other.width && height == other.height, "masks of different sizes")
        if isEmpty { return other }
        if other.isEmpty { return self }
        var result = RunLengthMask(width: width, height: height)
        result.runs.reserveCapacity(runs.count + other.runs.count)
        var i = 0
        var j = 0
        while i < runs.count || j < other.runs.count {
            let takesOwn = j == other.runs.count || (i < runs.count && runs[i].start <= other.runs[j].start)
            result.append(takesOwn ? runs[i] : other.runs[j])
            if takesOwn { i += 1 } else { j += 1 }
        }
        return result
    }

    /// The number of pixels set in both masks.
    ///
    /// Both have the same size.
    package func intersectionArea(_ other: RunLengthMask) -> Int {
        precondition(width == other.width && height == other.height, "masks of different sizes")
        var sum = 0
        var i = 0
        var j = 0
        while i < runs.count && j < other.runs.count {
            let a = runs[i]
            let b = other.runs[j]
            let overlap = min(a.end, b.end) - max(a.start, b.start)
            if overlap > 0 { sum += Int(overlap) }
            if a.end <= b.end { i += 1 } else { j += 1 }
        }
        return sum
    }

    /// Adds a run that does not start before the last one, and merges it with that one where they meet.
    mutating func append(_ run: Run) {
        if let last = runs.last, run.start <= last.end {
            runs[runs.count - 1].length = max(last.end, run.end) - last.start
        } else {
            runs.append(run)
        }
    }
}

// MARK: - The challenge's text

/// Why a run-length encoded mask was refused.
///
/// Runs are counted from 1.
package enum RunLengthError: ReportableError, Equatable {
    case blank
    case notANumber(run: Int, text: String)
    case negative(run: Int, value: Int)
    case zeroLength(run: Int)
    case oddCount(Int)
    case outOfRange(run: Int, end: Int, pixels: Int)

    package var exitStatus: ExitStatus { .badInput }

    package var description: String {
        switch self {
        case .blank:
            "the mask is blank; write -1 for an image without a pneumothorax"
        case .notANumber(let run, let text):
            "run \(run): \"\(text)\" is not a whole number; a mask is \"gap length gap length …\" or -1"
        case .negative(let run, let value):
            "run \(run): found \(value); gaps and lengths are not negative, and -1 stands alone for an empty mask"
        case .zeroLength(let run):
            "run \(run): its length is 0; a run covers at least one pixel"
        case .oddCount(let count):
            "odd run: found \(count) numbers, so gap \(count / 2 + 1) has no length; the row may be cut off"
        case .outOfRange(let run, let end, let pixels):
            "run \(run): it ends at pixel \(end), but the mask has only \(pixels) pixels"
        }
    }
}

extension RunLengthMask {
    /// Reads the challenge's text: `gap length gap length …` between blanks, or `-1` for an empty mask.
    ///
    /// A gap counts the pixels since the end of the previous run; the first is the start of the first run. Throws for
    /// anything else, naming the run.
    package init(encoded: some StringProtocol, width: Int, height: Int) throws(RunLengthError) {
        var text = String(encoded)
        let result = text.withUTF8 { bytes in
            Result { () throws(RunLengthError) in try RunLengthMask(encoded: bytes, width: width, height: height) }
        }
        self = try result.get()
    }

    /// The same from bytes of ASCII.
    init(encoded bytes: UnsafeBufferPointer<UInt8>, width: Int, height: Int) throws(RunLengthError) {
        self.init(width: width, height: height)
        let pixels = width * height
        var scanner = NumberScanner(bytes: bytes)
        var numbers = 0
        var position = 0
        var start = 0
        while let token = scanner.next() {
            let run = numbers / 2 + 1
            guard let value = token.value else {
                if numbers == 0 && scanner.text(of: token) == "-1" && scanner.isAtEnd { return }
                throw Self.badNumber(scanner.text(of: token), run: run)
            }
            if numbers & 1 == 0 {
                start = position + value
            } else {
                guard value > 0 else { throw .zeroLength(run: run) }
                let end = start + value
                guard end <= pixels else { throw .outOfRange(run: run, end: end, pixels: pixels) }
                append(Run(start: Int32(start), length: Int32(value)))
                position = end
            }
            numbers += 1
        }
        guard numbers > 0 else { throw .blank }
        guard numbers & 1 == 0 else { throw .oddCount(numbers) }
    }

    private static func badNumber(_ text: String, run: Int) -> RunLengthError {
        if let value = Int(text), value < 0 { return .negative(run: run, value: value) }
        return .notANumber(run: run, text: String(text.prefix(40)))
    }

    /// The challenge's text of this mask, `-1` where it is empty.
    package var encoded: String {
        guard !runs.isEmpty else { return "-1" }
        var text = ""
        text.reserveCapacity(runs.count * 8)
        var position: Int32 = 0
        for run in runs {
            if !text.isEmpty { text += " " }
            text += String(run.start - position)
            text += " "
            text += String(run.length)
            position = run.end
        }
        return text
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

    var isAtEnd: Bool {
        bytes[index...].allSatisfy(Self.isBlank)
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
