internal import CDICOM

/// What the header of an image says about its pixels, read whole, or refused by the name of what cannot be read.
struct DICOMHeader {
    var rows: Int
    var columns: Int
    /// The bytes of a value in pixel data that is not compressed.
    var bytesPerValue: Int
    var bits: StoredBits
    /// How values become grey; `bitsStored` and `bitsUsed` wait for the pixels.
    var transform: PixelTransform
    /// The stored values of pixels that are no part of the picture.
    var padding: ClosedRange<Int>?
    var isEncapsulated: Bool
    /// The bytes of pixel data that is not compressed.
    var nativeBytes: Int
    /// Whether what is more than the image takes is of one value.
    var isExcessBlank: Bool
    var hasOverlaysInPixels: Bool
    var metadata: RadiographMetadata
    /// What was assumed.
    var remarks: [PictureRemark]
}

/// Reads the header of an open file.
struct DICOMHeaderReader {
    private let file: OpaquePointer
    private let path: String
    private var remarks: [PictureRemark] = []

    init(_ file: OpaquePointer, path: String) {
        self.file = file
        self.path = path
    }

    private func refusal(_ kind: RadiographError.Kind, _ reason: String) -> RadiographError {
        RadiographError(kind, path: path, reason: reason)
    }

    mutating func header() throws(RadiographError) -> DICOMHeader {
        var raw = cdicom_header()
        cdicom_describe(file, &raw)
        if let name = raw.unreadable {
            throw refusal(.damaged, "its element \(String(cString: name)) is not a number that can be read")
        }
        if let note = text(CDICOM_TEXT_NOTE) { remarks.append(PictureRemark(.header, note)) }
        let isInverted = try photometric(samples: raw.samples_per_pixel)
        try checkFrames()
        let (rows, columns) = (Int(raw.rows), Int(raw.columns))
        guard rows > 0, columns > 0, rows * columns <= DICOMFile.maximumPixels else {
            throw refusal(.damaged, "it says it has \(rows) rows and \(columns) columns")
        }
        guard raw.bits_allocated == 8 || raw.bits_allocated == 16 else {
            throw refusal(.unsupported, "its pixels have \(raw.bits_allocated) bits allocated; 8 or 16 are read")
        }
        guard raw.bits_stored >= 1, raw.bits_stored <= raw.bits_allocated, raw.high_bit < raw.bits_allocated,
            raw.high_bit + 1 >= raw.bits_stored
        else {
            throw refusal(
                .damaged,
                "\(raw.bits_stored) bits stored with the high bit \(raw.high_bit) do not fit in "
                    + "\(raw.bits_allocated) bits allocated"
            )
        }
        guard raw.pixel_representation <= 1 else {
            throw refusal(.damaged, "its pixel representation \(raw.pixel_representation) is neither 0 nor 1")
        }
        let bits = StoredBits(
            count: Int(raw.bits_stored),
            highBit: Int(raw.high_bit),
            isSigned: raw.pixel_representation == 1
        )
        var transform = PixelTransform(bitsStored: bits.count, isSigned: bits.isSigned)
        transform.isInverted = isInverted
        try readModality(raw.modality_table, into: &transform)
        try readValuesOfInterest(raw.voi_table, into: &transform)
        if let defect = transform.defect { throw refusal(.damaged, defect) }
        let padding = paddingValues(isSigned: bits.isSigned)
        let metadata = metadata(rows: rows, columns: columns)
        var header = DICOMHeader(
            rows: rows,
            columns: columns,
            bytesPerValue: Int(raw.bits_allocated / 8),
            bits: bits,
            transform: transform,
            padding: padding,
            isEncapsulated: raw.is_encapsulated != 0,
            nativeBytes: Int(clamping: raw.native_bytes),
            isExcessBlank: raw.is_excess_blank != 0,
            hasOverlaysInPixels: raw.has_overlays_in_pixels != 0,
            metadata: metadata,
            remarks: []
        )
        if !header.isEncapsulated { try checkNativeLength(header) }
        header.remarks = remarks
        return header
    }

    // MARK: - The kind of picture

