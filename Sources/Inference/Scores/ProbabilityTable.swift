package import Diagnostics
import Platform

/// Reads probabilities of images from a table with the columns `id` and `probability`, as `predictions.csv` has them.
package enum ProbabilityTable {
    /// The largest file that is read: 1 GiB.
    private static let fileLimit = 1 << 30

    /// The probabilities by image id.
    ///
    /// Throws where a column is missing, a probability is not from 0 to 1, or an id stands twice.
    package static func read(_ path: String) throws -> [String: Float] {
        let bytes = try OpenFile(path, .read).readAll(limit: fileLimit)
        return try parse(String(decoding: bytes, as: UTF8.self), path: path)
    }

    static func parse(_ text: String, path: String) throws(ProbabilityTableError) -> [String: Float] {
        var columns: (id: Int, probability: Int)?
        var found: [String: Float] = [:]
        for (index, fields) in rows(of: text).enumerated() where fields != [""] {
            func failure(_ reason: String) -> ProbabilityTableError {
                ProbabilityTableError(path: path, row: index + 1, reason: reason)
            }
            guard let columns else {
                guard let id = fields.firstIndex(of: "id"), let probability = fields.firstIndex(of: "probability")
                else { throw failure("it has no columns id and probability") }
                columns = (id, probability)
                continue
            }
            guard fields.count > max(columns.id, columns.probability) else {
                throw failure("it has \(fields.count) columns")
            }
            let (id, text) = (fields[columns.id], fields[columns.probability])
            guard let value = Float(text), value >= 0, value <= 1 else {
                throw failure("\"\(text.prefix(40))\" is no probability from 0 to 1")
            }
            guard found.updateValue(value, forKey: id) == nil else { throw failure("the image \(id) stands twice") }
        }
        guard columns != nil else { throw ProbabilityTableError(path: path, row: 1, reason: "it is empty") }
        return found
    }

    /// The fields of each row, by RFC 4180: a field in quotation marks may hold commas, doubled marks and line ends.
    private static func rows(of text: String) -> [[String]] {
        var rows: [[String]] = [[]]
        var field = ""
        var isQuoted = false
        var wasMark = false
        for character in text.hasPrefix("\u{FEFF}") ? text.dropFirst() : Substring(text) {
            if character == "\"" {
                if isQuoted {
                    isQuoted = false
                    wasMark = true
                } else {
                    // A doubled mark within a quoted field is the mark itself.
                    if wasMark { field.append(character) }
                    isQuoted = true
                    wasMark = false
                }
                continue
            }
            wasMark = false
            if !isQuoted && (character == "," || character.isNewline) {
                rows[rows.count - 1].append(field)
                field = ""
                if character != "," { rows.append([]) }
            } else {
                field.append(character)
            }
        }
        rows[rows.count - 1].append(field)
        return rows
    }
}

/// Why a table of probabilities was refused.
package struct ProbabilityTableError: ReportableError, Equatable {
    package let path: String
    package let row: Int
    package let reason: String

    package var exitStatus: ExitStatus { .badInput }

    package var description: String {
        "\(path):\(row): \(reason). Expected a table with the columns id and probability, such as predictions.csv of "
            + "`pleura predict`."
    }
}
