internal import FoundationEssentials
package import Platform

/// `metrics.jsonl`: one JSON object a line, most with a member `step`, with a checksum as its last member.
///
/// Lines without a checksum are of earlier versions.
package enum MetricsFile {
    /// The most bytes of a metrics file that is read: some ten million lines.
    private static let maximumBytes = 1 << 31

    private struct Line: Decodable { let step: Int? }

    private static let key = Array(",\"checksum\":\"".utf8)
    private static let digits = 16
    private static let tail = Array("\"}".utf8)

    /// The line of a JSON object that has members, without a line feed: the object with the XXH3 of its text as its
    /// last member.
    package static func line(_ object: String) -> String {
        String(decoding: line(Array(object.utf8)), as: UTF8.self)
    }

    private static func line(_ object: [UInt8]) -> [UInt8] {
        let hash = String(XXH3.hash64(object), radix: 16)
        let padded = String(repeating: "0", count: digits - hash.count) + hash
        return object.dropLast() + key + Array(padded.utf8) + tail
    }

    /// Whether a line has a checksum that fits; nil where it has none.
    ///
    /// A checksum whose name is damaged is still seen by its digits.
    private static func fits(_ line: ArraySlice<UInt8>) -> Bool? {
        let end = line.suffix(digits + tail.count)
        let isHexadecimal = end.dropLast(tail.count).allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
        let isNamed = line.dropLast(digits + tail.count).suffix(key.count).elementsEqual(key)
        let endsWithDigits = end.count == digits + tail.count && isHexadecimal && end.suffix(tail.count) == tail[...]
        guard isNamed || endsWithDigits else { return nil }
        let object = Array(line.dropLast(key.count + digits + tail.count)) + [UInt8(ascii: "}")]
        return Self.line(object)[...] == line
    }

    /// Whether every whole line has a fitting checksum, and nothing else stands in the file: no line of another program.
    ///
    /// A torn last line counts as ours where it begins as our lines do.
    package static func isOwn(_ path: String) throws(FileError) -> Bool {
        let bytes = try OpenFile(path, .read).readAll(limit: maximumBytes)
        let pieces = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard pieces.dropLast().allSatisfy({ fits($0) == true }), let last = pieces.last else { return false }
        return last.isEmpty || (pieces.count > 1 && isBeginning(last))
    }

    /// Whether a last line without a line feed can be the beginning of a line whose writer died.
    static func isBeginning(_ line: ArraySlice<UInt8>) -> Bool {
        let start = Array("{\"kind\":\"".utf8)
        return line.prefix(start.count).elementsEqual(start.prefix(line.count))
    }

    /// Checks that every line is a JSON object with a fitting checksum; returns the number of lines, the torn last one
    /// left out.
    package static func verify(_ path: String) throws -> Int {
        let bytes = try OpenFile(path, .read).readAll(limit: maximumBytes)
        // Whole lines end with a line feed, so the last piece is empty unless a writer died inside a line.
        let pieces = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let lines = pieces.dropLast()
        let decoder = JSONDecoder()
        for (index, line) in lines.enumerated() {
            do {
                _ = try decoder.decode(Line.self, from: Data(line))
            } catch {
                throw StorageDefect(
                    .malformed,
                    file: path,
                    part: .line(index + 1),
                    "it is not a JSON object with a whole-numbered step"
                )
            }
            if fits(line) == false {
                throw StorageDefect(
                    .wrongHash,
                    file: path,
                    part: .line(index + 1),
                    "it does not fit its checksum: it was edited or damaged"
                )
            }
        }
        // A writer that died inside a line wrote nothing after it.
        if let last = pieces.last, fits(last.dropLast()) == true {
            throw StorageDefect(.malformed, file: path, part: .line(lines.count + 1), "the end of the line is damaged")
        }
        // Lines of earlier versions need not begin with their kind.
        if let last = pieces.last, !last.isEmpty, !Array("{\"".utf8).prefix(last.count).elementsEqual(last.prefix(2)) {
            throw StorageDefect(
                .malformed,
                file: path,
                part: .line(lines.count + 1),
                "no line of metrics begins like this"
            )
        }
        return lines.count
    }
}
