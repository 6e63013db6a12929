extension LabelFile {
    /// Reads the bytes of a CSV file; `path` is for messages.
    package init(
        bytes: [UInt8],
        path: String,
        width: Int = RunLengthMask.challengeSide,
        height: Int = RunLengthMask.challengeSide
    ) throws(LabelFileError) {
        var builder = LabelBuilder(path: path, width: width, height: height)
        let result = bytes.withUnsafeBufferPointer { buffer in
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

    static let idNames: Set<String> = ["imageid", "image_id", "fname", "filename", "id", "image"]
    static let maskNames: Set<String> = ["encodedpixels", "encoded_pixels", "mask", "rle"]

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
    private struct Row {
        var number: Int
        var mask: RunLengthMask
    }

    private struct Image {
        var id: String
        var rows: [Row] = []
        var isRejected = false
    }

    private let path: String
    private let width: Int
    private let height: Int
    private var columns: Columns?
    private var images: [Image] = []
    private var indices: [String: Int] = [:]
    private var defects: [LabelFile.Defect] = []
    private var rowCount = 0

    init(path: String, width: Int, height: Int) {
        self.path = path
        self.width = width
        self.height = height
    }

    mutating func readRows(_ bytes: UnsafeBufferPointer<UInt8>) throws(LabelFileError) {
        guard !bytes.contains(0) else { throw .notText(path: path) }
        var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        var number = 0
        while start < bytes.count {
            number += 1
            var end = start
            while end < bytes.count && bytes[end] != 0x0A { end += 1 }
            let line = trimmed(UnsafeBufferPointer(rebasing: bytes[start..<end]))
            if !line.isEmpty { try readRow(line, number: number) }
            start = end + 1
        }
    }

    private mutating func readRow(_ line: UnsafeBufferPointer<UInt8>, number: Int) throws(LabelFileError) {
        let fields = split(line)
        guard let columns else {
            let texts = fields.map { String(decoding: $0, as: UTF8.self) }
            if let named = Columns(header: texts) {
                self.columns = named
                return
            }
            let looksLikeData = fields.count == 2 && fields[1].contains { $0 >= 0x30 && $0 <= 0x39 }
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
            let mask = try RunLengthMask(encoded: fields[columns.mask], width: width, height: height)
            images[index].rows.append(Row(number: number, mask: mask))
        } catch {
            images[index].isRejected = true
            report(.badRuns, number, id, error.description)
        }
    }

    private mutating func imageIndex(of id: String) -> Int {
        if let index = indices[id] { return index }
        indices[id] = images.count
        images.append(Image(id: id))
        return images.count - 1
    }

    private mutating func report(_ kind: LabelFile.Defect.Kind, _ row: Int, _ id: String?, _ reason: String) {
        defects.append(.init(kind: kind, path: path, row: row, id: id, reason: reason))
    }

    consuming func finish() throws(LabelFileError) -> LabelFile {
        guard rowCount > 0 else { throw .noRows(path: path) }
        var entries: [LabelFile.Entry] = []
        var rejected: [String] = []
        entries.reserveCapacity(images.count)
        for index in images.indices {
            if let entry = merge(images[index]) { entries.append(entry) } else { rejected.append(images[index].id) }
        }
        return LabelFile(path: path, entries: entries, rejectedIDs: rejected, defects: defects, rowCount: rowCount)
    }

    /// The union of an image's rows, or nothing where they cannot be one mask.
    private mutating func merge(_ image: Image) -> LabelFile.Entry? {
        var isRejected = image.isRejected
        if let empty = image.rows.first(where: \.mask.isEmpty), let full = image.rows.first(where: { !$0.mask.isEmpty })
        {
            report(
                .emptyAndMask,
                max(empty.number, full.number),
                image.id,
                "the image has both -1 (row \(empty.number)) and a mask (row \(full.number)); keep one"
            )
            isRejected = true
        }
        var union = RunLengthMask(width: width, height: height)
        for (index, row) in image.rows.enumerated() {
            if let same = image.rows[..<index].first(where: { $0.mask == row.mask }) {
                report(.duplicateRow, row.number, image.id, "the row repeats row \(same.number)")
            } else {
                let overlap = union.intersectionArea(row.mask)
                if overlap > 0 {
                    report(
                        .overlappingRows,
                        row.number,
                        image.id,
                        "\(overlap) of \(row.mask.area) pixels are also in earlier rows of the image; used the union"
                    )
                }
            }
            union = union.union(row.mask)
        }
        return isRejected ? nil : .init(id: image.id, mask: union, rows: image.rows.map(\.number))
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
/// A comma inside quotation marks does not part.
private func split(_ line: UnsafeBufferPointer<UInt8>) -> [UnsafeBufferPointer<UInt8>] {
    var fields: [UnsafeBufferPointer<UInt8>] = []
    var start = 0
    var isQuoted = false
    for index in 0...line.count {
        if index < line.count {
            if line[index] == 0x22 { isQuoted.toggle() }
            if line[index] != 0x2C || isQuoted { continue }
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
