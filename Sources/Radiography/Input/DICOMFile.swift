private import CDICOM

/// Reads radiographs from DICOM files through DCMTK.
enum DICOMFile {
    /// The largest image that is decoded, in pixels: five times the largest detectors.
    static let maximumPixels = 100_000_000

    /// Reads a file.
    ///
    /// It may be anything: call this in a process that may die.
    static func read(_ path: String) throws(RadiographError) -> Radiograph {
        do { return try readImage(path) } catch { throw identified(error) }
    }

    private static func readImage(_ path: String) throws(RadiographError) -> Radiograph {
        let file = try open(path)
        defer { cdicom_close(file) }
        var header = cdicom_header()
        cdicom_describe(file, &header)
        let transform = try checkedTransform(header, file: file, path: path)
        let pixels = try grayPixels(file, header: header, transform: transform, path: path)
        let image = GrayImage(width: Int(header.columns), height: Int(header.rows), pixels: pixels)
        return Radiograph(image: image, metadata: metadata(file, header: header))
    }

    /// Reads and checks the header alone.
    static func probe(_ path: String) throws(RadiographError) -> RadiographMetadata {
        do { return try readHeader(path) } catch { throw identified(error) }
    }

    private static func readHeader(_ path: String) throws(RadiographError) -> RadiographMetadata {
        let file = try open(path)
        defer { cdicom_close(file) }
        var header = cdicom_header()
        cdicom_describe(file, &header)
        _ = try checkedTransform(header, file: file, path: path)
        return metadata(file, header: header)
    }

    private static func open(_ path: String) throws(RadiographError) -> OpaquePointer {
        guard cdicom_prepare() != 0 else {
            throw RadiographError(
                .unsupported,
                path: path,
                reason:
                    "DCMTK's data dictionary is missing; install the package libdcmtk17 (or libdcmtk-dev), or point "
                    + "DCMDICTPATH to dicom.dic"
            )
        }
        var opened: OpaquePointer?
        let (status, message) = withMessage { cdicom_open(path, &opened, $0, $1) }
        guard status == CDICOM_OK, let file = opened else { throw failure(status, path: path, message: message) }
        return file
    }

    // MARK: - Header

    private static func checkedTransform(
        _ header: cdicom_header,
        file: OpaquePointer,
        path: String
    ) throws(RadiographError) -> PixelTransform {
        func refuse(_ kind: RadiographError.Kind, _ reason: String) -> RadiographError {
            RadiographError(kind, path: path, reason: reason)
        }
        let photometric = text(file, CDICOM_TEXT_PHOTOMETRIC) ?? ""
        guard header.samples_per_pixel == 1, photometric.isEmpty || photometric.hasPrefix("MONOCHROME") else {
            throw refuse(
                .unsupported,
                "it is a colour image (\(photometric), \(header.samples_per_pixel) samples a pixel); radiographs are "
                    + "MONOCHROME1 or MONOCHROME2"
            )
        }
        guard header.frames == 1 else {
            throw refuse(.unsupported, "it has \(header.frames) frames; a radiograph is one frame in a file of its own")
        }
        guard header.rows > 0, header.columns > 0, Int(header.rows) * Int(header.columns) <= maximumPixels else {
            throw refuse(.damaged, "it says it has \(header.rows) rows and \(header.columns) columns")
        }
        guard header.bits_allocated == 8 || header.bits_allocated == 16 else {
            throw refuse(.unsupported, "its pixels have \(header.bits_allocated) bits allocated; 8 or 16 are read")
        }
        guard header.bits_stored >= 1, header.bits_stored <= header.bits_allocated,
            header.high_bit < header.bits_allocated, header.high_bit + 1 >= header.bits_stored
        else {
            throw refuse(
                .damaged,
                "\(header.bits_stored) bits stored with the high bit \(header.high_bit) do not fit in "
                    + "\(header.bits_allocated) bits allocated"
            )
        }
        var transform = PixelTransform(bitsStored: Int(header.bits_stored), isSigned: header.is_signed != 0)
        transform.isInverted = photometric == "MONOCHROME1"
        for (table, name) in [(header.modality_table, "modality"), (header.voi_table, "values-of-interest")]
        where table.is_damaged != 0 {
            throw refuse(.damaged, "its \(name) look-up table is malformed, so its greys are not known")
        }
        if header.has_rescale < 0 || header.has_window < 0 {
            let pair = header.has_rescale < 0 ? "rescale slope and intercept" : "window center and width"
            throw refuse(.damaged, "its \(pair) are not two numbers, so its greys are not known")
        }
        if header.is_encapsulated == 0 { try checkNativeLength(header, path: path) }
        if let table = lookupTable(header.modality_table) {
            transform.modality = .table(table)
        } else if header.has_rescale != 0 && !(header.rescale_slope == 1 && header.rescale_intercept == 0) {
            transform.modality = .rescale(slope: header.rescale_slope, intercept: header.rescale_intercept)
        }
        if let table = lookupTable(header.voi_table) {
            transform.valuesOfInterest = .table(table)
        } else if header.has_window != 0 {
            let name = text(file, CDICOM_TEXT_VOI_FUNCTION) ?? PixelTransform.WindowFunction.linear.rawValue
            guard let function = PixelTransform.WindowFunction(rawValue: name) else {
                throw refuse(.unsupported, "its VOI LUT function \(name) is not LINEAR, LINEAR_EXACT or SIGMOID")
            }
            transform.valuesOfInterest = .window(
                center: header.window_center,
                width: header.window_width,
                function: function
            )
        }
        if let defect = transform.defect { throw refuse(.damaged, defect) }
        return transform
    }

