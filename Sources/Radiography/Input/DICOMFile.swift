internal import CDICOM

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
        var reader = DICOMHeaderReader(file, path: path)
        let header = try reader.header()
        var pixels = DICOMPixels(file, header: header, path: path)
        let greys = try pixels.greys()
        let image = GrayImage(width: header.columns, height: header.rows, pixels: greys)
        return Radiograph(
            image: image,
            metadata: header.metadata,
            remarks: header.remarks + pixels.remarks + image.remarks(cause: header.transform.cause)
        )
    }

    /// Reads and checks the header alone.
    static func probe(_ path: String) throws(RadiographError) -> RadiographMetadata {
        do { return try readHeader(path) } catch { throw identified(error) }
    }

    private static func readHeader(_ path: String) throws(RadiographError) -> RadiographMetadata {
        let file = try open(path)
        defer { cdicom_close(file) }
        var reader = DICOMHeaderReader(file, path: path)
        return try reader.header().metadata
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

    static func withMessage(
        _ body: (UnsafeMutablePointer<CChar>?, Int) -> cdicom_status
    ) -> (cdicom_status, String) {
        var message = [CChar](repeating: 0, count: 400)
        let status = message.withUnsafeMutableBufferPointer { body($0.baseAddress, $0.count) }
        let bytes = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return (status, String(decoding: bytes, as: UTF8.self))
    }

    static func failure(_ status: cdicom_status, path: String, message: String) -> RadiographError {
        switch status {
        case CDICOM_CANNOT_OPEN: return RadiographError(.unreadable, path: path, reason: message)
        case CDICOM_NOT_DICOM:
            // A beginning that can be read is text, as of a web page saved in place of the file.
            let hint = message.contains("begins with") ? "; a download may have saved an error page" : ""
            return RadiographError(.notAnImage, path: path, reason: message + hint)
        case CDICOM_OTHER_OBJECT:
            return RadiographError(.otherObject, path: path, reason: "it is no picture but \(message); left out")
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