    /// Whether black and white are exchanged.
    private mutating func photometric(samples: UInt32) throws(RadiographError) -> Bool {
        let written = text(CDICOM_TEXT_PHOTOMETRIC) ?? ""
        let name = written.filter { $0 != " " && $0 != "_" }.uppercased()
        if samples == 1, name.hasPrefix("MONO"), name != "MONOCHROME1", name != "MONOCHROME2" {
            let shown = HeaderNumber.shown(written)
            throw refusal(.unsupported, "its photometric interpretation ‘\(shown)’ does not say which value is white")
        }
        guard samples == 1, ["", "MONOCHROME1", "MONOCHROME2"].contains(name) else {
            throw refusal(
                .unsupported,
                "it is a colour image (\(HeaderNumber.shown(written)), \(samples) samples a pixel); radiographs are "
                    + "MONOCHROME1 or MONOCHROME2"
            )
        }
        if name.isEmpty {
            remarks.append(PictureRemark(.header, "it does not say which value is white; MONOCHROME2 was assumed"))
        } else if name != written {
            remarks.append(PictureRemark(.header, "its ‘\(HeaderNumber.shown(written))’ was read as \(name)"))
        }
        let shape = text(CDICOM_TEXT_PRESENTATION_SHAPE)?.uppercased()
        if name == "MONOCHROME2", shape == "INVERSE" {
            let reason = "it is MONOCHROME2 with an inverse presentation; it was not inverted"
            remarks.append(PictureRemark(.header, reason))
        }
        return name == "MONOCHROME1"
    }

    private mutating func checkFrames() throws(RadiographError) {
        guard let frames = try numbers(CDICOM_TEXT_FRAMES, "number of frames")?.first, frames != 0, frames != 1 else {
            return
        }
        guard frames > 0, frames == frames.rounded(), frames < 1e9 else {
            let written = HeaderNumber.shown(text(CDICOM_TEXT_FRAMES) ?? "")
            throw refusal(.damaged, "its number of frames ‘\(written)’ is none")
        }
        throw refusal(.unsupported, "it has \(Int(frames)) frames; a radiograph is one frame in a file of its own")
    }

    /// Data that is not compressed has the length that the header says; what is more is padding (PS3.5 8.1.1).
    private mutating func checkNativeLength(_ header: DICOMHeader) throws(RadiographError) {
        let rowBytes = header.columns * header.bytesPerValue
        let expected = header.rows * rowBytes
        let excess = header.nativeBytes - expected
        // What is blank is padding however much it is; of other bytes an eighth may be, and twice as much is another image
        // than the header's.
        guard excess < 0 || excess >= max(rowBytes, 2) else { return }
        let found = "it has \(header.nativeBytes) bytes of pixels under a header of \(header.columns)×\(header.rows)"
        guard excess > 0, header.isExcessBlank || 8 * excess <= expected else {
            throw refusal(.damaged, "\(found), which takes \(expected)")
        }
        remarks.append(PictureRemark(.header, "\(found); the last \(excess) were taken for padding"))
    }

    // MARK: - Greys

    private static let unknownGreys = ", so its greys are not known"

    private mutating func readModality(
        _ table: cdicom_table,
        into transform: inout PixelTransform
    ) throws(RadiographError) {
        if table.is_damaged != 0 {
            throw refusal(.damaged, "its modality look-up table is malformed" + Self.unknownGreys)
        }
        if let table = lookupTable(table, "modality") {
            transform.modality = .table(table)
            return
        }
        let slope = try number(CDICOM_TEXT_RESCALE_SLOPE, "rescale slope")
        let intercept = try number(CDICOM_TEXT_RESCALE_INTERCEPT, "rescale intercept")
        guard slope != nil || intercept != nil else { return }
        guard let slope, let intercept else {
            throw refusal(.damaged, "its rescale slope and intercept are not two numbers" + Self.unknownGreys)
        }
        if slope != 1 || intercept != 0 { transform.modality = .rescale(slope: slope, intercept: intercept) }
    }

