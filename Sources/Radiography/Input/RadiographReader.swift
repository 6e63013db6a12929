private import Glibc
import Platform

/// Reads a radiograph from a file of any format that is taken.
package enum RadiographReader {
    /// The largest file that is read: 512 MiB.
    static let fileLimit = 512 << 20

    /// The largest image that is decoded, in pixels.
    package static var maximumPixels: Int { DICOMFile.maximumPixels }

    /// Reads a DICOM, PNG or JPEG file in this process; what it is, its first bytes say.
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
    /// Of PNG and JPEG nothing but the hash is known: they have 0 rows and columns here.
    package static func probe(_ path: String) throws(RadiographError) -> FileReport {
        let isRaster = RasterFile.Format(beginning: try beginning(of: path)) != nil
        let metadata = isRaster ? RadiographMetadata(rows: 0, columns: 0) : try DICOMFile.probe(path)
        let hash = try contents(of: path).withUnsafeBytes { XXH3.hash128($0) }
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
