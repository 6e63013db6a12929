internal import CZlib
internal import HDF5IO
import Platform
internal import Synchronization

/// A sample checked, hashed and compressed, ready to be written; made on any thread.
package struct EncodedSample: Sendable {
    let id: String
    let runs: [ShardRun]
    let metadata: SampleMetadata
    let image: [UInt8]
    let mask: [UInt8]
    let digest: SHA256Digest
    let imageHashes: (stored: UInt64, content: UInt64)
    let maskHashes: (stored: UInt64, content: UInt64)
    let pixelSum: UInt64
    let pixelSquareSum: UInt64
}

extension ShardSample {
    /// Checks the sample against the schema and does the work that needs no file: hashes, and deflate if asked.
    ///
    /// `deflate` is a level from 1 to 9 and must be the writer's.
    package func encoded(under schema: ShardSchema, deflate level: Int? = nil) throws(StorageDefect) -> EncodedSample {
        if let fault = fault(under: schema) {
            throw StorageDefect(.malformed, file: "The sample \(id)", fault)
        }
        var (sum, squares): (UInt64, UInt64) = (0, 0)
        for pixel in image {
            sum &+= UInt64(pixel)
            squares &+= UInt64(pixel) &* UInt64(pixel)
        }
        let storedImage = try level.map { level throws(StorageDefect) in try Self.deflate(image, level, id) } ?? image
        let storedMask = try level.map { level throws(StorageDefect) in try Self.deflate(mask, level, id) } ?? mask
        return EncodedSample(
            id: id,
            runs: runs,
            metadata: metadata,
            image: storedImage,
            mask: storedMask,
            digest: digest(under: schema),
            imageHashes: (XXH3.hash64(storedImage), XXH3.hash64(image)),
            maskHashes: (XXH3.hash64(storedMask), XXH3.hash64(mask)),
            pixelSum: sum,
            pixelSquareSum: squares
        )
    }

    private static func deflate(_ bytes: [UInt8], _ level: Int, _ id: String) throws(StorageDefect) -> [UInt8] {
        var count = compressBound(uLong(bytes.count))
        var result = [UInt8](repeating: 0, count: Int(count))
        let status = compress2(&result, &count, bytes, uLong(bytes.count), Int32(level))
        guard status == Z_OK else {
            throw StorageDefect(.malformed, file: "The sample \(id)", "zlib cannot deflate it (status \(status))")
        }
        result.removeLast(result.count - Int(count))
        return result
    }
}

/// Writes shards one after the other into a directory: samples go into the open shard until it is finished.
///
/// A shard appears under its name only when it is complete and on the disk. Thread-safe; the order of samples is the
/// order of the calls. Blocks on the disk.
package final class ShardWriter: Sendable {
    package let directory: String
    package let schema: ShardSchema
    /// The level of deflate for images and masks, or nil to store them as they are.
    package let deflate: Int?
    private let open = Mutex<OpenShard?>(nil)

    /// Prepares to write; creates the directory.
    ///
    /// Nothing is written before the first sample.
    package init(directory: String, schema: ShardSchema, deflate: Int? = nil) throws {
        guard (1...1 << 14).contains(schema.size), (1...1 << 14).contains(schema.labelSize),
            deflate.map({ (1...9).contains($0) }) ?? true
        else {
            throw StorageDefect(
                .malformed,
                file: directory,
                "sizes must be 1 to 16384 and the level of deflate 1 to 9; found \(schema), \(deflate ?? 0)"
            )
        }
        if let name = schema.extraMetadata.first(where: { !ShardSchema.isColumnName($0) }) {
            throw StorageDefect(.malformed, file: directory, "\(name) cannot name a column of metadata")
        }
        try FileSystem.createDirectory(directory)
        self.directory = directory
        self.schema = schema
        self.deflate = deflate
    }

    /// Adds a sample to the open shard, opening one if there is none.
    ///
    /// A sample that does not fit is refused with a `StorageDefect` and leaves the shard as it was; after any other
    /// error (a full disk) the open shard is dropped.
    package func append(_ sample: ShardSample) throws {
        try append(sample.encoded(under: schema, deflate: deflate))
    }

    /// Adds a sample encoded before, with this writer's schema and level of deflate.
    package func append(_ sample: EncodedSample) throws {
        try open.withLock { shard in
            var current = try shard ?? OpenShard(directory: directory, schema: schema, deflate: deflate)
            shard = nil
            do {
                try current.append(sample)
                shard = current
            } catch let defect as StorageDefect {
                // Refused before anything was written.
                shard = current
                throw defect
            } catch {
                current.discard()
                throw error
            }
        }
    }

    /// Completes the open shard as `shard-<number>.h5`, replacing one of that name; a shard without samples is an error.
    ///
    /// `sourceDigest` says what it was made from, at most 60,000 bytes.
    @discardableResult
    package func finishShard(number: Int, sourceDigest: String = "") throws -> ShardRecord {
        try open.withLock { shard in
            guard let finished = shard else {
                throw StorageDefect(.missing, file: ShardRecord.fileName(number), "the shard has no samples")
            }
            shard = nil
            return try finished.finish(number: number, sourceDigest: sourceDigest)
        }
    }

    /// Drops the open shard with its samples, if there is one.
    package func discardShard() {
        open.withLock { shard in
            shard?.discard()
            shard = nil
        }
    }

    deinit { discardShard() }
}

