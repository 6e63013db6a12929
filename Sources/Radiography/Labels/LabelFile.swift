package import Diagnostics

/// The masks of a set of radiographs: a label file or a submission of the challenge.
///
/// A CSV file, plain or gzip, of two columns `ImageId,EncodedPixels` (or `fname,mask`), with or without a header, a
/// byte order mark, blanks around values and carriage returns. An image may have several rows: its mask is their
/// union. Nothing is dropped silently: every row that does not fit is in `defects`.
package struct LabelFile: Sendable {
    /// One image with its mask.
    package struct Entry: Sendable, Equatable {
        package var id: String
        package var mask: RunLengthMask
        /// The rows that the mask comes from, as line numbers of the file from 1.
        package var rows: [Int]
    }

    /// Something wrong in a row.
    package struct Defect: Sendable, Equatable, CustomStringConvertible {
        package enum Kind: String, Sendable, CaseIterable {
            case wrongColumns = "wrong-columns"
            case missingID = "missing-id"
            case badRuns = "bad-runs"
            case emptyAndMask = "empty-and-mask"
            case duplicateRow = "duplicate-row"
            case overlappingRows = "overlapping-rows"

            /// Whether the image keeps its mask all the same: the union of rows is what overlapping rows mean.
            package var isWarning: Bool { self == .duplicateRow || self == .overlappingRows }
        }

        package var kind: Kind
        package var path: String
        /// The line number in the file, from 1.
        package var row: Int
        package var id: String?
        package var reason: String

        package var description: String {
            "\(path):\(row): \(id.map { "\($0): " } ?? "")\(reason)"
        }
    }

    package let path: String
    /// The sound images, in the order of their first rows.
    package let entries: [Entry]
    /// The ids of images left out because a row of theirs is wrong, in the order of their first rows.
    ///
    /// Half a mask would be a wrong label, so the image's sound rows do not count either.
    package let rejectedIDs: [String]
    /// Everything wrong, in the order of rows.
    package let defects: [Defect]
    /// The number of rows read, the header and empty lines not counted.
    package let rowCount: Int
    private let indices: [String: Int]

    init(path: String, entries: [Entry], rejectedIDs: [String], defects: [Defect], rowCount: Int) {
        self.path = path
        self.entries = entries
        self.rejectedIDs = rejectedIDs
        self.defects = defects.sorted { $0.row < $1.row }
        self.rowCount = rowCount
        self.indices = Dictionary(
            entries.enumerated().map { ($1.id, $0) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// The entry of an image.
    package subscript(id: String) -> Entry? {
        indices[id].map { entries[$0] }
    }

    /// The defects that are more than warnings.
    package var errors: [Defect] { defects.filter { !$0.kind.isWarning } }

    /// Reads a file.
    ///
    /// Blocks on the disk.
    ///
    /// Throws where the file as a whole cannot be used: unreadable, empty, a broken gzip stream, or columns that are
    /// not an id and a mask. What is wrong in single rows is in `defects`.
    package static func read(
        _ path: String,
        width: Int = RunLengthMask.challengeSide,
        height: Int = RunLengthMask.challengeSide
    ) throws -> LabelFile {
        let bytes = try FileContents.readMaybeCompressed(path)
        return try LabelFile(bytes: bytes, path: path, width: width, height: height)
    }
}

/// Why a label file as a whole was refused.
package enum LabelFileError: ReportableError, Equatable {
    case noRows(path: String)
    case notText(path: String)
    case wrongColumns(path: String, row: Int, found: String)

    package var exitStatus: ExitStatus { .badInput }

    package var description: String {
        switch self {
        case .noRows(let path):
            "\(path) holds no labels: expected rows of an image id and a mask (ImageId,EncodedPixels)."
        case .notText(let path):
            "\(path) is not a CSV file: it holds zero bytes. Expected rows of an image id and a mask, plain or gzip."
        case .wrongColumns(let path, let row, let found):
            "\(path):\(row): wrong columns: expected ImageId,EncodedPixels (or fname,mask), found \(found)."
        }
    }
}
