internal import FoundationEssentials

/// `metrics.jsonl`: one JSON object a line, most with a member `step`.
package enum MetricsFile {
    /// The most bytes of a metrics file that is read: some ten million lines.
    private static let maximumBytes = 1 << 31

    private struct Line: Decodable { let step: Int? }

    /// Removes the lines of steps after `step`, and a torn last line, so that a resumed run writes each step once.
    ///
    /// The file is replaced at once or not at all; lines without a step stay. A file that does not exist is fine.
    /// Returns the number of lines removed. A line that is not JSON is a `StorageDefect` that names it.
    @discardableResult
    package static func cut(_ path: String, after step: Int) throws -> Int {
        if !FileSystem.exists(path) { return 0 }
        let (lines, torn) = try read(path)
        let kept = lines.filter { ($0.step ?? step) <= step }
        let removed = lines.count - kept.count + (torn ? 1 : 0)
        if removed > 0 { try AtomicFile.write(kept.flatMap { $0.bytes + [UInt8(ascii: "\n")] }, to: path) }
        return removed
    }

    /// Checks that every line is a JSON object; returns the number of lines, the torn last one left out.
    package static func verify(_ path: String) throws -> Int { try read(path).lines.count }

    private static func read(_ path: String) throws -> (lines: [(step: Int?, bytes: [UInt8])], torn: Bool) {
        let bytes = try OpenFile(path, .read).readAll(limit: maximumBytes)
        var pieces = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        // Whole lines end with a line feed, so the last piece is empty unless a writer died inside a line.
        let last = pieces.popLast() ?? []
        let decoder = JSONDecoder()
        let lines = try pieces.enumerated().map { index, piece in
            do {
                return (step: try decoder.decode(Line.self, from: Data(piece)).step, bytes: Array(piece))
            } catch {
                throw StorageDefect(
                    .malformed,
                    file: path,
                    part: .line(index + 1),
                    "it is not a JSON object with a whole-numbered step"
                )
            }
        }
        return (lines, !last.isEmpty)
    }
}
