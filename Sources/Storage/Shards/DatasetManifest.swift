internal import FoundationEssentials
import Platform

/// `dataset.json`: the list of a data set's shards, their hashes, folds and statistics; written last.
package struct DatasetManifest: Codable, Hashable, Sendable {
    /// The manifest's name in the data set's directory.
    package static let fileName = "dataset.json"
    /// The version of the manifest that this program writes and reads.
    package static let version = 1

    package let format: String
    package let version: Int
    package let schema: ShardSchema
    package let samples: Int
    /// Samples with at least one run.
    package let positives: Int
    /// The number of folds; 0 if the data set has none.
    package let foldCount: Int
    package let shards: [ShardRecord]
    /// For each shard its samples' folds, in order; empty lists if the data set has no folds.
    package let folds: [[Int]]
    package let statistics: Statistics
    /// Over schema, the samples' digests in order, and folds: what a training sees.
    ///
    /// Independent of the cutting into shards, of deflate and of HDF5.
    package let datasetDigest: SHA256Digest
    /// What the tables beside the shards held when they were made, by their names; nil in the lists of earlier versions.
    package let tables: [String: FileSeal]?

    /// Figures over all samples.
    package struct Statistics: Codable, Hashable, Sendable {
        /// Mean and standard deviation of all pixels, in units of 0 to 255.
        package let pixelMean: Double
        package let pixelStandardDeviation: Double
        package let positives: Int
        package let negatives: Int

        enum CodingKeys: String, CodingKey {
            case pixelMean = "pixel_mean"
            case pixelStandardDeviation = "pixel_standard_deviation"
            case positives, negatives
        }

        init(shards: [ShardRecord], schema: ShardSchema) {
            let samples = shards.reduce(0) { $0 + $1.samples }
            let pixels = Double(samples * schema.planeBytes)
            let sum = Double(shards.reduce(0) { $0 &+ $1.pixelSum })
            let squares = Double(shards.reduce(0) { $0 &+ $1.pixelSquareSum })
            let mean = pixels > 0 ? sum / pixels : 0
            pixelMean = mean
            pixelStandardDeviation = pixels > 0 ? max(0, squares / pixels - mean * mean).squareRoot() : 0
            positives = shards.reduce(0) { $0 + $1.positives }
            negatives = samples - positives
        }
    }

    enum CodingKeys: String, CodingKey {
        case format, version, schema, samples, positives
        case foldCount = "fold_count"
        case shards, folds, statistics
        case datasetDigest = "dataset_digest"
        case tables
    }

    private static let format = "pleura-dataset"

    /// The digest of a data set with these samples and folds; `folds` empty if there are none.
    static func digest(schema: ShardSchema, samples: some Sequence<SHA256Digest>, folds: [Int]) -> SHA256Digest {
        var hash = SHA256()
        hash.update("pleura dataset \(version)\n")
        hash.update(littleEndian: Int64(schema.size))
        hash.update(littleEndian: Int64(schema.labelSize))
        for digest in samples { hash.update(digest.bytes) }
        for fold in folds { hash.update(littleEndian: Int32(clamping: fold)) }
        return hash.finish()
    }

    // MARK: Publishing

    /// Writes the manifest of a directory whose shards are finished, and returns it.
    ///
    /// `folds` gives each sample's fold by id, all of them or none; `foldCount` must be above the highest. Shards come
    /// in the order of `shards`, which is the order of sample numbers. An id that is in two shards is an error. The
    /// shards' indices are read; their pixels are not. `tables` names files of the directory that the manifest vouches for.
    @discardableResult
    package static func publish(
        in directory: String,
        schema: ShardSchema,
        shards: [ShardRecord],
        folds: [String: Int] = [:],
        foldCount: Int = 0,
        tables: [String] = []
    ) throws -> DatasetManifest {
        let path = "\(directory)/\(fileName)"
        var digests: [SHA256Digest] = []
        var foldLists: [[Int]] = []
        var seen: [String: String] = [:]
        for shard in shards {
            let index = try ShardIndex(reading: "\(directory)/\(shard.file)")
            guard index.schema == schema, index.contentDigest == shard.contentDigest else {
                throw StorageDefect(.inconsistent, file: index.path, "it is not the shard that was finished")
            }
            for id in index.ids {
                if let other = seen.updateValue(shard.file, forKey: id) {
                    throw StorageDefect(.inconsistent, file: index.path, "its sample \(id) is also in \(other)")
                }
            }
            digests += index.digests
            foldLists.append(
                try foldCount == 0
                    ? []
                    : index.ids.map { id in
                        guard let fold = folds[id], (0..<foldCount).contains(fold) else {
                            throw StorageDefect(
                                .missing,
                                file: path,
                                "sample \(id) has no fold from 0 to \(foldCount - 1)"
                            )
                        }
                        return fold
                    }
            )
        }
        let statistics = Statistics(shards: shards, schema: schema)
        let manifest = DatasetManifest(
            format: format,
            version: version,
            schema: schema,
            samples: digests.count,
            positives: statistics.positives,
            foldCount: foldCount,
            shards: shards,
            folds: foldLists,
            statistics: statistics,
            datasetDigest: digest(schema: schema, samples: digests, folds: foldLists.flatMap { $0 }),
            tables: tables.isEmpty ? nil : try seals(of: tables, in: directory)
        )
        try AtomicFile.write(try SealedJSON.encode(manifest), to: path)
        return manifest
    }

    /// What the tables in a directory hold now.
    package static func seals(of tables: [String], in directory: String) throws -> [String: FileSeal] {
        try Dictionary(uniqueKeysWithValues: tables.map { ($0, try FileSeal.of("\(directory)/\($0)")) })
    }

    // MARK: Reading

    /// Reads and checks the manifest in a directory.
    package static func read(in directory: String) throws -> DatasetManifest {
        let path = "\(directory)/\(fileName)"
        return try decode(try OpenFile(path, .read).readAll(limit: 1 << 28), path: path)
    }

    /// Checks the bytes of a manifest; `path` is for messages.
    package static func decode(_ bytes: [UInt8], path: String) throws -> DatasetManifest {
        let manifest: DatasetManifest = try SealedJSON.decode(bytes, path: path)
        guard manifest.format == format else {
            throw StorageDefect(.foreign, file: path, "it is not the manifest of a data set")
        }
        guard manifest.version == version else {
            throw StorageDefect(
                .foreign,
                file: path,
                "expected version \(version) of the manifest, found \(manifest.version); make the shards again"
            )
        }
        let counts = manifest.shards.map(\.samples)
        let hasFolds = manifest.foldCount > 0
        guard counts.allSatisfy({ (0...1 << 32).contains($0) }), manifest.shards.count < 1 << 24,
            manifest.foldCount >= 0, manifest.samples == counts.reduce(0, +),
            manifest.folds.map(\.count) == counts.map({ hasFolds ? $0 : 0 }),
            manifest.folds.allSatisfy({ $0.allSatisfy { (0..<manifest.foldCount).contains($0) } }),
            manifest.shards.allSatisfy({ ShardRecord.number(inFileName: $0.file) != nil })
        else { throw StorageDefect(.inconsistent, file: path, "its counts of samples and folds do not agree") }
        // Names that stay in the directory, and sizes that a file can have.
        guard
            (manifest.tables ?? [:]).allSatisfy({ name, seal in
                !name.isEmpty && !name.hasPrefix(".") && !name.utf8.contains(UInt8(ascii: "/"))
                    && !name.utf8.contains(0) && (0...1 << 40).contains(seal.bytes)
            })
        else { throw StorageDefect(.inconsistent, file: path, "its list of tables is impossible") }
        return manifest
    }
}

