internal import HDF5IO
import Platform

/// All of a shard but its pixels, and where those lie: read once through HDF5, used without it.
struct ShardIndex: Sendable {
    /// The value of the root attribute `format`.
    static let format = "pleura-shard"

    let path: String
    let schema: ShardSchema
    /// Whether the chunks are deflated.
    let isDeflated: Bool
    let contentDigest: SHA256Digest
    let sourceDigest: String
    let ids: [String]
    let digests: [SHA256Digest]
    let metadata: [SampleMetadata]
    let runs: [ShardRun]
    /// Where each sample's runs start in `runs`, and the end; one more than there are samples.
    let runOffsets: [Int]
    let images: Planes
    let masks: Planes

    /// The chunks of `/images` or `/masks`.
    struct Planes: Sendable {
        /// "/images" or "/masks".
        let name: String
        let locations: [HDF5ChunkLocation]
        /// XXH3 of the stored bytes.
        let storedHashes: [UInt64]
        /// XXH3 of the bytes after inflating; the stored ones' where nothing is deflated.
        let contentHashes: [UInt64]
    }

    var count: Int { ids.count }

    /// SHA-256 over all that the index says of the samples: two indices with equal digests give the same training and the
    /// same evaluation from the same pixels. A sample's own digest needs its pixels; this one can be compared before any is
    /// read.
    var digest: SHA256Digest {
        var hash = SHA256()
        hash.update("pleura index \(ShardSchema.version)\n")
        for number in [schema.size, schema.labelSize, isDeflated ? 1 : 0, count, runs.count] {
            hash.update(littleEndian: Int64(number))
        }
        for id in ids { hash.update(sized: id) }
        for digest in digests { hash.update(digest.bytes) }
        for offset in runOffsets { hash.update(littleEndian: Int64(offset)) }
        runs.withUnsafeBytes { hash.update($0) }
        for sample in metadata { sample.update(&hash, under: schema) }
        for planes in [images, masks] {
            for hashes in [planes.storedHashes, planes.contentHashes] {
                for value in hashes { hash.update(littleEndian: value) }
            }
        }
        return hash.finish()
    }

    func runs(of sample: Int) -> ArraySlice<ShardRun> { runs[runOffsets[sample]..<runOffsets[sample + 1]] }

    /// A defect of this shard.
    func defect(_ problem: StorageDefect.Problem, sample: Int, _ detail: String) -> StorageDefect {
        StorageDefect(problem, file: path, part: .sample(sample, id: ids[sample]), detail)
    }

    /// Reads a shard's index.
    ///
    /// Every size and address in it is checked against the file's size.
    init(reading path: String) throws {
        let file = try HDF5File.open(path)
        guard try file.attribute("format") == .text(Self.format) else {
            throw StorageDefect(.foreign, file: path, "it is HDF5, but not a shard of Pleura's")
        }
        let version = try file.integerAttribute("schema_version")
        guard version == ShardSchema.version else {
            throw StorageDefect(
                .foreign,
                file: path,
                "expected version \(ShardSchema.version) of the shard layout, found \(version); make the shards again"
            )
        }
        let (size, labelSize) = try (file.integerAttribute("size"), file.integerAttribute("label_size"))
        guard (1...1 << 14).contains(size), (1...1 << 14).contains(labelSize) else {
            throw StorageDefect(.malformed, file: path, part: .structure, "sizes \(size), \(labelSize) are impossible")
        }
        guard let contentDigest = SHA256Digest(hexadecimal: try file.textAttribute("content_digest")) else {
            throw StorageDefect(.malformed, file: path, part: .structure, "its content digest is not 64 digits")
        }
        self.path = path
        self.contentDigest = contentDigest
        sourceDigest = try file.textAttribute("source_digest")
        isDeflated = try file.integerAttribute("deflate") != 0
        let extra = try file.names(in: "/metadata").filter { !ShardSchema.standardColumns.contains($0) }
        schema = ShardSchema(size: Int(size), labelSize: Int(labelSize), extraMetadata: extra)
        ids = try file.readStrings("/ids")
        if let place = ids.firstIndex(where: { $0.utf8.count > ShardSchema.longestID }) {
            let count = ids[place].utf8.count
            throw StorageDefect(.malformed, file: path, part: .dataset("/ids"), "name \(place) has \(count) bytes")
        }
        let reader = ColumnReader(
            file: file,
            fileBytes: try FileSystem.size(of: path),
            ids: ids,
            schema: schema,
            isDeflated: isDeflated
        )
        digests = try reader.digests()
        (runs, runOffsets) = try reader.runs()
        metadata = try reader.metadata()
        images = try reader.planes("/images", hashes: "/images_xxh3", "/images_content_xxh3", tail: [1])
        masks = try reader.planes("/masks", hashes: "/masks_xxh3", "/masks_content_xxh3", tail: [])
        guard ShardRecord.contentDigest(of: digests) == contentDigest else {
            throw StorageDefect(
                .wrongHash,
                file: path,
                part: .dataset("/sample_sha256"),
                "it does not fit the shard's content digest"
            )
        }
        try file.close()
    }
}

/// Reads the columns of one shard, all of the length of its ids.
private struct ColumnReader {
    let file: HDF5File
    let fileBytes: Int
    let ids: [String]
    let schema: ShardSchema
    let isDeflated: Bool

