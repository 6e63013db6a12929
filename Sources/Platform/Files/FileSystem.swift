internal import Glibc
internal import Synchronization

/// Names and directories: thin calls of the operating system with errors that name the path.
package enum FileSystem {
    /// Whether something stands at a path.
    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Whether a directory stands at a path.
    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The size of the file at a path.
    package static func size(of path: String) throws(FileError) -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { throw FileError("read the size of", path: path, code: errno) }
        return Int(status.st_size)
    }

    /// The names in a directory except "." and "..", in order of their bytes.
    ///
    /// Names that are not UTF-8 cannot be told to the system again from a `String`, and are left out.
    package static func names(in directory: String) throws(FileError) -> [String] {
        try listing(of: directory).names
    }

    /// The names in a directory, and those in it that are not UTF-8, written with \xNN for the bytes that do not fit.
    package static func listing(
        of directory: String
    ) throws(FileError) -> (names: [String], foreign: [String]) {
        guard let stream = opendir(directory) else { throw FileError("list", path: directory, code: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        var foreign: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            // `d_name` is a tuple of 256 bytes; the name inside ends with a zero.
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if let name = String(validating: bytes, as: UTF8.self) {
                if name != ".", name != ".." { names.append(name) }
            } else {
                foreign.append(escaped(bytes))
            }
            errno = 0
        }
        guard errno == 0 else { throw FileError("list", path: directory, code: errno) }
        return (names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }, foreign.sorted())
    }

    private static func escaped(_ bytes: [UInt8]) -> String {
        bytes.map { byte in
            if byte < 0x80 { return String(UnicodeScalar(byte)) }
            return "\\x" + String(byte, radix: 16, uppercase: true)
        }.joined()
    }

    /// Throws if no file can be created in a directory.
    ///
    /// Found out by creating one: permissions do not tell of disks that are mounted for reading.
    package static func requireWritable(_ directory: String) throws(FileError) {
        let path = temporaryPath(for: directory + "/writable")
        do throws(FileError) { _ = try OpenFile(path, .create) } catch {
            throw FileError("write to", path: directory, code: error.code)
        }
        try remove(path)
    }

    /// Creates a directory and those above it; one that exists is fine.
    package static func createDirectory(_ path: String) throws(FileError) {
        if isDirectory(path) { return }
        let parent = parent(of: path)
        if parent != path, !isDirectory(parent) { try createDirectory(parent) }
        guard mkdir(path, 0o777) == 0 || (errno == EEXIST && isDirectory(path)) else {
            throw FileError("create the directory", path: path, code: errno)
        }
    }

    /// Removes a file; one that does not exist is fine.
    package static func remove(_ path: String) throws(FileError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw FileError("remove", path: path, code: errno) }
    }

    /// Gives a file another name on the same file system; what stood there is replaced at once.
    package static func rename(_ path: String, to target: String) throws(FileError) {
        guard Glibc.rename(path, target) == 0 else { throw FileError("rename", path: path, code: errno) }
    }

    /// Waits until the names in a directory are on the disk; without it a renamed file may lose its name in a crash.
    package static func syncDirectory(_ directory: String) throws(FileError) {
        let file = try OpenFile(directory, .read)
        // Some network file systems cannot sync a directory and say EINVAL; their renames are synchronous.
        do { try file.sync() } catch  where error.code == EINVAL {}
    }

    /// The bytes that a process without privileges can still write to the file system of `directory`.
    package static func availableBytes(at directory: String) throws(FileError) -> Int {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else {
            throw FileError("read the free space of", path: directory, code: errno)
        }
        let bytes = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return bytes.overflow ? .max : Int(clamping: bytes.partialValue)
    }

    /// The most bytes that a file may have, by this process's limit (`ulimit -f`); nil where there is no limit.
    package static var fileSizeLimit: Int? {
        var limits = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limits) == 0, limits.rlim_cur != rlim_t.max else {
            return nil
        }
        return Int(clamping: limits.rlim_cur)
    }

    /// The bytes that one file in `directory` can still have: what the disk has left, or the limit on files.
    package static func availableFileBytes(at directory: String) throws(FileError) -> Int {
        min(try availableBytes(at: directory), fileSizeLimit ?? .max)
    }

    /// Throws if a file of `bytes` bytes finds no room in `directory`.
    package static func requireSpace(_ bytes: Int, at directory: String) throws {
        let available = try availableFileBytes(at: directory)
        if available < bytes {
            throw InsufficientSpace(directory: directory, neededBytes: bytes, availableBytes: available)
        }
    }

    /// Whether a file system has room for bytes but for no more files.
    package static func isOutOfFiles(at directory: String) -> Bool {
        var status = statvfs()
        // File systems without a table of files count none in all.
        return statvfs(directory, &status) == 0 && status.f_files > 0 && status.f_favail == 0
    }

    /// What a path led to at some moment, to be told apart from what is there later.
    package struct Identity: Hashable, Sendable {
        private let device: UInt64
        private let number: UInt64

        fileprivate init(_ status: stat) {
            device = UInt64(status.st_dev)
            number = UInt64(status.st_ino)
        }
    }

    /// What stands at a path now; nil where nothing does.
    package static func identity(of path: String) -> Identity? {
        var status = stat()
        return stat(path, &status) == 0 ? Identity(status) : nil
    }

    /// Seconds between the last change of a file and now, both by the clock of its file system: hosts' own may differ.
    ///
    /// Nil where no file can be made beside it.
    package static func age(of path: String) -> Double? {
        var status = stat()
        guard stat(path, &status) == 0, let probe = try? createTemporary(for: path) else { return nil }
        defer { try? remove(probe.path) }
        var now = stat()
        guard fstat(probe.descriptor, &now) == 0 else { return nil }
        // As numbers that do not overflow: a file's time can be anything.
        let seconds = Double(now.st_mtim.tv_sec) - Double(status.st_mtim.tv_sec)
        return max(0, seconds + Double(now.st_mtim.tv_nsec - status.st_mtim.tv_nsec) / 1e9)
    }

    /// The path without links, `.`, `..` and doubled or closing slashes, from the root; what does not exist yet is kept.
    package static func canonical(_ path: String) -> String {
        if let resolved = realpath(path, nil) {
            defer { free(resolved) }
            return String(cString: resolved)
        }
        let whole = absolute(path)
        let name = name(of: whole)
        let parent = parent(of: whole)
        guard parent != whole, !name.isEmpty else { return whole }
        let above = canonical(parent)
        if name == "." { return above }
        if name == ".." { return Self.parent(of: above) }
        return above == "/" ? "/\(name)" : "\(above)/\(name)"
    }

    /// The path as it was given, without doubled and closing slashes: a shell's completion adds them.
    package static func tidied(_ path: String) -> String {
        var result = ""
        for character in path where !(character == "/" && result.hasSuffix("/")) { result.append(character) }
        while result.count > 1, result.hasSuffix("/") { result.removeLast() }
        return result
    }

    /// The directory that holds a path.
    package static func parent(of path: String) -> String {
        let trimmed = tidied(path)
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }

    /// The last component of a path.
    package static func name(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    /// The path from the root, for a process with another working directory.
    package static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let here = getcwd(nil, 0) else { return path }
        defer { free(here) }
        let relative = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        return "\(String(cString: here))/\(relative)"
    }

    // MARK: Temporary names

    private static let temporaryNumbers = Atomic(0)

    /// A fresh hidden path beside `path`, to be renamed to it when complete.
    package static func temporaryPath(for path: String) -> String {
        let number = temporaryNumbers.add(1, ordering: .relaxed).newValue
        return "\(parent(of: path))/.\(name(of: path)).\(getpid())-\(number).tmp"
    }

    /// Creates an empty file at a fresh hidden path beside `path`, to be renamed to it when complete.
    ///
    /// A name is taken where a writer died whose process had the same number.
    package static func createTemporary(for path: String) throws(FileError) -> OpenFile {
        while true {
            do throws(FileError) {
                return try OpenFile(temporaryPath(for: path), .create)
            } catch {
                if error.code != EEXIST { throw error }
            }
        }
    }

    /// Removes what writers that died have left in a directory: hidden files with `prefix` that end in `.tmp`.
    ///
    /// Only for the directory's one owner, before it writes: a live writer's file would go too. Returns the names.
    @discardableResult
    package static func removeTemporaries(in directory: String, prefix: String) throws(FileError) -> [String] {
        let names = try names(in: directory).filter { $0.hasPrefix("." + prefix) && $0.hasSuffix(".tmp") }
        for name in names { try remove("\(directory)/\(name)") }
        return names
    }

    /// Makes a complete temporary file the one at `path`: fsync, rename, fsync of the directory.
    package static func publish(_ temporary: String, as path: String) throws(FileError) {
        try OpenFile(temporary, .read).sync()
        try rename(temporary, to: path)
        try syncDirectory(parent(of: path))
    }
}

