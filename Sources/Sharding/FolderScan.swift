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
    static let endings = [".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff"]

    private var visited: Set<[UInt64]> = []
    private let wanted: [String]
    private let looksForDICOM: Bool

    /// Walks the folder and those below it, links included; hidden files and folders do not count.
    ///
    /// `wanted` are the endings of files to be found, and `excluded` folders that are not entered. Throws where the
    /// folder itself cannot be listed.
    init(
        _ root: String,
        endings wanted: [String] = endings,
        looksForDICOM: Bool = true,
        excluding excluded: [String] = []
    ) throws {
        self.wanted = wanted
        self.looksForDICOM = looksForDICOM
        _ = try FileSystem.names(in: root)
        for folder in excluded + [root] {
            var status = stat()
            if stat(folder, &status) == 0 { visited.insert([UInt64(status.st_dev), UInt64(status.st_ino)]) }
        }
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
            } else if wanted.contains(where: name.lowercased().hasSuffix)
                || looksForDICOM && exists && status.st_mode & S_IFMT == S_IFREG && name != "DICOMDIR"
                    && Self.isDICOM(path)
            {
                files.append(relative)
            } else {
                ignored.append(relative)
            }
        }
    }

    /// Whether DICOM's mark stands after a preamble, or a file begins with the first group of a data set without one:
    /// archives export files without an ending, and some programs without a header.
    private static func isDICOM(_ path: String) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 132)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, 132, 0) }
        guard count == 132 else { return false }
        if bytes[128...].elementsEqual("DICM".utf8) { return true }
        // (0008,00xx) with a type of two capitals, or with a length that is short and even.
        guard bytes.starts(with: [8, 0]), bytes[2] <= 0x18, bytes[3] == 0 else { return false }
        let hasType = bytes[4...5].allSatisfy { (0x41...0x5A).contains($0) }
        return hasType || bytes[4] <= 64 && bytes[4] % 2 == 0 && bytes[5...7].allSatisfy { $0 == 0 }
    }

    /// The name of a file without its folder and its ending.
    static func stem(of path: String) -> String {
        withoutEnding(path.split(separator: "/").last.map(String.init) ?? path)
    }

    /// A path without its ending, where that is an image's.
    static func withoutEnding(_ path: String) -> String {
        guard let ending = endings.first(where: path.lowercased().hasSuffix) else { return path }
        return String(path.dropLast(ending.count))
    }
}
