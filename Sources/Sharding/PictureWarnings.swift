private import Foundation
import Platform
import Radiography

/// The rows about pictures in the `warnings.csv` of an earlier run, for shards that are kept: their pictures are not
/// decoded again.
enum PictureWarnings {
    /// The rows of the images in `ids`; none where the table cannot be read.
    static func read(_ path: String, of ids: Set<String>) -> [RejectedItem] {
        guard let bytes = try? FileContents.read(path, limit: FileContents.textLimit) else { return [] }
        return rows(String(decoding: bytes, as: UTF8.self)).compactMap { fields in
            guard fields.count == 5, let kind = PictureRemark.Kind(rawValue: fields[0]), ids.contains(fields[3]) else {
                return nil
            }
            return RejectedItem(.picture(kind), path: fields[1], id: fields[3], reason: fields[4])
        }
    }

    /// The rows of a table that `RejectedItem.table` wrote.
    private static func rows(_ table: String) -> [[String]] {
        var rows: [[String]] = []
        var row: [String] = []
        var field: [UInt8] = []
        var isQuoted = false
        var isEnd = false
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        for byte in table.utf8 {
            switch byte {
            case 0x22:
                // A quote within a field is doubled: it ends the field and begins it again.
                if isEnd { field.append(byte) }
                isEnd = isQuoted
                isQuoted.toggle()
                continue
            case 0x2C where !isQuoted:
                row.append(text(field))
                field = []
            case 0x0A where !isQuoted:
                rows.append(row + [text(field)])
                (row, field) = ([], [])
            default: field.append(byte)
            }
            isEnd = false
        }
        return rows
    }
}