/// Small files that are either the old or the new one, never a part, whatever dies when.
package enum AtomicFile {
    /// Replaces the file at `path` by `bytes`, durably.
    ///
    /// Links are followed: what they point at is replaced. What is no file, such as a device or a pipe, is written to
    /// as it is. On an error the old file stands and nothing is left behind.
    package static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
        guard let target = replaceable(path) else { return try writeInPlace(bytes, to: path) }
        let file: OpenFile
        do throws(FileError) {
            file = try FileSystem.createTemporary(for: target)
        } catch {
            // Messages name the path that the user gave.
            throw FileError("write", path: path, code: error.code)
        }
        do throws(FileError) {
            var failure: FileError?
            bytes.withUnsafeBytes { buffer in
                do throws(FileError) { try file.write(buffer, at: 0) } catch { failure = error }
            }
            if let failure { throw failure }
            try FileSystem.publish(file.path, as: target)
        } catch {
            // The first error is the one to tell.
            try? FileSystem.remove(file.path)
            throw error.path == file.path ? FileError("write", path: path, code: error.code) : error
        }
    }

    /// Replaces the file at `path` by text in UTF-8, durably.
    package static func write(_ text: String, to path: String) throws(FileError) {
        try write(Array(text.utf8), to: path)
    }

    /// The path at which a file may be replaced by renaming, or nothing where another kind of thing stands.
    private static func replaceable(_ path: String) -> String? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return path }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return path
        case S_IFDIR:
            // Renaming onto it fails and says so.
            return path
        case S_IFLNK:
            // A link that leads nowhere is written through, so that its target comes to be.
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
                let resolved = realpath(path, nil)
            else { return nil }
            defer { free(resolved) }
            return String(cString: resolved)
        default: return nil
        }
    }

    private static func writeInPlace(_ bytes: [UInt8], to path: String) throws(FileError) {
        let file = try OpenFile(path, .stream)
        var failure: FileError?
        bytes.withUnsafeBytes { buffer in
            do throws(FileError) { try file.append(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
