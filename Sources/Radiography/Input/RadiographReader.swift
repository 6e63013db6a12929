private import Glibc
import Platform

/// Reads a radiograph from a file of any format that is taken.
package enum RadiographReader {
    /// The largest file that is read: 512 MiB.
    static let fileLimit = 512 << 20

    /// The largest image that is decoded, in pixels.
    package static var maximumPixels: Int { DICOMFile.maximumPixels }

    /// Reads a DICOM, PNG, JPEG or TIFF file in this process; what it is, its first bytes say.
    ///
    /// Blocks.
    ///
    /// A hostile file can bring this process down through a defect of a decoder: where files come from others, use
    /// `DecodeWorker`.
    package static func read(_ path: String) throws(RadiographError) -> Radiograph {
        guard let format = RasterFile.Format(beginning: try beginning(of: path)) else {
            return try DICOMFile.read(path)
        }
        let (image, remarks) = try RasterFile.decode(try contents(of: path), as: format, path: path)
        return Radiograph(
            image: image,
            metadata: RadiographMetadata(rows: image.height, columns: image.width),
            remarks: remarks + image.remarks()
        )
    }

    /// Reads what a file says about its radiograph, and hashes its bytes; damage in the pixels is not noticed.
    ///
    /// Of PNG, JPEG and TIFF nothing but hash and size are known; where damage hides the size, it is 0.
    package static func probe(_ path: String) throws(RadiographError) -> FileReport {
        let format = RasterFile.Format(beginning: try beginning(of: path))
        var metadata = RadiographMetadata(rows: 0, columns: 0)
        if format == nil { metadata = try DICOMFile.probe(path) }
        let bytes = try contents(of: path)
        if let format, let size = RasterFile.size(bytes, as: format) {
            metadata = RadiographMetadata(rows: size.height, columns: size.width)
        }
        let hash = bytes.withUnsafeBytes { XXH3.hash128($0) }
        return FileReport(metadata: metadata, contentHash: hexadecimal(hash.high) + hexadecimal(hash.low))
    }

    private static func hexadecimal(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func contents(of path: String) throws(RadiographError) -> [UInt8] {
        do {
            return try FileContents.read(path, limit: fileLimit)
        } catch {
            throw RadiographError(.unreadable, path: path, reason: error.reason)
        }
    }

    private static func beginning(of path: String) throws(RadiographError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw RadiographError(.unreadable, path: path, reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 8)
        let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, 8) }
        guard count >= 0 else {
            throw RadiographError(.unreadable, path: path, reason: String(cString: strerror(errno)))
        }
        return Array(bytes.prefix(count))
    }
}
