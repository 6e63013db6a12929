private import CDICOM
package import Diagnostics

/// The transfer syntaxes that files are written in, by UID.
package enum TransferSyntax: String, Sendable, CaseIterable {
    case implicitLittleEndian = "1.2.840.10008.1.2"
    case explicitLittleEndian = "1.2.840.10008.1.2.1"
    case deflated = "1.2.840.10008.1.2.1.99"
    case explicitBigEndian = "1.2.840.10008.1.2.2"
    /// The challenge's.
    case jpegBaseline = "1.2.840.10008.1.2.4.50"
    case jpegExtended = "1.2.840.10008.1.2.4.51"
    case jpegLossless = "1.2.840.10008.1.2.4.57"
    case jpegLosslessFirstOrder = "1.2.840.10008.1.2.4.70"
    case jpegLSLossless = "1.2.840.10008.1.2.4.80"
    case runLength = "1.2.840.10008.1.2.5"

    /// Whether the pixels come back as they were written.
    package var isLossless: Bool { self != .jpegBaseline && self != .jpegExtended }
}

/// Why a DICOM file could not be written.
package struct DICOMWriteError: ReportableError, Equatable {
    package var path: String
    package var reason: String

    package var exitStatus: ExitStatus { .temporary }
    package var description: String { "Cannot write \(path): \(reason)." }
}

/// A DICOM image to be written: pixels, and header elements as text.
package struct DICOMSource: Sendable {
    package enum Pixels: Sendable {
        case bytes([UInt8])
        case words([UInt16])
    }

    /// Row-major, `rows` · `columns` · `samplesPerPixel` · `frames` values.
    package var pixels: Pixels
    package var rows: Int
    package var columns: Int
    package var samplesPerPixel = 1
    package var frames = 1
    /// 8 for bytes and 16 for words where nothing else is set.
    package var bitsStored: Int
    package var isSigned = false
    package var photometric = "MONOCHROME2"
    package var transferSyntax = TransferSyntax.jpegBaseline
    /// Of lossy JPEG, 1 to 100.
    package var quality = 90
    /// Elements as "PatientID=…", or "VOILUTSequence[0].LUTDescriptor=…": names from DICOM's dictionary.
    ///
    /// SOP class is secondary capture where they do not set it.
    package var elements: [String] = []

    package init(_ pixels: Pixels, rows: Int, columns: Int) {
        self.pixels = pixels
        self.rows = rows
        self.columns = columns
        switch pixels {
        case .bytes: bitsStored = 8
        case .words: bitsStored = 16
        }
    }

    /// Writes the file.
    ///
    /// Blocks. The same source gives the same bytes with the same version of DCMTK.
    package func write(to path: String) throws(DICOMWriteError) {
        let count: Int
        switch pixels {
        case .bytes(let bytes): count = bytes.count
        case .words(let words): count = words.count
        }
        precondition(
            (1...Int(UInt16.max)).contains(rows) && (1...Int(UInt16.max)).contains(columns)
                && count == rows * columns * samplesPerPixel * frames,
            "\(count) values for \(rows)×\(columns)×\(samplesPerPixel)×\(frames)"
        )
        guard cdicom_prepare() != 0 else {
            throw DICOMWriteError(path: path, reason: "DCMTK's data dictionary is missing; install libdcmtk-dev")
        }
        var message = [CChar](repeating: 0, count: 400)
        let status = withSource { source in
            message.withUnsafeMutableBufferPointer { cdicom_write(path, &source, $0.baseAddress, $0.count) }
        }
        guard status == CDICOM_OK else {
            let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw DICOMWriteError(path: path, reason: text)
        }
    }

    private func withSource<Result>(_ body: (inout cdicom_source) -> Result) -> Result {
        var source = cdicom_source()
        source.rows = UInt32(rows)
        source.columns = UInt32(columns)
        source.samples_per_pixel = UInt32(samplesPerPixel)
        source.frames = UInt32(frames)
        source.bits_stored = UInt32(bitsStored)
        source.is_signed = isSigned ? 1 : 0
        source.jpeg_quality = UInt32(quality)
        return withCStrings(elements + [photometric, transferSyntax.rawValue]) { strings in
            source.elements = strings.baseAddress
            source.element_count = elements.count
            source.photometric = strings[elements.count]
            source.transfer_syntax_uid = strings[elements.count + 1]
            switch pixels {
            case .bytes(let bytes):
                source.bits_allocated = 8
                return bytes.withUnsafeBytes {
                    source.pixels = $0.baseAddress
                    return body(&source)
                }
            case .words(let words):
                source.bits_allocated = 16
                return words.withUnsafeBytes {
                    source.pixels = $0.baseAddress
                    return body(&source)
                }
            }
        }
    }
}

/// Calls `body` with zero-terminated copies of `texts`, in order.
private func withCStrings<Result>(
    _ texts: [String],
    _ body: (UnsafeBufferPointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
    var bytes: [CChar] = []
    var offsets: [Int] = []
    for text in texts {
        offsets.append(bytes.count)
        bytes += text.utf8CString
    }
    return bytes.withUnsafeBufferPointer { buffer in
        let pointers: [UnsafePointer<CChar>?] = offsets.map { offset in buffer.baseAddress.map { $0 + offset } }
        return pointers.withUnsafeBufferPointer(body)
    }
}