/// The shard being written: a temporary file and the columns that are written at its end.
private struct OpenShard {
    let directory: String
    let schema: ShardSchema
    let deflate: Int?
    let temporary: String
    let file: HDF5File
    let images: HDF5Dataset
    let masks: HDF5Dataset
    var samples: [Column] = []
    var ids: Set<String> = []

    /// What is kept of a sample until the end: all but its pixels.
    struct Column {
        let id: String
        let runs: [ShardRun]
        let metadata: SampleMetadata
        let digest: SHA256Digest
        let imageHashes: (stored: UInt64, content: UInt64)
        let maskHashes: (stored: UInt64, content: UInt64)
        let pixelSum: UInt64
        let pixelSquareSum: UInt64
    }

    init(directory: String, schema: ShardSchema, deflate: Int?) throws {
        self.directory = directory
        self.schema = schema
        self.deflate = deflate
        temporary = FileSystem.temporaryPath(for: "\(directory)/shard")
        let size = schema.size
        file = try HDF5File.create(temporary)
        do {
            images = try file.createDataset(
                "/images",
                of: UInt8.self,
                shape: [0, size, size, 1],
                maximumShape: [nil, size, size, 1],
                layout: HDF5Layout(chunk: [1, size, size, 1], deflate: deflate)
            )
            masks = try file.createDataset(
                "/masks",
                of: UInt8.self,
                shape: [0, size, size],
                maximumShape: [nil, size, size],
                layout: HDF5Layout(chunk: [1, size, size], deflate: deflate)
            )
        } catch {
            file.discard()
            throw error
        }
    }

    mutating func append(_ sample: EncodedSample) throws {
        guard ids.insert(sample.id).inserted else {
            throw StorageDefect(.inconsistent, file: "The sample \(sample.id)", "its id is already in this shard")
        }
        let index = samples.count
        try images.resize(to: [index + 1, schema.size, schema.size, 1])
        try sample.image.withUnsafeBytes { try images.writeChunk($0, at: [index, 0, 0, 0]) }
        try masks.resize(to: [index + 1, schema.size, schema.size])
        try sample.mask.withUnsafeBytes { try masks.writeChunk($0, at: [index, 0, 0]) }
        samples.append(
            Column(
                id: sample.id,
                runs: sample.runs,
                metadata: sample.metadata,
                digest: sample.digest,
                imageHashes: sample.imageHashes,
                maskHashes: sample.maskHashes,
                pixelSum: sample.pixelSum,
                pixelSquareSum: sample.pixelSquareSum
            )
        )
    }

