extension LabelFile {
    /// Reads the bytes of a CSV file in the challenge's format; `path` is for messages.
    package init(
        bytes: [UInt8],
        path: String,
        width: Int = RunLengthMask.challengeSide,
        height: Int = RunLengthMask.challengeSide
    ) throws(LabelFileError) {
        self = try LabelTable(bytes: bytes, path: path).resolved(.challenge) { _ in (width, height) }
    }
}

extension LabelTable {
    /// Reads the bytes of a CSV file; `path` is for messages.
    package init(bytes: [UInt8], path: String) throws(LabelFileError) {
        guard let text = TableText(bytes) else { throw .notText(path: path) }
        var builder = LabelBuilder(path: path, separator: text.separator)
        let result = text.bytes.withUnsafeBufferPointer { buffer in
            Result { () throws(LabelFileError) in try builder.readRows(buffer) }
        }
        try result.get()
        self = try builder.finish()
    }
}

/// Which of a row's fields are the id and the mask.
private struct Columns {
    var count: Int
    var id: Int
    var mask: Int

    static let idNames: Set<String> = [
        "imageid", "image_id", "image id", "fname", "filename", "file_name", "file", "id", "image", "name", "img",
        "sopinstanceuid", "path",
    ]
    static let maskNames: Set<String> = [
        "encodedpixels", "encoded_pixels", "encoded pixels", "mask", "rle", "rle_mask", "mask_rle", "pixels",
    ]

    /// The columns that a header names, or nothing.
    init?(header names: [String]) {
        let names = names.map { $0.lowercased() }
        guard let id = names.firstIndex(where: Self.idNames.contains),
            let mask = names.firstIndex(where: Self.maskNames.contains)
        else { return nil }
        self.count = names.count
        self.id = id
        self.mask = mask
    }

    /// Two columns without a header.
    init() {
        count = 2
        id = 0
        mask = 1
    }
}

/// Collects rows by image.
private struct LabelBuilder {
    private let path: String
    private let separator: UInt8
    private var columns: Columns?
    private var images: [LabelTable.Image] = []
    private var indices: [String: Int] = [:]
    private var defects: [LabelFile.Defect] = []
    private var rowCount = 0

    init(path: String, separator: UInt8) {
        self.path = path
        self.separator = separator
    }

    mutating func readRows(_ bytes: UnsafeBufferPointer<UInt8>) throws(LabelFileError) {
        var start = 0
        var number = 0
        while start < bytes.count {
            number += 1
            var end = start
            while end < bytes.count && bytes[end] != 0x0A { end += 1 }
            let line = UnsafeBufferPointer(rebasing: bytes[start..<end])
            if !trimmed(line).isEmpty { try readRow(line, number: number) }
            start = end + 1
        }
    }

    private mutating func readRow(_ line: UnsafeBufferPointer<UInt8>, number: Int) throws(LabelFileError) {
        let fields = split(line, at: separator)
        guard let columns else {
            let texts = fields.map { String(decoding: $0, as: UTF8.self) }
            if let named = Columns(header: texts) {
                self.columns = named
                return
            }
            let looksLikeData =
                fields.count == 2 && !fields[0].isEmpty
                && (fields[1].contains { $0 >= 0x30 && $0 <= 0x39 } || Self.isBlankWord(fields[1]))
            guard looksLikeData else {
                throw .wrongColumns(path: path, row: number, found: excerpt(texts.joined(separator: ",")))
            }
            self.columns = Columns()
            return try readRow(line, number: number)
        }
        rowCount += 1
        guard fields.count == columns.count else {
            let id = fields.count > columns.id ? String(decoding: fields[columns.id], as: UTF8.self) : ""
            // The image is spoilt too, where the row says which it is.
            if !id.isEmpty { images[imageIndex(of: id)].isRejected = true }
            report(
                .wrongColumns,
                number,
                id.isEmpty ? nil : id,
                "wrong columns: expected \(columns.count), found \(fields.count)"
            )
            return
        }
        let id = String(decoding: fields[columns.id], as: UTF8.self)
        guard !id.isEmpty else {
            report(.missingID, number, nil, "the row has a mask but no image id")
            return
        }
        let index = imageIndex(of: id)
        do throws(RunLengthError) {
            let cell: LabelTable.Cell
            let field = fields[columns.mask]
            if field.elementsEqual("-1".utf8) {
                cell = .none
            } else if Self.isBlankWord(field) {
                cell = .blank(String(decoding: field, as: UTF8.self))
            } else {
                cell = .runs(try RunLengthNumbers(field))
            }
            images[index].rows.append(.init(number: number, cell: cell))
        } catch {
            images[index].isRejected = true
            report(.badRuns, number, id, error.description)
        }
    }

    /// Whether a field is empty, or what pandas and databases write for that.
    private static func isBlankWord(_ field: UnsafeBufferPointer<UInt8>) -> Bool {
        guard field.count <= 4 else { return false }
        let words = ["", "nan", "none", "null", "na", "n/a", "<na>", "-1.0"]
        return words.contains(String(decoding: field, as: UTF8.self).lowercased())
    }

    private mutating func imageIndex(of id: String) -> Int {
        if let index = indices[id] { return index }
        indices[id] = images.count
        images.append(LabelTable.Image(id: id))
        return images.count - 1
    }

    private mutating func report(_ kind: LabelFile.Defect.Kind, _ row: Int, _ id: String?, _ reason: String) {
        defects.append(.init(kind: kind, path: path, row: row, id: id, reason: reason))
    }

    consuming func finish() throws(LabelFileError) -> LabelTable {
        guard rowCount > 0 else { throw .noRows(path: path) }
        return LabelTable(path: path, images: images, defects: defects, rowCount: rowCount)
    }
}

// MARK: - Fields

private func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0D
}

/// The bytes without blanks around them.
private func trimmed(_ bytes: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
    var start = 0
    var end = bytes.count
    while start < end && isBlank(bytes[start]) { start += 1 }
    while end > start && isBlank(bytes[end - 1]) { end -= 1 }
    return UnsafeBufferPointer(rebasing: bytes[start..<end])
}

/// The fields of a line, without blanks or quotation marks around them.
///
/// A separator inside quotation marks does not part.
private func split(_ line: UnsafeBufferPointer<UInt8>, at separator: UInt8) -> [UnsafeBufferPointer<UInt8>] {
    var fields: [UnsafeBufferPointer<UInt8>] = []
    var start = 0
    var isQuoted = false
    for index in 0...line.count {
        if index < line.count {
            if line[index] == 0x22 { isQuoted.toggle() }
            if line[index] != separator || isQuoted { continue }
        }
        var field = trimmed(UnsafeBufferPointer(rebasing: line[start..<index]))
        if field.count >= 2 && field.first == 0x22 && field.last == 0x22 {
            field = trimmed(UnsafeBufferPointer(rebasing: field[1..<field.count - 1]))
        }
        fields.append(field)
        start = index + 1
    }
    return fields
}

/// The beginning of a text, for messages.
private func excerpt(_ text: String) -> String {
    text.count <= 80 ? text : text.prefix(80) + "…"
}