    /// The table or the window: where both are there, the table counts, unless it cannot be used.
    private mutating func readValuesOfInterest(
        _ table: cdicom_table,
        into transform: inout PixelTransform
    ) throws(RadiographError) {
        let usable = lookupTable(table, "values-of-interest")
        if let usable { transform.valuesOfInterest = .table(usable) }
        let window: PixelTransform.ValuesOfInterest?
        do throws(RadiographError) {
            window = try self.window()
        } catch {
            // A table beside it says the same in another way.
            guard usable != nil else { throw error }
            remarks.append(PictureRemark(.header, error.reason + "; its look-up table was used"))
            return
        }
        guard usable == nil else { return }
        if let window { transform.valuesOfInterest = window }
        guard table.is_damaged != 0 else { return }
        guard window != nil else {
            throw refusal(.damaged, "its values-of-interest look-up table is malformed" + Self.unknownGreys)
        }
        let reason = "its values-of-interest look-up table is malformed; its window was used"
        remarks.append(PictureRemark(.table, reason))
    }

    private mutating func window() throws(RadiographError) -> PixelTransform.ValuesOfInterest? {
        let center = try number(CDICOM_TEXT_WINDOW_CENTER, "window center")
        let width = try number(CDICOM_TEXT_WINDOW_WIDTH, "window width")
        guard center != nil || width != nil else { return nil }
        guard let center, let width else {
            throw refusal(.damaged, "its window center and width are not two numbers" + Self.unknownGreys)
        }
        let name = text(CDICOM_TEXT_VOI_FUNCTION) ?? PixelTransform.WindowFunction.linear.rawValue
        guard let function = PixelTransform.WindowFunction(rawValue: name) else {
            throw refusal(
                .unsupported,
                "its VOI LUT function \(HeaderNumber.shown(name)) is not LINEAR, LINEAR_EXACT or SIGMOID"
            )
        }
        return .window(center: center, width: width, function: function)
    }

    private mutating func lookupTable(_ table: cdicom_table, _ name: String) -> LookupTable? {
        guard table.is_damaged == 0, let values = table.values, table.count > 0, (1...16).contains(table.bits) else {
            return nil
        }
        let result = LookupTable(
            first: Int(table.first),
            values: Array(UnsafeBufferPointer(start: values, count: Int(table.count))),
            claimed: Int(table.claimed),
            bits: Int(table.bits)
        )
        if let assumption = result.assumption {
            remarks.append(PictureRemark(.table, "its \(name) look-up table \(assumption)"))
        }
        if result.claimed > result.values.count {
            let reason = "its \(name) look-up table has \(result.values.count) of \(result.claimed) entries"
            remarks.append(PictureRemark(.table, reason + "; no pixel needs the others"))
        }
        return result
    }

    /// The values of padding, between its two ends.
    private mutating func paddingValues(isSigned: Bool) -> ClosedRange<Int>? {
        func end(_ field: cdicom_text_field) -> Int? {
            guard let text = text(field), let value = Int(text) else { return nil }
            // The element is plain or signed whatever the pixels are.
            if isSigned && value > 32767 { return value - 65536 }
            return !isSigned && value < 0 ? value + 65536 : value
        }
        guard let value = end(CDICOM_TEXT_PADDING_VALUE) else { return nil }
        let limit = end(CDICOM_TEXT_PADDING_LIMIT) ?? value
        return min(value, limit)...max(value, limit)
    }

    // MARK: - Metadata