    /// Data that is not compressed has the length that the header says, but for padding of less than a row.
    private static func checkNativeLength(_ header: cdicom_header, path: String) throws(RadiographError) {
        let rowBytes = Int(header.columns) * Int(header.bits_allocated / 8)
        let expected = Int(header.rows) * rowBytes
        let found = Int(clamping: header.native_bytes)
        guard found < expected || found >= expected + max(rowBytes, 2) else { return }
        throw RadiographError(
            .damaged,
            path: path,
            reason: "it has \(found) bytes of pixels under a header of \(header.columns)×\(header.rows), which takes "
                + "\(expected)"
        )
    }

    private static func lookupTable(_ table: cdicom_table) -> LookupTable? {
        guard let values = table.values, table.count > 0, (1...16).contains(table.bits) else { return nil }
        return LookupTable(
            first: Int(table.first),
            values: Array(UnsafeBufferPointer(start: values, count: Int(table.count))),
            bits: Int(table.bits)
        )
    }

    private static func metadata(_ file: OpaquePointer, header: cdicom_header) -> RadiographMetadata {
        var metadata = RadiographMetadata(rows: Int(header.rows), columns: Int(header.columns))
        metadata.sopInstanceUID = text(file, CDICOM_TEXT_SOP_INSTANCE_UID)
        metadata.patientID = text(file, CDICOM_TEXT_PATIENT_ID)
        metadata.sex = text(file, CDICOM_TEXT_PATIENT_SEX)
        metadata.age = text(file, CDICOM_TEXT_PATIENT_AGE).flatMap(RadiographMetadata.years)
        metadata.viewPosition = text(file, CDICOM_TEXT_VIEW_POSITION)
        metadata.patientOrientation = text(file, CDICOM_TEXT_PATIENT_ORIENTATION)
        metadata.transferSyntax = text(file, CDICOM_TEXT_TRANSFER_SYNTAX_UID)
        let spacing = text(file, CDICOM_TEXT_PIXEL_SPACING) ?? text(file, CDICOM_TEXT_IMAGER_PIXEL_SPACING) ?? ""
        let numbers = spacing.split(separator: "\\").map { Double($0.filter { $0 != " " }) }
        if numbers.count == 2, let row = numbers[0], let column = numbers[1], row.isFinite, column.isFinite {
            metadata.rowSpacing = row
            metadata.columnSpacing = column
        }
        return metadata
    }

