package import Diagnostics
import Radiography

/// Why a file of patients was refused.
package struct PatientFileError: ReportableError, Equatable {
    package var path: String
    package var row: Int
    package var reason: String

    package var exitStatus: ExitStatus { .badInput }
    package var description: String {
        "\(path):\(row): \(reason). Expected two columns, image id and patient, with or without the header id,patient."
    }
}

/// Reads which patient each image is of: a table of two columns, image id and patient, plain or gzip.
package enum PatientFile {
    /// The patients by image id.
    ///
    /// Throws at the first row that does not fit: a wrong patient would leak across folds.
    package static func read(_ path: String) throws -> [String: String] {
        try parse(try FileContents.readMaybeCompressed(path), path: path)
    }

    static func parse(_ bytes: [UInt8], path: String) throws(PatientFileError) -> [String: String] {
        var patients: [String: String] = [:]
        var isFirst = true
        guard let table = TableText(bytes) else {
            throw PatientFileError(path: path, row: 1, reason: "Found zero bytes, so it is no table")
        }
        let separator = Character(Unicode.Scalar(table.separator))
        for (index, line) in table.bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let text = String(decoding: line, as: UTF8.self)
            let fields = text.split(separator: separator, omittingEmptySubsequences: false).map(unquoted)
            if fields == [""] { continue }
            guard fields.count == 2 else {
                throw PatientFileError(path: path, row: index + 1, reason: "Found \(fields.count) columns")
            }
            let isHeader = isFirst && fields[1].lowercased().hasPrefix("patient")
            isFirst = false
            if isHeader { continue }
            guard !fields[0].isEmpty && !fields[1].isEmpty else {
                throw PatientFileError(path: path, row: index + 1, reason: "Found an empty column")
            }
            if let other = patients.updateValue(fields[1], forKey: fields[0]), other != fields[1] {
                throw PatientFileError(
                    path: path,
                    row: index + 1,
                    reason: "Image \(fields[0]) has the patients \(other) and \(fields[1])"
                )
            }
        }
        return patients
    }

    /// A field without blanks and quotation marks around it.
    private static func unquoted(_ field: Substring) -> String {
        func isFrame(_ character: Character) -> Bool { character.isWhitespace || character == "\"" }
        let start = field.drop(while: isFrame)
        return start.lastIndex { !isFrame($0) }.map { String(start[...$0]) } ?? ""
    }
}