    private mutating func metadata(rows: Int, columns: Int) -> RadiographMetadata {
        var metadata = RadiographMetadata(rows: rows, columns: columns)
        metadata.sopInstanceUID = text(CDICOM_TEXT_SOP_INSTANCE_UID)
        metadata.patientID = text(CDICOM_TEXT_PATIENT_ID)
        metadata.sex = text(CDICOM_TEXT_PATIENT_SEX)
        metadata.viewPosition = text(CDICOM_TEXT_VIEW_POSITION)
        metadata.modality = text(CDICOM_TEXT_MODALITY)
        metadata.patientOrientation = text(CDICOM_TEXT_PATIENT_ORIENTATION)
        metadata.transferSyntax = text(CDICOM_TEXT_TRANSFER_SYNTAX_UID)
        if let age = text(CDICOM_TEXT_PATIENT_AGE) {
            metadata.age = RadiographMetadata.years(age)
            if metadata.age == nil {
                let reason = "its patient's age ‘\(HeaderNumber.shown(age))’ is none; it was left out"
                remarks.append(PictureRemark(.number, reason))
            }
        }
        let isOwn = text(CDICOM_TEXT_PIXEL_SPACING) != nil
        if let (row, column) = pair(
            isOwn ? CDICOM_TEXT_PIXEL_SPACING : CDICOM_TEXT_IMAGER_PIXEL_SPACING,
            "pixel spacing"
        ) {
            metadata.rowSpacing = row
            metadata.columnSpacing = column
            noteAspect(row, column)
        } else if let (row, column) = pair(CDICOM_TEXT_PIXEL_ASPECT_RATIO, "pixel aspect ratio") {
            noteAspect(row, column)
        }
        return metadata
    }

    private mutating func noteAspect(_ row: Double, _ column: Double) {
        guard abs(row / column - 1) > 0.01 else { return }
        let reason = "its pixels are \(row) high and \(column) wide; they were taken as squares"
        remarks.append(PictureRemark(.notSquare, reason))
    }

    /// Two positive numbers, or nothing where they are absent or none, which is told.
    private mutating func pair(_ field: cdicom_text_field, _ name: String) -> (Double, Double)? {
        let known = remarks.count
        guard let found = try? numbers(field, name) else {
            if text(field) != nil {
                remarks.append(PictureRemark(.number, "its \(name) cannot be read; it was left out"))
            }
            return nil
        }
        guard found.count == 2, found[0] > 0, found[1] > 0 else {
            remarks.removeLast(remarks.count - known)
            let written = HeaderNumber.shown(text(field) ?? "")
            remarks.append(PictureRemark(.number, "its \(name) \(written) is not two lengths; it was left out"))
            return nil
        }
        return (found[0], found[1])
    }

    // MARK: - Texts

    /// The first number of a list, or nothing where it is absent.
    private mutating func number(_ field: cdicom_text_field, _ name: String) throws(RadiographError) -> Double? {
        try numbers(field, name)?.first
    }

    /// The numbers of a list, up to the first that is empty; nothing where the element is absent or has no value.
    ///
    /// One that is written with a decimal comma is told; one that cannot be read is refused by name.
    private mutating func numbers(_ field: cdicom_text_field, _ name: String) throws(RadiographError) -> [Double]? {
        let consequence = field == CDICOM_TEXT_FRAMES ? "" : Self.unknownGreys
        guard let bytes = cdicom_text(file, field) else {
            throw refusal(.damaged, "its \(name) is not a text" + consequence)
        }
        let written = String(cString: bytes)
        var result: [Double] = []
        for part in written.split(separator: "\\", omittingEmptySubsequences: false) {
            switch HeaderNumber(String(part)) {
            case .absent:
                guard result.isEmpty else { return result }
                // An empty value before others is no absent element.
                if written.contains(where: { $0.isNumber }) {
                    throw refusal(.damaged, "its first \(name) is empty" + consequence)
                }
                return nil
            case .value(let value): result.append(value)
            case .comma(let value):
                let shown = HeaderNumber.shown(String(part))
                remarks.append(PictureRemark(.number, "its \(name) ‘\(shown)’ was read as \(value)"))
                result.append(value)
            case .unreadable(let reason):
                // Those after the first are of views that nobody asked for.
                if !result.isEmpty, field != CDICOM_TEXT_PIXEL_SPACING { return result }
                throw refusal(.damaged, "its \(name) \(reason)" + consequence)
            }
        }
        return result
    }

    /// A text of the header without blanks around it, or nothing where it is empty or cannot be read.
    private func text(_ field: cdicom_text_field) -> String? {
        guard let bytes = cdicom_text(file, field) else { return nil }
        let text = String(cString: bytes)
        let trimmed = text.drop { $0 == " " }
        let end = trimmed.lastIndex { $0 != " " && $0 != "\0" }
        return end.map { String(trimmed[...$0]) }
    }
}