    func discard() {
        file.discard()
    }

    func finish(number: Int, sourceDigest: String) throws -> ShardRecord {
        let name = ShardRecord.fileName(number)
        do {
            let contentDigest = ShardRecord.contentDigest(of: samples.map(\.digest))
            try writeColumns()
            try writeAttributes(contentDigest: contentDigest, sourceDigest: sourceDigest)
            try file.close()
            let stored = try OpenFile(temporary, .read)
            guard let sha256 = try stored.sha256() else {
                throw StorageDefect(.truncated, file: temporary, "it became shorter while it was read")
            }
            let record = ShardRecord(
                file: name,
                samples: samples.count,
                positives: samples.count { !$0.runs.isEmpty },
                bytes: try stored.size(),
                sha256: sha256,
                contentDigest: contentDigest,
                sourceDigest: sourceDigest,
                pixelSum: samples.reduce(0) { $0 + $1.pixelSum },
                pixelSquareSum: samples.reduce(0) { $0 + $1.pixelSquareSum },
                // Of what was written, as its readers will find it.
                indexDigest: try ShardIndex(reading: temporary).digest
            )
            try FileSystem.publish(temporary, as: "\(directory)/\(name)")
            return record
        } catch {
            discard()
            throw error
        }
    }

    private func writeColumns() throws {
        try file.write(strings: samples.map(\.id), to: "/ids")
        var offsets: [Int64] = [0]
        var runs: [Int32] = []
        for sample in samples {
            for run in sample.runs { runs += [run.start, run.length] }
            offsets.append(Int64(runs.count / 2))
        }
        try file.write(runs, to: "/runs", shape: [runs.count / 2, 2])
        try file.write(offsets, to: "/run_offsets")
        try file.write(samples.map(\.imageHashes.stored), to: "/images_xxh3")
        try file.write(samples.map(\.maskHashes.stored), to: "/masks_xxh3")
        if deflate != nil {
            try file.write(samples.map(\.imageHashes.content), to: "/images_content_xxh3")
            try file.write(samples.map(\.maskHashes.content), to: "/masks_content_xxh3")
        }
        try file.write(samples.flatMap(\.digest.bytes), to: "/sample_sha256", shape: [samples.count, 32])

        let metadata = samples.map(\.metadata)
        try file.write(strings: metadata.map(\.patient), to: "/metadata/patient")
        try file.write(strings: metadata.map(\.sex), to: "/metadata/sex")
        try file.write(strings: metadata.map(\.view), to: "/metadata/view")
        try file.write(metadata.map(\.age), to: "/metadata/age")
        let spacing = metadata.flatMap { [$0.rowSpacing, $0.columnSpacing] }
        try file.write(spacing, to: "/metadata/spacing", shape: [metadata.count, 2])
        let sourceSize = metadata.flatMap { [$0.sourceHeight, $0.sourceWidth] }
        try file.write(sourceSize, to: "/metadata/source_size", shape: [metadata.count, 2])
        for name in schema.extraMetadata {
            try file.write(strings: metadata.map { $0.extra[name] ?? "" }, to: "/metadata/\(name)")
        }
    }

    private func writeAttributes(contentDigest: SHA256Digest, sourceDigest: String) throws {
        try file.setAttribute("format", to: .text(ShardIndex.format))
        try file.setAttribute("schema_version", to: .integer(Int64(ShardSchema.version)))
        try file.setAttribute("size", to: .integer(Int64(schema.size)))
        try file.setAttribute("label_size", to: .integer(Int64(schema.labelSize)))
        try file.setAttribute("label_size", of: "/runs", to: .integer(Int64(schema.labelSize)))
        try file.setAttribute("deflate", to: .integer(Int64(deflate ?? 0)))
        try file.setAttribute("content_digest", to: .text(contentDigest.description))
        try file.setAttribute("source_digest", to: .text(sourceDigest))
    }
}
