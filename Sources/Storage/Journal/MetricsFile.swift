internal import FoundationEssentials

/// `metrics.jsonl`: one JSON object a line, most with a member `step`.
package enum MetricsFile {
    /// The most bytes of a metrics file that is read: some ten million lines.
    private static let maximumBytes = 1 << 31

    private struct Line: Decodable { let step: Int? }

    /// Checks that every line is a JSON object; returns the number of lines, the torn last one left out.
    package static func verify(_ path: String) throws -> Int {
        let bytes = try OpenFile(path, .read).readAll(limit: maximumBytes)
        // Whole lines end with a line feed, so the last piece is empty unless a writer died inside a line.
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
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
        }
        return lines.count
    }
}
