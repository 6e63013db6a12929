import Foundation
import Storage

/// Finds a worker's data set: in a folder of this machine, or fetched from the coordinator and kept.
struct DatasetSource {
    /// The digest of the job's data set.
    let digest: String
    /// Where to look first.
    let folders: [String]
    /// Where fetched files are kept, by digest.
    let cache: String

    /// Opens the data set; `notice` hears of a fetch.
    func open(fetchingFrom bulk: BulkClient, notice: (String) -> Void) throws -> Dataset {
        for folder in folders where FileSystem.exists("\(folder)/\(DatasetManifest.fileName)") {
            let manifest = try DatasetManifest.read(in: folder)
            // A data set of another digest is refused by the coordinator, with both digests.
            if manifest.datasetDigest.description == digest || folder == folders.first {
                return try Dataset.open(folder)
            }
        }
        let folder = "\(cache)/\(digest.prefix(32))"
        if !FileSystem.exists("\(folder)/\(DatasetManifest.fileName)") {
            notice("fetching the data set from the coordinator into \(folder)")
            try fetch(into: folder, from: bulk)
        }
        return try Dataset.open(folder)
    }

    private func fetch(into folder: String, from bulk: BulkClient) throws {
        // The manifest says which shards there are; it is published last, so that its presence means completeness.
        // Other workers may fetch at the same time, and one may have died at it: each has a folder of its own.
        let incoming = "\(folder)/incoming-\(UUID().uuidString)"
        try FileSystem.createDirectory(incoming)
        // What cannot be removed is left in the cache, where it does no harm.
        defer { try? FileManager.default.removeItem(atPath: incoming) }
        try fetch(BulkFile(isCheckpoint: false, name: DatasetManifest.fileName), as: incoming, from: bulk)
        let manifest = try DatasetManifest.read(in: incoming)
        for shard in manifest.shards where !FileSystem.exists("\(folder)/\(shard.file)") {
            try fetch(BulkFile(isCheckpoint: false, name: shard.file), as: incoming, from: bulk)
            let file = try OpenFile("\(incoming)/\(shard.file)", .read)
            guard try file.sha256() == shard.sha256 else {
                throw RunError.data("The shard \(shard.file) changed on its way from the coordinator; start again.")
            }
            try FileSystem.publish("\(incoming)/\(shard.file)", as: "\(folder)/\(shard.file)")
        }
        try FileSystem.publish(
            "\(incoming)/\(DatasetManifest.fileName)",
            as: "\(folder)/\(DatasetManifest.fileName)"
        )
    }

    private func fetch(_ name: BulkFile, as folder: String, from bulk: BulkClient) throws {
        let file = try OpenFile("\(folder)/\(name.name)", .create)
        try bulk.fetch(name) { offset, size, bytes in
            if offset == 0 { try FileSystem.requireSpace(size, at: folder) }
            try bytes.withUnsafeBytes { try file.write($0, at: offset) }
        }
        try file.sync()
    }

    /// Opens the checkpoint that the run goes on from: in the run's own folder, or fetched.
    func checkpoint(_ name: String, folder: String, fetchingFrom bulk: BulkClient) throws -> CheckpointContents {
        let file = BulkFile(isCheckpoint: true, name: name)
        // On another machine the folder may be another run's: the coordinator's own seal tells.
        let seal = try bulk.fetch(file, from: 0, length: CheckpointStore.sealBytes).bytes
        let path = "\(folder)/\(name)"
        if !folder.isEmpty, (try? CheckpointStore.seal(of: path)) == seal {
            return try CheckpointStore.load(path)
        }
        let copy = "\(cache)/resume-\(UUID().uuidString)"
        try FileSystem.createDirectory(copy)
        // The file stays open, and is gone with the last reader.
        defer { try? FileManager.default.removeItem(atPath: copy) }
        try fetch(file, as: copy, from: bulk)
        return try CheckpointStore.load("\(copy)/\(name)")
    }
}