/// JSON files that carry the SHA-256 of themselves, so that a flipped bit in one does not pass for a value.
///
/// The last member is `"seal"`: the digest over the file's bytes with 64 zeros in its place.
package enum SealedJSON {
    private static let key = Array("\"seal\": \"".utf8)
    private static let zeros = [UInt8](repeating: UInt8(ascii: "0"), count: 64)

    /// Encodes an object with sorted keys, and seals it.
    package static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        var bytes = Array(try encoder.encode(value))
        while let last = bytes.last, last != UInt8(ascii: "}") { bytes.removeLast() }
        bytes.removeLast()
        while let last = bytes.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: " ") { bytes.removeLast() }
        bytes += Array(",\n  ".utf8) + key
        let place = bytes.count
        bytes += zeros + Array("\"\n}\n".utf8)
        let digest = SHA256Digest.of(bytes)
        bytes.replaceSubrange(place..<place + 64, with: Array(digest.description.utf8))
        return bytes
    }

    private struct Anything: Decodable {}

    /// Checks a file's seal.
    package static func check(_ path: String) throws {
        let _: Anything = try decode(try OpenFile(path, .read).readAll(limit: 1 << 24), path: path)
    }

    /// Reads a file, checks its seal and decodes it; what is wrong is thrown as a `StorageDefect`.
    package static func read<Value: Decodable>(_ path: String) throws -> Value {
        try decode(try OpenFile(path, .read).readAll(limit: 1 << 26), path: path)
    }

    /// The bytes with the seal that fits them, where there is room for one.
    static func resealed(_ bytes: [UInt8]) -> [UInt8] {
        let place = bytes.count - "\"\n}\n".utf8.count - 64
        guard place >= 0 else { return bytes }
        var result = bytes
        result.replaceSubrange(place..<place + 64, with: zeros)
        let digest = SHA256Digest.of(result)
        result.replaceSubrange(place..<place + 64, with: Array(digest.description.utf8))
        return result
    }

    /// Checks the seal and decodes.
    static func decode<Value: Decodable>(_ bytes: [UInt8], path: String) throws -> Value {
        let end = bytes.count - "\"\n}\n".utf8.count
        let place = end - 64
        guard place >= key.count, Array(bytes[place - key.count..<place]) == key,
            let seal = SHA256Digest(hexadecimal: String(decoding: bytes[place..<end], as: UTF8.self))
        else { throw StorageDefect(.truncated, file: path, "it does not end with a seal; it is cut short or foreign") }
        var unsealed = bytes
        unsealed.replaceSubrange(place..<end, with: zeros)
        guard SHA256Digest.of(unsealed) == seal else {
            throw StorageDefect(.wrongHash, file: path, "its bytes do not fit its seal; it was changed or damaged")
        }
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            throw StorageDefect(.malformed, file: path, "it lacks what this program expects: \(error)")
        }
    }
}
