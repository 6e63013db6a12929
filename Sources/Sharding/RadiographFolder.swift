package import Diagnostics
private import Glibc
import Platform
package import Radiography

/// Radiographs in folders and files, read without labels and shards: what prediction takes.
package struct RadiographFolder {
    /// The image files, in the order of their bytes within each folder, as they can be opened.
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

    /// Lists folders, nested or flat, and takes files as they are, whatever their names; what is named twice counts once.
    ///
    /// Throws where a path cannot be found or listed, or no image is in a folder.
    package init(_ paths: [String]) throws {
        var files: [String] = []
        var known: Set<String> = []
        var ignored = 0
        var unreadable: [RejectedItem] = []
        for path in paths {
            guard FileSystem.isDirectory(path) else {
                // Whether it can be read is said of it as of a file in a folder; that it is not there, at once.
                guard FileSystem.exists(path) else { throw AbsentInput(path: path) }
                if known.insert(path).inserted { files.append(path) }
                continue
            }
            let scan = try FolderScan(path)
            guard !scan.files.isEmpty || !scan.unreadable.isEmpty else {
                throw ShardingError.noImages(folder: path, ignored: scan.ignored.count)
            }
            for file in scan.files where known.insert("\(path)/\(file)").inserted { files.append("\(path)/\(file)") }
            ignored += scan.ignored.count
            unreadable += scan.unreadable.map { RejectedItem($0, in: path) }
        }
        self.files = files
        self.ignored = ignored
        self.unreadable = unreadable
    }

    /// The paths that a pattern of a shell (`*`, `?`, `[a-z]`) fits, in the order of their bytes; a path that is there is
    /// itself, whatever signs it holds.
    ///
    /// Throws where nothing fits.
    package static func expanded(_ path: String) throws -> [String] {
        if FileSystem.exists(path) || !path.contains(where: { "*?[".contains($0) }) { return [path] }
        var matches = glob_t()
        defer { globfree(&matches) }
        guard glob(path, GLOB_NOSORT, nil, &matches) == 0, let names = matches.gl_pathv else {
            throw AbsentInput(path: path)
        }
        let found = (0..<Int(matches.gl_pathc)).compactMap { names[$0].flatMap { String(validatingCString: $0) } }
        return found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Reads all files in `jobs` decoding processes, and hands them over in order on the calling thread.
    ///
    /// `consume` is given the index in `files`, the image id (the SOP instance UID, or else the file's name without its
    /// ending) and the image padded to a square and scaled to `size`; with `wantsWhole` also at its own size. Blocks: call
    /// it on a thread of its own.
    package func read(
        size: Int,
        wantsWhole: Bool = false,
        jobs: Int,
        launch: DecodeLaunch = DecodeLaunch(),
        consume: (Int, _ id: String, Result<SquaredRadiograph, RadiographError>) throws -> Void
    ) throws {
        let files = files
        try OrderedWork.run(
            count: files.count,
            jobs: jobs,
            // Whole images may have 100 megapixels: no more of them wait than there are processes.
            window: wantsWhole ? jobs : max(2 * jobs, (64 << 20) / (size * size)),
            makeWorker: { DecodeWorker(launch) },
            work: { worker, index -> Result<SquaredRadiograph, RadiographError> in
                do {
                    return .success(try worker.read(files[index], size: size, wantsWhole: wantsWhole))
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

/// What was named as an input is not there.
package struct AbsentInput: ReportableError, Equatable {
    package let path: String

    package var exitStatus: ExitStatus { .missingInput }

    package var description: String {
        path.contains(where: { "*?[".contains($0) })
            ? "Nothing fits the pattern \(path)." : "There is no file or folder \(path)."
    }
}
