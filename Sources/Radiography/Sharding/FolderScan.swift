private import Glibc
private import Storage

/// The image files under a folder.
struct FolderScan {
    /// Paths below the folder, in the order of their bytes.
    var files: [String] = []
    /// How many files have other names than images have.
    var ignored = 0
    /// Folders that cannot be listed, as paths below the folder, and why.
    var unreadable: [(path: String, reason: String)] = []

    /// The endings of image files, in lower case.
    static let endings = [".dcm", ".dicom", ".png", ".jpg", ".jpeg"]

    private var visited: Set<[UInt64]> = []

    /// Walks the folder and those below it, links included; hidden files and folders do not count.
    ///
    /// Throws where the folder itself cannot be listed.
    init(_ root: String) throws {
        _ = try FileSystem.names(in: root)
        var status = stat()
        if stat(root, &status) == 0 { visited.insert([UInt64(status.st_dev), UInt64(status.st_ino)]) }
        walk(root, below: "")
        files.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private mutating func walk(_ folder: String, below prefix: String) {
        let names: [String]
        do {
            names = try FileSystem.names(in: folder)
        } catch {
            unreadable.append((prefix, String(cString: strerror(error.code))))
            return
        }
        for name in names where !name.hasPrefix(".") {
            let path = folder + "/" + name
            let relative = prefix.isEmpty ? name : prefix + "/" + name
            var status = stat()
            let exists = stat(path, &status) == 0
            if exists && status.st_mode & S_IFMT == S_IFDIR {
                // A link may lead back to a folder above.
                if visited.insert([UInt64(status.st_dev), UInt64(status.st_ino)]).inserted {
                    walk(path, below: relative)
                }
            } else if Self.endings.contains(where: name.lowercased().hasSuffix) {
                files.append(relative)
            } else {
                ignored += 1
            }
        }
    }

    /// The name of a file without its folder and its ending.
    static func stem(of path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        guard let ending = endings.first(where: name.lowercased().hasSuffix) else { return name }
        return String(name.dropLast(ending.count))
    }
}
