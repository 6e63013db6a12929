package import Diagnostics
import Platform

/// A data set open for reading: samples by number over all shards.
///
/// Opening reads every shard's index once; afterwards nothing passes through HDF5, and all methods may be called from
/// any number of threads at once. They block on the disk.
package final class Dataset: Sendable {
    package let directory: String
    package let manifest: DatasetManifest
    private let shards: [ShardReader]
    /// The number of the first sample of each shard, and the end.
    private let starts: [Int]

    private init(directory: String, manifest: DatasetManifest, shards: [ShardReader]) {
        self.directory = directory
        self.manifest = manifest
        self.shards = shards
        starts = shards.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
    }

    /// Opens the data set in a directory, checking its shards' indices against the manifest.
    ///
    /// Keeps one file descriptor a shard. Pixels are checked when they are read; `verify` checks all at once.
    package static func open(_ directory: String) throws -> Dataset {
        let manifest = try DatasetManifest.read(in: directory)
        let shards = try manifest.shards.map { record in
            let reader = try openShard("\(directory)/\(record.file)", record: record, schema: manifest.schema)
            try requireIndex(reader, record)
            return reader
        }
        let dataset = Dataset(directory: directory, manifest: manifest, shards: shards)
        let digest = DatasetManifest.digest(
            schema: manifest.schema,
            samples: shards.lazy.flatMap(\.index.digests),
            folds: manifest.folds.flatMap { $0 }
        )
        guard digest == manifest.datasetDigest else {
            throw StorageDefect(
                .inconsistent,
                file: "\(directory)/\(DatasetManifest.fileName)",
                "its digest does not fit the shards and folds it lists"
            )
        }
        return dataset
    }

    private static func openShard(_ path: String, record: ShardRecord, schema: ShardSchema) throws -> ShardReader {
        let bytes = try FileSystem.size(of: path)
        guard bytes == record.bytes else {
            throw StorageDefect(
                bytes < record.bytes ? .truncated : .inconsistent,
                file: path,
                "expected \(record.bytes) bytes, found \(bytes); make the shard again"
            )
        }
        let reader = try ShardReader(path)
        guard reader.index.schema == schema, reader.index.contentDigest == record.contentDigest,
            reader.count == record.samples
        else {
            throw StorageDefect(.foreign, file: path, "it is a shard of another data set than its manifest's")
        }
        return reader
    }

    /// Throws where a shard's index is not the one that the manifest lists: its pixels may be sound and be another's.
    private static func requireIndex(_ reader: ShardReader, _ record: ShardRecord) throws {
        guard let expected = record.indexDigest, reader.index.digest != expected else { return }
        throw StorageDefect(
            .wrongHash,
            file: reader.path,
            part: .structure,
            "its ids, runs, metadata or hashes are not those that were written; `pleura verify` names the samples. Make "
                + "the shard again"
        )
    }

    // MARK: Samples

    /// The number of samples.
    package var count: Int { manifest.samples }
    /// Height and width of images and masks.
    package var size: Int { manifest.schema.size }
    /// Height and width of the frame of `runs(of:)`.
    package var labelSize: Int { manifest.schema.labelSize }

    /// Reads a sample's image and mask, `size * size` bytes each, row by row; checks their hashes.
    package func read(
        _ sample: Int,
        image: UnsafeMutableRawBufferPointer,
        mask: UnsafeMutableRawBufferPointer
    ) throws {
        let (shard, place) = locate(sample)
        try shards[shard].readImage(place, into: image)
        try shards[shard].readMask(place, into: mask)
    }

    /// Reads a sample's image only.
    package func readImage(_ sample: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let (shard, place) = locate(sample)
        try shards[shard].readImage(place, into: buffer)
    }

    /// Reads a sample's mask only.
    package func readMask(_ sample: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let (shard, place) = locate(sample)
        try shards[shard].readMask(place, into: buffer)
    }

    /// The sample's mask at full resolution, in the frame of `labelSize`.
    package func runs(of sample: Int) -> ArraySlice<ShardRun> {
        let (shard, place) = locate(sample)
        return shards[shard].index.runs(of: place)
    }

    /// Whether the sample has a pneumothorax.
    package func isPositive(_ sample: Int) -> Bool { !runs(of: sample).isEmpty }

    /// The sample's name.
    package func id(of sample: Int) -> String {
        let (shard, place) = locate(sample)
        return shards[shard].index.ids[place]
    }

    /// What is known of the sample beside its pixels.
    package func metadata(of sample: Int) -> SampleMetadata {
        let (shard, place) = locate(sample)
        return shards[shard].index.metadata[place]
    }

    /// The sample's fold, or nil if the data set has none.
    package func fold(of sample: Int) -> Int? {
        let (shard, place) = locate(sample)
        return manifest.foldCount == 0 ? nil : manifest.folds[shard][place]
    }

    /// The shard of a sample and its place in it.
    private func locate(_ sample: Int) -> (shard: Int, place: Int) {
        precondition(sample >= 0 && sample < count, "sample \(sample) of \(count)")
        var (low, high) = (0, shards.count - 1)
        while low < high {
            let middle = (low + high + 1) / 2
            if starts[middle] <= sample { low = middle } else { high = middle - 1 }
        }
        return (low, sample - starts[low])
    }

    // MARK: Verification

    /// Reads everything in the data set of a directory and returns what is wrong, nothing if it is sound.
    ///
    /// Throws only if there is no manifest to begin with. `progress` is told each shard's name before it is read.
    package static func verify(
        _ directory: String,
        progress: (String) -> Void = { _ in }
    ) throws -> [any ReportableError] {
        let path = "\(directory)/\(DatasetManifest.fileName)"
        if !FileSystem.exists(path) {
            throw StorageDefect(.missing, file: path, "there is no manifest: the data set is unfinished")
        }
        var defects: [any ReportableError] = []
        do {
            let manifest = try DatasetManifest.read(in: directory)
            for record in manifest.shards {
                progress(record.file)
                do {
                    let path = "\(directory)/\(record.file)"
                    var (found, wrong) = try openShard(path, record: record, schema: manifest.schema).verify()
                    defects += wrong
                    if record.indexDigest == nil { found?.indexDigest = nil }
                    if let found, found != record {
                        let detail = "its samples are sound, but other bytes of the file are not those of its SHA-256"
                        defects.append(StorageDefect(.wrongHash, file: path, part: .structure, detail))
                    }
                } catch let error as any ReportableError {
                    defects.append(error)
                }
            }
            if defects.isEmpty { _ = try open(directory) }
        } catch let error as any ReportableError {
            defects.append(error)
        }
        return defects
    }
}