    var count: Int { ids.count }

    func malformed(_ dataset: String, _ detail: String) -> StorageDefect {
        StorageDefect(.malformed, file: file.path, part: .dataset(dataset), detail)
    }

    func defect(_ problem: StorageDefect.Problem, sample: Int, _ detail: String) -> StorageDefect {
        StorageDefect(problem, file: file.path, part: .sample(sample, id: ids[sample]), detail)
    }

    /// Reads a dataset of numbers that must have `shape`.
    func column<Element: HDF5Element>(_ name: String, _ shape: [Int]) throws -> [Element] {
        let array: HDF5Array<Element> = try file.read(name)
        guard array.shape == shape else { throw malformed(name, "expected the shape \(shape), found \(array.shape)") }
        return array.values
    }

    func texts(_ name: String) throws -> [String] {
        let texts = try file.readStrings(name)
        guard texts.count == count else { throw malformed(name, "expected \(count) texts, found \(texts.count)") }
        return texts
    }

    func digests() throws -> [SHA256Digest] {
        let bytes: [UInt8] = try column("/sample_sha256", [count, 32])
        return (0..<count).compactMap { SHA256Digest(bytes: bytes[$0 * 32..<$0 * 32 + 32]) }
    }

    func runs() throws -> (runs: [ShardRun], offsets: [Int]) {
        let offsets: [Int64] = try column("/run_offsets", [count + 1])
        let pairs: HDF5Array<Int32> = try file.read("/runs")
        let numRuns = pairs.values.count / 2
        guard pairs.shape == [numRuns, 2] else { throw malformed("/runs", "expected pairs, found \(pairs.shape)") }
        guard offsets.first == 0, offsets.last == Int64(numRuns), zip(offsets, offsets.dropFirst()).allSatisfy(<=)
        else { throw malformed("/run_offsets", "the offsets do not ascend from 0 to \(numRuns)") }
        let runs = (0..<numRuns).map { ShardRun(start: pairs.values[2 * $0], length: pairs.values[2 * $0 + 1]) }
        for sample in 0..<count {
            let own = runs[Int(offsets[sample])..<Int(offsets[sample + 1])]
            if let fault = ShardRun.fault(own, labelSize: schema.labelSize) {
                throw defect(.malformed, sample: sample, fault)
            }
        }
        return (runs, offsets.map { Int($0) })
    }

    func metadata() throws -> [SampleMetadata] {
        let patients = try texts("/metadata/patient")
        let sexes = try texts("/metadata/sex")
        let views = try texts("/metadata/view")
        let ages: [Double] = try column("/metadata/age", [count])
        let spacing: [Double] = try column("/metadata/spacing", [count, 2])
        let sourceSize: [Int32] = try column("/metadata/source_size", [count, 2])
        let extra = try schema.extraMetadata.map { ($0, try texts("/metadata/\($0)")) }
        return (0..<count).map { sample in
            SampleMetadata(
                patient: patients[sample],
                sex: sexes[sample],
                view: views[sample],
                age: ages[sample],
                rowSpacing: spacing[2 * sample],
                columnSpacing: spacing[2 * sample + 1],
                sourceHeight: sourceSize[2 * sample],
                sourceWidth: sourceSize[2 * sample + 1],
                extra: Dictionary(extra.map { ($0.0, $0.1[sample]) }, uniquingKeysWith: { first, _ in first })
            )
        }
    }

    /// Finds the chunks of `/images` or `/masks`, whose shape ends with `tail` behind height and width.
    func planes(_ name: String, hashes: String, _ contentHashes: String, tail: [Int]) throws -> ShardIndex.Planes {
        let dataset = try file.dataset(name)
        let plane = [schema.size, schema.size] + tail
        let (shape, chunk) = ([count] + plane, [1] + plane)
        let found = try (dataset.storedType(), dataset.shape(), dataset.chunkShape())
        guard found.0 == UInt8.hdf5Type, found.1 == shape, found.2 == chunk else {
            throw malformed(name, "expected uint8 \(shape) in chunks of \(chunk), found \(found)")
        }
        let locations = try (0..<count).map { sample in
            try location(of: sample, in: dataset, origin: [sample] + plane.map { _ in 0 })
        }
        let stored: [UInt64] = try column(hashes, [count])
        return ShardIndex.Planes(
            name: name,
            locations: locations,
            storedHashes: stored,
            contentHashes: isDeflated ? try column(contentHashes, [count]) : stored
        )
    }

    private func location(of sample: Int, in dataset: HDF5Dataset, origin: [Int]) throws -> HDF5ChunkLocation {
        guard let location = try dataset.chunk(at: origin) else {
            throw defect(.missing, sample: sample, "its chunk of \(dataset.name) is missing")
        }
        let plane = schema.planeBytes
        // Deflate adds a few bytes to what it cannot pack; this bound is looser than zlib's own.
        let sizeFits = isDeflated ? location.bytes <= plane + plane / 100 + 1024 : location.bytes == plane
        guard sizeFits, location.filterMask == 0, location.address >= 0, location.bytes > 0,
            location.bytes <= fileBytes, location.address <= fileBytes - location.bytes
        else {
            throw defect(
                .truncated,
                sample: sample,
                "its chunk of \(dataset.name), \(location.bytes) bytes at \(location.address), does not fit the file"
            )
        }
        return location
    }
}