    /// A text of the header without blanks around it, or nothing where it is empty.
    private static func text(_ file: OpaquePointer, _ field: cdicom_text_field) -> String? {
        let bytes = String(cString: cdicom_text(file, field))
        let trimmed = bytes.drop { $0 == " " }
        let end = trimmed.lastIndex { $0 != " " && $0 != "\0" }
        return end.map { String(trimmed[...$0]) }
    }

    // MARK: - Pixels

    private static func grayPixels(
        _ file: OpaquePointer,
        header: cdicom_header,
        transform: PixelTransform,
        path: String
    ) throws(RadiographError) -> [UInt8] {
        let count = Int(header.rows) * Int(header.columns)
        let table = transform.table()
        let shift = Int(header.high_bit) + 1 - Int(header.bits_stored)
        let mask = (1 << Int(header.bits_stored)) - 1
        if header.bits_allocated == 8 {
            let isIdentity = shift == 0 && table.count == 256 && table.enumerated().allSatisfy { $0 == $1 }
            var bytes = try storedBytes(file, header: header, path: path)
            if !isIdentity {
                bytes.withUnsafeMutableBufferPointer { bytes in
                    table.withUnsafeBufferPointer { table in
                        for index in 0..<count { bytes[index] = table[Int(bytes[index]) >> shift & mask] }
                    }
                }
            }
            return bytes
        }
        if header.is_encapsulated != 0 {
            try withStream(file, path: path) { stream throws(RadiographError) in
                try checkEncodedSize(stream, file: file, header: header, path: path)
            }
        }
        var words = [UInt16](repeating: 0, count: count)
        if let failure = words.withUnsafeMutableBytes({ decode(file, into: $0, path: path) }) { throw failure }
        return [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
            words.withUnsafeBufferPointer { words in
                table.withUnsafeBufferPointer { table in
                    for index in 0..<count { target[index] = table[Int(words[index]) >> shift & mask] }
                }
            }
            initialized = count
        }
    }

    /// The stored values of an image with 8 bits allocated.
    private static func storedBytes(
        _ file: OpaquePointer,
        header: cdicom_header,
        path: String
    ) throws(RadiographError) -> [UInt8] {
        let count = Int(header.rows) * Int(header.columns)
        if header.is_encapsulated != 0 {
            let decoded = try withStream(file, path: path) { stream throws(RadiographError) -> [UInt8]? in
                try checkEncodedSize(stream, file: file, header: header, path: path)
                guard text(file, CDICOM_TEXT_TRANSFER_SYNTAX_UID) == TransferSyntax.jpegBaseline.rawValue else {
                    return nil
                }
                // libjpeg-turbo gives the same values as DCMTK's libjpeg four times as fast, and notices damage that
                // DCMTK's lets pass. What it does not take goes to DCMTK.
                switch RasterFile.decodeGrayJPEG(stream, width: Int(header.columns), height: Int(header.rows)) {
                case .decoded(let pixels): return pixels
                case .damaged(let reason):
                    throw RadiographError(
                        .damaged,
                        path: path,
                        reason: "its JPEG data is damaged or cut off (libjpeg: \(reason))"
                    )
                case .other: return nil
                }
            }
            if let decoded { return decoded }
        }
        // DCMTK asks for an even number of bytes.
        var bytes = [UInt8](repeating: 0, count: count + count % 2)
        if let failure = bytes.withUnsafeMutableBytes({ decode(file, into: $0, path: path) }) { throw failure }
        if count % 2 == 1 { bytes.removeLast() }
        return bytes
    }

    /// The compressed bytes of the image.
    private static func withStream<Value>(
        _ file: OpaquePointer,
        path: String,
        _ body: (UnsafeBufferPointer<UInt8>) throws(RadiographError) -> Value
    ) throws(RadiographError) -> Value {
        var bytes: UnsafePointer<UInt8>?
        var length = 0
        guard cdicom_fragments(file, &bytes, &length) == CDICOM_OK else {
            throw RadiographError(.damaged, path: path, reason: "its compressed pixel data is not in fragments")
        }
        return try body(UnsafeBufferPointer(start: bytes, count: length))
    }

