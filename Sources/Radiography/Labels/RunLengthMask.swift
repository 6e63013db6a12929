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
    /// Of runs that count from the image's beginning: one that begins before the one before it ends.
    case descends(run: Int, start: Int, end: Int)
    case beforeFirst(run: Int, start: Int, first: Int)

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
        case .descends(let run, let start, let end):
            "run \(run): it starts at pixel \(start), and the run before it ends at \(end); starts that count from the "
                + "image's beginning rise"
        case .beforeFirst(let run, let start, let first):
            "run \(run): it starts at pixel \(start), and the first pixel is \(first)"
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
        let isBlank = { (byte: UInt8) in byte <= 0x20 }
        if bytes.drop(while: isBlank).reversed().drop(while: isBlank).elementsEqual("1-".utf8) {
            self.init(width: width, height: height)
        } else {
            self = try RunLengthNumbers(bytes).mask(.challenge, width: width, height: height)
        }
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
