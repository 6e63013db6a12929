internal import FoundationEssentials

/// The list of everything that a checkpoint holds, kept in its dataset `/manifest` as JSON.
///
/// It stands beside HDF5's own structure so that a checkpoint can be checked and read without following structure that
/// may be damaged, and so that something missing can be named.
struct CheckpointManifest: Codable, Equatable, Sendable {
    static let format = "pleura-checkpoint"
    static let version = 1
    /// The most bytes a manifest may have: a thousand times what a large network needs.
    static let maximumBytes = 1 << 28

    var format = CheckpointManifest.format
    var version = CheckpointManifest.version
    var network: String
    var step: Int
    var epoch: Int
    var cursor: Int
    var numericsProfile: String
    var datasetDigest: String
    var metrics: [String: Double]
    /// In the order of their places in the file.
    var entries: [Entry]

    /// A dataset: its name without the leading slash, and where its bytes lie.
    struct Entry: Codable, Equatable, Sendable {
        var name: String
        var kind: Kind
        var shape: [Int]
        /// From the start of the file.
        var offset: Int
        var bytes: Int
        var sha256: SHA256Digest
    }

    /// How an entry's bytes are to be read.
    enum Kind: String, Codable, Sendable {
        case float32
        /// UTF-8.
        case text
    }

    enum CodingKeys: String, CodingKey {
        case format, version, network, step, epoch, cursor
        case numericsProfile = "numerics_profile"
        case datasetDigest = "dataset_digest"
        case metrics, entries
    }

    func encoded() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity",
            negativeInfinity: "-Infinity",
            nan: "NaN"
        )
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    static func decode(_ bytes: [UInt8]) throws -> CheckpointManifest {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity",
            negativeInfinity: "-Infinity",
            nan: "NaN"
        )
        return try decoder.decode(CheckpointManifest.self, from: Data(bytes))
    }

    /// The first entry that cannot be true of a file whose parts lie in `range`, with the reason; nil where all can.
    func fault(within range: Range<Int>) -> (part: StorageDefect.Part, text: String)? {
        var end = range.lowerBound
        var names: Set<String> = []
        for entry in entries {
            let part = entry.part
            guard entry.bytes >= 0, entry.offset >= end, entry.offset <= range.upperBound,
                entry.bytes <= range.upperBound - entry.offset
            else { return (part, "its place in the file is impossible") }
            end = entry.offset + entry.bytes
            guard names.insert(entry.name).inserted else { return (part, "it is listed twice") }
            if entry.kind == .float32, byteCount(ofShape: entry.shape) != entry.bytes {
                return (part, "its shape \(entry.shape) does not fit its \(entry.bytes) bytes")
            }
        }
        return nil
    }
}

extension CheckpointManifest.Entry {
    /// How defects name it.
    var part: StorageDefect.Part { kind == .text ? .text(name) : .tensor(name) }
    var range: Range<Int> { offset..<offset + bytes }
}

/// The bytes of a Float32 tensor, or nil where a dimension is negative or the product overflows.
func byteCount(ofShape shape: [Int]) -> Int? {
    var bytes = 4
    for dimension in shape {
        guard dimension >= 0 else { return nil }
        let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
        guard !overflow else { return nil }
        bytes = product
    }
    return bytes
}

/// The first 512 bytes of a checkpoint, HDF5's user block: written last, it vouches for all the others.
///
/// Text, padded with zeros:
/// ```
/// PLEURA CHECKPOINT 1
/// bytes <the file's size>
/// manifest <offset> <bytes> <SHA-256>
/// structure <SHA-256 of all bytes behind this block that are in no entry and not in the manifest>
/// seal <SHA-256 of the lines above>
/// ```
struct CheckpointSeal: Equatable, Sendable {
    static let bytes = 512
    static let magic = "PLEURA CHECKPOINT "

    var fileBytes: Int
    var manifestOffset: Int
    var manifestBytes: Int
    var manifestHash: SHA256Digest
    var structureHash: SHA256Digest

    var manifestRange: Range<Int> { manifestOffset..<manifestOffset + manifestBytes }

    /// The block's bytes.
    func encoded() -> [UInt8] {
        let text = """
            \(Self.magic)1
            bytes \(fileBytes)
            manifest \(manifestOffset) \(manifestBytes) \(manifestHash)
            structure \(structureHash)

            """
        var block = Array("\(text)seal \(SHA256Digest.of(Array(text.utf8)))\n".utf8)
        block += [UInt8](repeating: 0, count: Self.bytes - block.count)
        return block
    }

    /// Parses a block; nil unless it is, to the last bit, what `encoded` gives.
    init?(_ block: [UInt8]) {
        let text = String(decoding: block.prefix { $0 != 0 }, as: UTF8.self)
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 13, let fileBytes = Int(words[4]), let offset = Int(words[6]), let bytes = Int(words[7]),
            let manifestHash = SHA256Digest(hexadecimal: words[8]),
            let structureHash = SHA256Digest(hexadecimal: words[10])
        else { return nil }
        self.init(
            fileBytes: fileBytes,
            manifestOffset: offset,
            manifestBytes: bytes,
            manifestHash: manifestHash,
            structureHash: structureHash
        )
        guard encoded() == block, offset >= Self.bytes, bytes > 0, bytes <= CheckpointManifest.maximumBytes,
            offset <= fileBytes, bytes <= fileBytes - offset
        else { return nil }
    }

    init(
        fileBytes: Int,
        manifestOffset: Int,
        manifestBytes: Int,
        manifestHash: SHA256Digest,
        structureHash: SHA256Digest
    ) {
        self.fileBytes = fileBytes
        self.manifestOffset = manifestOffset
        self.manifestBytes = manifestBytes
        self.manifestHash = manifestHash
        self.structureHash = structureHash
    }
}
