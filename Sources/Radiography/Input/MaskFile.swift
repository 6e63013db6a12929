private import CRaster

/// Which values of a mask's pixels say that a pixel belongs to the mask.
package enum MaskValues: Sendable, Equatable {
    /// Every value but 0; that there is only one over all masks is for the caller to check.
    case one
    /// Every value but 0.
    case nonZero
    /// These.
    case classes([Int])

    /// `auto`, `any`, or values with commas between them.
    package init?(_ text: some StringProtocol) {
        switch text {
        case "auto": self = .one
        case "any": self = .nonZero
        default:
            let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
            guard !numbers.isEmpty, numbers.allSatisfy({ $0.map { (1...65_535).contains($0) } ?? false }) else {
                return nil
            }
            self = .classes(numbers.compactMap { $0 }.sorted())
        }
    }

    package var text: String {
        switch self {
        case .one: "auto"
        case .nonZero: "any"
        case .classes(let values): values.map(String.init).joined(separator: ",")
        }
    }
}

/// A mask as its file has it, at the file's own size.
package struct MaskPicture: Sendable, Equatable {
    package var width: Int
    package var height: Int
    /// The values that the file has besides 0, ascending; no more than `valueLimit` of them.
    package var values: [Int]
    /// The runs of set pixels down the columns, as pairs of start (x · height + y) and length, ascending.
    package var runs: [SIMD2<Int32>]

    package init(width: Int, height: Int, values: [Int], runs: [SIMD2<Int32>]) {
        self.width = width
        self.height = height
        self.values = values
        self.runs = runs
    }

    /// So many values of a mask are told; one that has more is a picture.
    package static let valueLimit = 256
    /// The most runs of a mask; one that has more is a picture, or noise.
    package static let runLimit = 1 << 21

    /// Whether runs and size are possible: they come from a process that a file may have corrupted.
    var isSound: Bool {
        guard width > 0, height > 0, width <= 1 << 16, height <= 1 << 16, width * height <= MaskFile.maximumPixels,
            values.count <= Self.valueLimit
        else { return false }
        var end = 0
        for run in runs {
            guard run.y > 0, Int(run.x) >= end else { return false }
            end = Int(run.x) + Int(run.y)
        }
        return end <= width * height
    }
}

/// Reads masks that are images: PNG and TIFF, whose values are those that were written.
enum MaskFile {
    /// The longer side may be so long; a mask is placed on a square of that side.
    static let longestSide = 1 << 15
    static let maximumPixels = 100_000_000

    static func read(_ path: String, values: MaskValues) throws(RadiographError) -> MaskPicture {
        let bytes: [UInt8]
        do {
            bytes = try FileContents.read(path, limit: RadiographReader.fileLimit)
        } catch {
            throw RadiographError(.unreadable, path: path, reason: error.reason)
        }
        return try decode(bytes, values: values, path: path)
    }

    static func decode(_ bytes: [UInt8], values: MaskValues, path: String) throws(RadiographError) -> MaskPicture {
        func refuse(_ kind: RadiographError.Kind, _ reason: String) -> RadiographError {
            RadiographError(kind, path: path, reason: reason)
        }
        let (width, height, pixels): (Int, Int, [UInt16])
        if TIFFFile.begins(bytes) {
            let file = try TIFFFile(bytes, path: path)
            (width, height, pixels) = (file.width, file.height, file.values())
        } else {
            switch RasterFile.Format(beginning: bytes) {
            case .png: (width, height, pixels) = try png(bytes, path: path)
            case .jpeg:
                throw refuse(
                    .unsupported,
                    "it is a JPEG, which blurs the values of a mask; save masks as PNG or TIFF"
                )
            default: throw refuse(.notAnImage, "it is neither PNG nor TIFF, in which masks are read")
            }
        }
        guard max(width, height) <= longestSide else {
            throw refuse(.unsupported, "it has \(width)×\(height) pixels; \(longestSide) a side are read")
        }
        return try picture(pixels, width: width, height: height, values: values, path: path)
    }

    private static func png(_ bytes: [UInt8], path: String) throws(RadiographError) -> (Int, Int, [UInt16]) {
        var result = craster_values()
        let isDecoded = bytes.withUnsafeBufferPointer {
            craster_decode_png_values($0.baseAddress, $0.count, UInt64(maximumPixels), &result)
        }
        defer { craster_free(result.values) }
        guard isDecoded != 0, let values = result.values else {
            let message = withUnsafeBytes(of: &result.message) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw RadiographError(.damaged, path: path, reason: "libpng cannot decode it: \(message)")
        }
        let (width, height) = (Int(result.width), Int(result.height))
        return (width, height, Array(UnsafeBufferPointer(start: values, count: width * height)))
    }

    /// The set pixels as runs, and the values that there are.
    private static func picture(
        _ pixels: [UInt16],
        width: Int,
        height: Int,
        values: MaskValues,
        path: String
    ) throws(RadiographError) -> MaskPicture {
        var isThere = [Bool](repeating: false, count: 1 << 16)
        for pixel in pixels { isThere[Int(pixel)] = true }
        let found = (1..<1 << 16).filter { isThere[$0] }
        var isSet = [Bool](repeating: true, count: 1 << 16)
        isSet[0] = false
        if case .classes(let chosen) = values {
            isSet = [Bool](repeating: false, count: 1 << 16)
            for value in chosen where (1..<1 << 16).contains(value) { isSet[value] = true }
        }
        var runs: [SIMD2<Int32>] = []
        if found.contains(where: { isSet[$0] }) {
            for x in 0..<width {
                var place = x
                for y in 0..<height {
                    if isSet[Int(pixels[place])] {
                        let index = Int32(x * height + y)
                        if let last = runs.last, last.x + last.y == index {
                            runs[runs.count - 1].y += 1
                        } else {
                            runs.append(SIMD2(index, 1))
                        }
                    }
                    place += width
                }
            }
        }
        guard runs.count <= MaskPicture.runLimit else {
            throw RadiographError(
                .unsupported,
                path: path,
                reason: "its set pixels make \(runs.count) runs: it is a picture and not a mask"
            )
        }
        return MaskPicture(
            width: width,
            height: height,
            values: Array(found.prefix(MaskPicture.valueLimit)),
            runs: runs
        )
    }
}