    /// Refuses an image of another size than its header's.
    private static func checkEncodedSize(
        _ stream: UnsafeBufferPointer<UInt8>,
        file: OpaquePointer,
        header: cdicom_header,
        path: String
    ) throws(RadiographError) {
        func damaged(_ reason: String) -> RadiographError { RadiographError(.damaged, path: path, reason: reason) }
        let (width, height) = (Int(header.columns), Int(header.rows))
        let syntax = text(file, CDICOM_TEXT_TRANSFER_SYNTAX_UID) ?? ""
        if syntax == TransferSyntax.runLength.rawValue {
            guard let planes = EncodedSize.runLengthPlanes(in: stream) else {
                throw damaged("its RLE header is malformed")
            }
            let expected = Int(header.bits_allocated / 8)
            guard planes.count == expected else {
                throw damaged("it has \(planes.count) planes of bytes under a header of \(header.bits_allocated) bits")
            }
            if let wrong = planes.first(where: { $0 < width * height || $0 >= width * height + max(width, 2) }) {
                throw damaged("an image of \(wrong) pixels under a header of \(width)×\(height)")
            }
        } else if syntax.hasPrefix("1.2.840.10008.1.2.4.") {
            guard let frame = EncodedSize.jpegFrame(in: stream) else {
                throw damaged("its JPEG data has no frame header")
            }
            guard frame.width == width, frame.height == height else {
                throw damaged("a \(frame.width)×\(frame.height) image under a header of \(width)×\(height)")
            }
            guard frame.components == 1 else {
                throw damaged("an image of \(frame.components) components under a header of one sample a pixel")
            }
        }
    }

    private static func decode(
        _ file: OpaquePointer,
        into buffer: UnsafeMutableRawBufferPointer,
        path: String
    ) -> RadiographError? {
        let (status, message) = withMessage {
            cdicom_decode(file, buffer.baseAddress, UInt32(buffer.count), $0, $1)
        }
        return status == CDICOM_OK ? nil : failure(status, path: path, message: message)
    }

    // MARK: - Errors

    /// The error with the id of the image that the file would have been, where its meta header still tells.
    private static func identified(_ error: RadiographError) -> RadiographError {
        guard error.kind != .unreadable, error.kind != .notAnImage else { return error }
        var uid = [CChar](repeating: 0, count: 80)
        guard uid.withUnsafeMutableBufferPointer({ cdicom_instance(error.path, $0.baseAddress, $0.count) }) != 0 else {
            return error
        }
        var error = error
        error.id = String(decoding: uid.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return error
    }

    private static func withMessage(
        _ body: (UnsafeMutablePointer<CChar>?, Int) -> cdicom_status
    ) -> (cdicom_status, String) {
        var message = [CChar](repeating: 0, count: 400)
        let status = message.withUnsafeMutableBufferPointer { body($0.baseAddress, $0.count) }
        let bytes = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return (status, String(decoding: bytes, as: UTF8.self))
    }

    private static func failure(_ status: cdicom_status, path: String, message: String) -> RadiographError {
        switch status {
        case CDICOM_CANNOT_OPEN: return RadiographError(.unreadable, path: path, reason: message)
        case CDICOM_NOT_DICOM:
            // A beginning that can be read is text, as of a web page saved in place of the file.
            let hint = message.contains("begins with") ? "; a download may have saved an error page" : ""
            return RadiographError(.notAnImage, path: path, reason: message + hint)
        case CDICOM_UNSUPPORTED_SYNTAX:
            let remedy: String
            if message.contains("1.2.840.10008.1.2.4.20") {
                remedy = "; convert it first: pydicom with pylibjpeg-openjpeg reads it (Dataset.decompress)"
            } else if message.contains("JPEG 2000") || message.contains("1.2.840.10008.1.2.4.9") {
                remedy = "; convert it first: gdcmconv --raw IN.dcm OUT.dcm"
            } else {
                remedy = "; convert it first: gdcmconv --raw or dcmdjpeg, where they know it"
            }
            return RadiographError(
                .unsupported,
                path: path,
                reason: "its transfer syntax \(message) has no decoder in DCMTK\(remedy)"
            )
        default: return RadiographError(.damaged, path: path, reason: message)
        }
    }
}
