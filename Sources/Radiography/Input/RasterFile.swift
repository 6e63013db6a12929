private import CRaster

/// Decodes and encodes PNG and JPEG through libpng and libjpeg.
package enum RasterFile {
    /// The formats that are told by their first bytes.
    enum Format {
        case png
        case jpeg
        case tiff

        init?(beginning: some Collection<UInt8>) {
            if beginning.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
                self = .png
            } else if beginning.starts(with: [0xFF, 0xD8, 0xFF]) {
                self = .jpeg
            } else if TIFFFile.begins(beginning) {
                self = .tiff
            } else {
                return nil
            }
        }
    }

    /// The size that a file says its picture has, upright, where it says one that is possible; damage behind that is not noticed.
    static func size(_ bytes: [UInt8], as format: Format) -> (width: Int, height: Int)? {
        let size: (width: Int, height: Int)?
        switch format {
        case .png:
            func number(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(bytes[offset + $1]) } }
            size = bytes.count >= 24 ? (number(16), number(20)) : nil
        case .jpeg:
            size = bytes.withUnsafeBufferPointer { EncodedSize.jpegFrame(in: $0) }.map { ($0.width, $0.height) }
        case .tiff: size = TIFFFile.size(bytes)
        }
        guard let size, (1...1 << 16).contains(size.width), (1...1 << 16).contains(size.height) else { return nil }
        return orientation(bytes, format).isSideways ? (size.height, size.width) : size
    }

    private static func orientation(_ bytes: [UInt8], _ format: Format) -> ExifOrientation {
        switch format {
        case .png: ExifOrientation.ofPNG(bytes)
        case .jpeg: ExifOrientation.ofJPEG(bytes)
        case .tiff: .upright
        }
    }

    /// Decodes a file to 8-bit grey, upright, with what was assumed.
    static func decode(
        _ bytes: [UInt8],
        as format: Format,
        path: String,
        maximumPixels: Int = DICOMFile.maximumPixels
    ) throws(RadiographError) -> (image: GrayImage, remarks: [PictureRemark]) {
        if format == .tiff { return try tiff(bytes, path: path) }
        var image = craster_image()
        let limit = UInt64(maximumPixels)
        let isDecoded = bytes.withUnsafeBufferPointer { buffer in
            switch format {
            case .png: craster_decode_png(buffer.baseAddress, buffer.count, limit, &image)
            case .jpeg, .tiff: craster_decode_jpeg(buffer.baseAddress, buffer.count, limit, &image)
            }
        }
        defer {
            craster_free(image.pixels)
            craster_free(image.words)
        }
        guard isDecoded != 0 else {
            let library = format == .png ? "libpng" : "libjpeg"
            throw RadiographError(
                .damaged,
                path: path,
                reason: "\(library) cannot decode it: \(text(&image.message))"
            )
        }
        let count = Int(image.width) * Int(image.height)
        var remarks: [PictureRemark] = []
        var pixels: [UInt8] = []
        if let words = image.words {
            pixels = gray(UnsafeBufferPointer(start: words, count: count), &remarks)
        } else if let bytes = image.pixels {
            pixels = Array(UnsafeBufferPointer(start: bytes, count: count))
        }
        guard count > 0, pixels.count == count else {
            throw RadiographError(.damaged, path: path, reason: "it has no pixels")
        }
        let orientation = orientation(bytes, format)
        if orientation != .upright {
            let reason = "its orientation (Exif) is \(orientation.rawValue): it was \(orientation.words)"
            remarks.append(PictureRemark(.turned, reason))
        }
        let stored = GrayImage(width: Int(image.width), height: Int(image.height), pixels: pixels)
        return (orientation.applied(to: stored), remarks)
    }

    private static func tiff(
        _ bytes: [UInt8],
        path: String
    ) throws(RadiographError) -> (image: GrayImage, remarks: [PictureRemark]) {
        let file = try TIFFFile(bytes, path: path)
        guard let words = file.words else { return (file.gray(), []) }
        var remarks: [PictureRemark] = []
        var pixels = words.withUnsafeBufferPointer { gray($0, &remarks) }
        if file.isInverted { for index in pixels.indices { pixels[index] = 255 - pixels[index] } }
        return (GrayImage(width: file.width, height: file.height, pixels: pixels), remarks)
    }

    /// Values of 16 bits as 8-bit grey: over the whole range, or over that of the detector where they leave most of it.
    private static func gray(_ words: UnsafeBufferPointer<UInt16>, _ remarks: inout [PictureRemark]) -> [UInt8] {
        let maximum = Int(words.max() ?? 0)
        var bits = 16
        if let fewer = ValueDepth.fewer(than: bits, maximum: maximum) {
            bits = fewer
            let reason =
                "its values have 16 bits and none is above \(maximum): they were taken as values of \(bits) bits"
            remarks.append(PictureRemark(.depth, reason))
        }
        let white = (1 << bits) - 1
        return words.map { UInt8((2 * 255 * Int($0) + white) / (2 * white)) }
    }

    /// What became of a grey JPEG stream.
    enum JPEGOutcome {
        case decoded([UInt8])
        /// Some values are missing or wrong.
        case damaged(String)
        /// Not a grey image of the expected size, or of a kind that libjpeg does not know.
        case other
    }

    /// Decodes a grey JPEG stream whose frame header has the given size.
    static func decodeGrayJPEG(_ bytes: UnsafeBufferPointer<UInt8>, width: Int, height: Int) -> JPEGOutcome {
        var image = craster_image()
        let isDecoded = craster_decode_jpeg(bytes.baseAddress, bytes.count, UInt64(width * height), &image)
        defer { craster_free(image.pixels) }
        if image.is_damaged != 0 { return .damaged(text(&image.message)) }
        guard isDecoded != 0, let pixels = image.pixels, image.source_channels == 1,
            Int(image.width) == width, Int(image.height) == height
        else { return .other }
        return .decoded(Array(UnsafeBufferPointer(start: pixels, count: width * height)))
    }

    /// A PNG of 8-bit grey (1 channel) or RGB (3 channels) pixels, row-major.
    ///
    /// `level` is zlib's, 0 to 9. Nothing but a lack of memory makes this fail; the result is then empty.
    package static func png(_ pixels: [UInt8], width: Int, height: Int, channels: Int = 1, level: Int = 6) -> [UInt8] {
        check(pixels, width, height, channels)
        return encoded { result in
            craster_encode_png(pixels, UInt32(width), UInt32(height), UInt32(channels), Int32(level), &result)
        }
    }

    /// A baseline JPEG of 8-bit grey (1 channel) or RGB (3 channels) pixels, row-major.
    package static func jpeg(
        _ pixels: [UInt8],
        width: Int,
        height: Int,
        channels: Int = 1,
        quality: Int = 90
    ) -> [UInt8] {
        check(pixels, width, height, channels)
        return encoded { result in
            craster_encode_jpeg(pixels, UInt32(width), UInt32(height), UInt32(channels), Int32(quality), &result)
        }
    }

    private static func check(_ pixels: [UInt8], _ width: Int, _ height: Int, _ channels: Int) {
        precondition(channels == 1 || channels == 3, "\(channels) channels")
        precondition(
            width > 0 && height > 0 && width < 1 << 16 && height < 1 << 16
                && pixels.count == width * height * channels,
            "\(pixels.count) bytes for \(width)×\(height)×\(channels)"
        )
    }

    private static func encoded(_ body: (inout craster_bytes) -> Int32) -> [UInt8] {
        var result = craster_bytes()
        guard body(&result) != 0, let bytes = result.bytes else { return [] }
        defer { craster_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: result.count))
    }

    /// The text of a fixed array of C.
    private static func text<Tuple>(_ message: inout Tuple) -> String {
        withUnsafeBytes(of: &message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
