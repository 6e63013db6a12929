private import Glibc

/// Reads a radiograph from a file of any format that is taken.
package enum RadiographReader {
    /// The largest file that is read: 512 MiB.
    static let fileLimit = 512 << 20

    /// Reads a DICOM, PNG or JPEG file in this process; what it is, its first bytes say.
    ///
    /// Blocks.
    ///
    /// A hostile file can bring this process down through a defect of a decoder: where files come from others, use
    /// `DecodePool`.
    package static func read(_ path: String) throws(RadiographError) -> Radiograph {
        guard let format = RasterFile.Format(beginning: try beginning(of: path)) else {
            return try DICOMFile.read(path)
        }
        let bytes: [UInt8]
        do {
            bytes = try FileContents.read(path, limit: fileLimit)
        } catch {
            throw RadiographError(.unreadable, path: path, reason: error.description)
        }
        let image = try RasterFile.decode(bytes, as: format, path: path)
        return Radiograph(image: image, metadata: RadiographMetadata(rows: image.height, columns: image.width))
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
