private import Glibc
import Platform

/// The image files under a folder.
struct FolderScan {
    /// Paths below the folder, in the order of their bytes.
    var files: [String] = []
    /// The other files, which are neither named as images are nor DICOM by their first bytes.
    var ignored: [String] = []
    /// What cannot be read before its contents are known, with its path below the folder.
    var unreadable: [Unreadable] = []

    /// A folder that cannot be listed, or a file whose name cannot be told to the system again.
    struct Unreadable {
        var path: String
        var isFolder: Bool
        var reason: String
    }

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
            let listing = try FileSystem.listing(of: folder)
            names = listing.names
            for name in listing.foreign where !name.hasPrefix(".") {
                unreadable.append(
                    Unreadable(
                        path: prefix.isEmpty ? name : prefix + "/" + name,
                        isFolder: false,
                        reason: "its name is not UTF-8; rename it"
                    )
                )
            }
        } catch {
            let reason = "the folder cannot be listed: " + String(cString: strerror(error.code))
            unreadable.append(Unreadable(path: prefix, isFolder: true, reason: reason))
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
            } else if Self.endings.contains(where: name.lowercased().hasSuffix)
                || exists && status.st_mode & S_IFMT == S_IFREG && name != "DICOMDIR" && Self.isDICOM(path)
            {
                files.append(relative)
            } else {
                ignored.append(relative)
            }
        }
    }

    /// Whether DICOM's mark stands after a preamble: archives export files without an ending.
    private static func isDICOM(_ path: String) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var mark = [UInt8](repeating: 0, count: 4)
        return mark.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, 4, 128) } == 4
            && mark == Array("DICM".utf8)
    }

    /// The name of a file without its folder and its ending.
    static func stem(of path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        guard let ending = endings.first(where: name.lowercased().hasSuffix) else { return name }
        return String(name.dropLast(ending.count))
    }
}
