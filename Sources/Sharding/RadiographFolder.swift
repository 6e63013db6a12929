package import Radiography

/// The radiographs under a folder, read without labels and shards: what prediction takes.
package struct RadiographFolder {
    package let path: String
    /// The image files, below the folder, in the order of their bytes.
    package let files: [String]
    /// How many files are no image by their names and first bytes.
    package let ignored: Int
    /// Folders that cannot be listed and files whose names are not UTF-8, as rejected items.
    package let unreadable: [RejectedItem]

    /// The endings of image files, for people.
    package static var endings: String {
        let last = FolderScan.endings[FolderScan.endings.count - 1]
        return FolderScan.endings.dropLast().joined(separator: ", ") + " or " + last
    }

    /// Lists a folder, nested or flat.
    ///
    /// Throws where it cannot be listed, or holds no image.
    package init(_ path: String) throws {
        let scan = try FolderScan(path)
        guard !scan.files.isEmpty || !scan.unreadable.isEmpty else {
            throw ShardingError.noImages(folder: path, ignored: scan.ignored.count)
        }
        self.path = path
        files = scan.files
        ignored = scan.ignored.count
        unreadable = scan.unreadable.map { RejectedItem($0, in: path) }
    }

    /// Reads all files in `jobs` decoding processes, and hands them over in order on the calling thread.
    ///
    /// `consume` is given the index in `files`, the image id (the SOP instance UID, or else the file's name without its
    /// ending) and the image padded to a square and scaled to `size`. Blocks: call it on a thread of its own.
    package func read(
        size: Int,
        jobs: Int,
        launch: DecodeLaunch = DecodeLaunch(),
        consume: (Int, _ id: String, Result<SquaredRadiograph, RadiographError>) throws -> Void
    ) throws {
        let (path, files) = (path, files)
        try OrderedWork.run(
            count: files.count,
            jobs: jobs,
            window: max(2 * jobs, (64 << 20) / (size * size)),
            makeWorker: { DecodeWorker(launch) },
            work: { worker, index -> Result<SquaredRadiograph, RadiographError> in
                do {
                    return .success(try worker.read(path + "/" + files[index], size: size))
                } catch let error as RadiographError {
                    return .failure(error)
                }
            },
            consume: { index, outcome in
                let uid = try? outcome.get().metadata.sopInstanceUID
                try consume(index, uid ?? FolderScan.stem(of: files[index]), outcome)
            }
        )
    }
}
