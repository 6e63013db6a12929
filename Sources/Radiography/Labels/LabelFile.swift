package import Diagnostics

/// The masks of a set of radiographs: a label file or a submission of the challenge.
///
/// A table, plain or gzip, of two columns `ImageId,EncodedPixels` (or `fname,mask`) between commas, semicolons or tabs, in
/// UTF-8 or UTF-16, with or without a header, a byte order mark, blanks around values and carriage returns. An image may
/// have several rows: its mask is their union. Nothing is dropped silently: every row that does not fit is in `defects`.
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
        try LabelTable.read(path).resolved(.challenge) { _ in (width, height) }
    }
}

/// The rows of a label file before it is decided what their numbers count.
package struct LabelTable: Sendable {
    /// What a row says of its image.
    package enum Cell: Sendable, Equatable {
        /// `-1`: nothing is marked.
        case none
        /// An empty cell, or what programs write for one.
        case blank(String)
        case runs(RunLengthNumbers)
    }

    package struct Row: Sendable, Equatable {
        /// The line of the file, from 1.
        package var number: Int
        package var cell: Cell
    }

    /// The rows of one image.
    package struct Image: Sendable, Equatable {
        package var id: String
        package var rows: [Row] = []
        /// Whether a row of it cannot be read.
        package var isRejected = false
    }

    package let path: String
    /// In the order of their first rows.
    package let images: [Image]
    let defects: [LabelFile.Defect]
    package let rowCount: Int
    /// Whether a row says `-1`: in such a file an empty cell may be a label that is missing, else it says the same.
    package let saysNone: Bool
    /// The number of rows whose cell is empty.
    package let blankRows: Int
    private let ids: Set<String>
    private let plainIDs: [String: String]

    init(path: String, images: [Image], defects: [LabelFile.Defect], rowCount: Int) {
        self.path = path
        self.images = images
        self.defects = defects
        self.rowCount = rowCount
        let rows = images.lazy.flatMap(\.rows)
        saysNone = rows.contains { $0.cell == .none }
        blankRows = rows.count { if case .blank = $0.cell { true } else { false } }
        ids = Set(images.map(\.id))
        plainIDs = ImageName.index(images.map(\.id))
    }

    /// Reads a file.
    ///
    /// Blocks on the disk. Throws where the file as a whole cannot be used.
    package static func read(_ path: String) throws -> LabelTable {
        try LabelTable(bytes: try FileContents.readMaybeCompressed(path), path: path)
    }

    /// The table's own id for the image that is called `id`: the same, or one that differs by a folder or an ending.
    package func id(for id: String) -> String? {
        if ids.contains(id) { return id }
        return plainIDs[ImageName.plain(id)]
    }

    /// Whether the rows with several runs rise, most of them: their numbers may count from the image's beginning.
    package var mayBeAbsolute: Bool {
        let several = images.lazy.flatMap(\.rows).compactMap { row in
            if case .runs(let runs) = row.cell, runs.count > 1 { runs.rises } else { nil }
        }
        return several.count { $0 } * 2 > several.count { _ in true }
    }

    /// The masks, where the numbers are understood as `format` says.
    ///
    /// `size` is the width and height of an image's mask; nothing where it is not known, and then it is not looked at.
    package func resolved(
        _ format: RunLengthFormat,
        size: (_ id: String) -> (width: Int, height: Int)?
    ) -> LabelFile {
        var defects = defects
        var entries: [LabelFile.Entry] = []
        var rejected: [String] = []
        entries.reserveCapacity(images.count)
        for image in images {
            if let entry = merge(image, format, size: size(image.id), defects: &defects) {
                entries.append(entry)
            } else {
                rejected.append(image.id)
            }
        }
        return LabelFile(path: path, entries: entries, rejectedIDs: rejected, defects: defects, rowCount: rowCount)
    }

    /// The union of an image's rows, or nothing where they cannot be one mask.
    private func merge(
        _ image: Image,
        _ format: RunLengthFormat,
        size: (width: Int, height: Int)?,
        defects: inout [LabelFile.Defect]
    ) -> LabelFile.Entry? {
        func report(_ kind: LabelFile.Defect.Kind, _ row: Int, _ reason: String) {
            defects.append(.init(kind: kind, path: path, row: row, id: image.id, reason: reason))
        }
        let (width, height) = size ?? (RunLengthMask.challengeSide, RunLengthMask.challengeSide)
        var isRejected = image.isRejected
        var rows: [(number: Int, mask: RunLengthMask)] = []
        for row in image.rows {
            switch row.cell {
            case .none: rows.append((row.number, RunLengthMask(width: width, height: height)))
            case .blank(let text):
                if saysNone {
                    let cell = text.isEmpty ? "blank" : "\"\(text)\""
                    report(
                        .badRuns,
                        row.number,
                        "the mask is \(cell) in a file that writes -1 for images without a pneumothorax; write -1 if that is meant"
                    )
                    isRejected = true
                } else {
                    rows.append((row.number, RunLengthMask(width: width, height: height)))
                }
            case .runs(let numbers):
                guard size != nil else {
                    rows.append((row.number, RunLengthMask(width: width, height: height)))
                    continue
                }
                do throws(RunLengthError) {
                    rows.append((row.number, try numbers.mask(format, width: width, height: height)))
                } catch {
                    report(.badRuns, row.number, error.description)
                    isRejected = true
                }
            }
        }
        if size != nil, let empty = rows.first(where: \.mask.isEmpty),
            let full = rows.first(where: { !$0.mask.isEmpty })
        {
            report(
                .emptyAndMask,
                max(empty.number, full.number),
                "the image has both -1 (row \(empty.number)) and a mask (row \(full.number)); keep one"
            )
            isRejected = true
        }
        var union = RunLengthMask(width: width, height: height)
        for (index, row) in rows.enumerated() where size != nil {
            if let same = rows[..<index].first(where: { $0.mask == row.mask }) {
                report(.duplicateRow, row.number, "the row repeats row \(same.number)")
            } else {
                let overlap = union.intersectionArea(row.mask)
                if overlap > 0 {
                    report(
                        .overlappingRows,
                        row.number,
                        "\(overlap) of \(row.mask.area) pixels are also in earlier rows of the image; used the union"
                    )
                }
            }
            union = union.union(row.mask)
        }
        return isRejected ? nil : .init(id: image.id, mask: union, rows: rows.map(\.number))
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
            "\(path) is not a CSV file: it holds zero bytes. Expected rows of an image id and a mask, plain or gzip, in "
                + "UTF-8 or UTF-16."
        case .wrongColumns(let path, let row, let found):
            "\(path):\(row): wrong columns: expected ImageId,EncodedPixels (or fname,mask), found \(found)."
        }
    }
}
