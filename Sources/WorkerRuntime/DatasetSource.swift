import Foundation
import Platform
import RunLinks
package import Storage

/// Finds a worker's data set: in a folder of this machine, or fetched from the coordinator and kept.
package struct DatasetSource: Sendable {
    /// The digest of the job's data set.
    let digest: String
    /// The folder that the worker's user named, which is binding; nil where none was.
    let shards: String?
    /// Where the configuration says that it is: on this machine that may be another data set, or nothing. nil to fetch
    /// it in any case.
    let configured: String?
    /// Where fetched files are kept, by digest.
    let cache: String
    /// The most bytes that fetched data sets may take there; nil for any number.
    let cacheLimit: Int?
    /// Called for each piece that has come: fetching a data set may take long.
    let noteProgress: @Sendable () -> Void

    package init(
        digest: String,
        shards: String?,
        configured: String?,
        cache: String,
        cacheLimit: Int? = nil,
        noteProgress: @escaping @Sendable () -> Void
    ) {
        self.digest = digest
        self.shards = shards
        self.configured = configured
        self.cache = cache
        self.cacheLimit = cacheLimit
        self.noteProgress = noteProgress
    }

    /// Opens the data set; `notice` hears of a fetch, and why others were not taken.
    package func open(fetchingFrom bulk: BulkClient, notice: (String) -> Void) throws -> Dataset {
        if let shards { return try named(shards) }
        if let configured, let dataset = existing(configured, notice) { return dataset }
        let fetched = FetchedCache(path: cache, limit: cacheLimit)
        let folder = fetched.folder(of: digest)
        if let dataset = existing(folder, notice) {
            fetched.use(folder)
            return dataset
        }
        // What is left of an interrupted fetch is taken up. Where that turns out to be damaged, all is fetched anew.
        notice("fetching the data set from the coordinator into \(folder)")
        do {
            try fetch(into: folder, from: bulk, fetched, notice)
            return try Dataset.open(folder)
        } catch let error where !(error is WorkerError || error is FileError) {
            notice("what was kept in \(folder) is damaged, so all is fetched again. \(error)")
            try? FileManager.default.removeItem(atPath: folder)
            try fetch(into: folder, from: bulk, fetched, notice)
            return try Dataset.open(folder)
        }
    }

    private func named(_ folder: String) throws -> Dataset {
        guard FileSystem.exists("\(folder)/\(DatasetManifest.fileName)") else {
            throw WorkerError.dataset(
                "The folder \(folder), given with --shards, has no \(DatasetManifest.fileName). Give the folder that "
                    + "`pleura shard` wrote, or leave --shards out: the shards are then fetched from the coordinator."
            )
        }
        let dataset = try Dataset.open(folder)
        let found = dataset.manifest.datasetDigest.description
        guard found == digest else {
            throw WorkerError.dataset(
                "The data set in \(folder), given with --shards, has the digest \(found), the job's \(digest). Give the "
                    + "job's own, or leave --shards out: the shards are then fetched from the coordinator."
            )
        }
        return dataset
    }

    /// The job's data set, where `folder` has it.
    private func existing(_ folder: String, _ notice: (String) -> Void) -> Dataset? {
        guard FileSystem.exists("\(folder)/\(DatasetManifest.fileName)") else { return nil }
        do {
            guard try DatasetManifest.read(in: folder).datasetDigest.description == digest else {
                notice("\(folder) has another data set than the job's")
                return nil
            }
            return try Dataset.open(folder)
        } catch {
            notice("the data set in \(folder) cannot be used. \(error)")
            return nil
        }
    }

    private func fetch(
        into folder: String,
        from bulk: BulkClient,
        _ fetched: FetchedCache,
        _ notice: (String) -> Void
    ) throws {
        // The manifest says which shards there are; it is published last, so that its presence means completeness.
        // Other workers may fetch at the same time, and one may have died at it: each has a folder of its own, beside the
        // one that another may find damaged and remove.
        let incoming = "\(folder).incoming-\(UUID().uuidString)"
        try FileSystem.createDirectory(folder)
        try FileSystem.createDirectory(incoming)
        // What cannot be removed is left in the cache, where it does no harm.
        defer { try? FileManager.default.removeItem(atPath: incoming) }
        try fetch(BulkFile(isCheckpoint: false, name: DatasetManifest.fileName), as: incoming, from: bulk)
        let manifest = try DatasetManifest.read(in: incoming)
        guard manifest.datasetDigest.description == digest else {
            throw WorkerError.dataset(
                "The coordinator's shards have the digest \(manifest.datasetDigest) by now, the job began with "
                    + "\(digest): they were made again meanwhile. Stop the run and launch it on the new shards."
            )
        }
        try fetched.makeRoom(for: manifest.shards.reduce(0) { $0 + $1.bytes }, at: folder, notice: notice)
        fetched.use(folder)
        for shard in manifest.shards where !FileSystem.exists("\(folder)/\(shard.file)") {
            try fetch(BulkFile(isCheckpoint: false, name: shard.file), as: incoming, from: bulk)
            let file = try OpenFile("\(incoming)/\(shard.file)", .read)
            guard try file.sha256() == shard.sha256 else {
                throw WorkerError.dataset(
                    "The shard \(shard.file) changed on its way from the coordinator; start again."
                )
            }
            try FileSystem.publish("\(incoming)/\(shard.file)", as: "\(folder)/\(shard.file)")
        }
        try FileSystem.publish(
            "\(incoming)/\(DatasetManifest.fileName)",
            as: "\(folder)/\(DatasetManifest.fileName)"
        )
    }

    private func fetch(_ name: BulkFile, as folder: String, from bulk: BulkClient) throws {
        guard name.isSafe else {
            throw WorkerError.order("The coordinator named the file \(name.name), which leads out of its folder.")
        }
        let file = try OpenFile("\(folder)/\(name.name)", .create)
        try bulk.fetch(name) { offset, size, bytes in
            if offset == 0 { try FileSystem.requireSpace(size, at: folder) }
            try bytes.withUnsafeBytes { try file.write($0, at: offset) }
            noteProgress()
        }
        try file.sync()
    }

    /// Opens the checkpoint that the run goes on from: in the run's own folder, or fetched.
    package func checkpoint(_ name: String, folder: String, fetchingFrom bulk: BulkClient) throws -> CheckpointContents
    {
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
