import Platform
import Radiography

/// The masks under a folder that are images of their own, by the names of the radiographs they are of.
struct MaskFolder {
    let path: String
    /// The masks, below the folder.
    let files: [String]
    /// Files that are masks by their names, in formats that are not read.
    let others: [String]
    /// Masks by their path without its ending, and by that without the words that mark a mask.
    private let byPath: [String: [Int]]
    private let byName: [String: [Int]]
    /// How many of the radiographs have each name.
    private let radiographsByName: [String: Int]

    /// The endings of masks that are read, in lower case.
    static let endings = [".png", ".tif", ".tiff"]
    /// Endings of formats in which masks are kept elsewhere.
    private static let otherEndings = [
        ".jpg", ".jpeg", ".bmp", ".gif", ".nii", ".nii.gz", ".npy", ".npz", ".mha", ".nrrd", ".dcm", ".webp",
    ]
    /// What marks a mask at the end of its name, and at its beginning.
    private static let suffixes = [
        "_mask", "-mask", ".mask", "_masks", "_seg", "-seg", "_segmentation", "_label", "_labels", "_gt", "_annotation",
    ]
    private static let prefixes = ["mask_", "mask-", "seg_", "label_", "gt_"]

    /// The masks below `path`; of radiographs that lie below it too, `radiographs` (below the same folder) are left out.
    init(_ path: String, names radiographs: [String], isSameFolder: Bool) throws {
        self.path = path
        let own = isSameFolder ? Set(radiographs) : []
        let scan = try FolderScan(path, endings: Self.endings, looksForDICOM: false)
        files = scan.files.filter { !own.contains($0) }
        others = scan.ignored.filter { file in
            !own.contains(file) && Self.otherEndings.contains(where: file.lowercased().hasSuffix)
                && (!isSameFolder || Self.isMarked(file))
        }
        var byPath: [String: [Int]] = [:]
        var byName: [String: [Int]] = [:]
        for (index, file) in files.enumerated() {
            let whole = FolderScan.withoutEnding(file)
            for key in Set([whole, Self.unmarked(whole)]) { byPath[key, default: []].append(index) }
            let name = FileSystem.name(of: whole)
            for key in Set([name, Self.unmarked(name)]) { byName[key, default: []].append(index) }
        }
        self.byPath = byPath
        self.byName = byName
        radiographsByName = Dictionary(radiographs.map { (FolderScan.stem(of: $0), 1) }, uniquingKeysWith: +)
    }

    /// The mask of a radiograph.
    enum Match: Equatable {
        /// The mask's place in `files`, and the case's name.
        case mask(Int, name: String)
        case none
        /// Several masks may be meant, those at these places, or several radiographs.
        case unclear(String, masks: [Int])
    }

    /// The mask of the radiograph `file`, which lies that way below its own folder.
    func match(_ file: String, uid: String?) -> Match {
        let whole = FolderScan.withoutEnding(file)
        let stem = FileSystem.name(of: whole)
        for (key, name) in [(whole, stem), (Self.withoutChannel(whole), Self.withoutChannel(stem))] {
            if let found = byPath[key] { return one(of: found, name: name) }
        }
        if let uid, let found = byName[uid] { return one(of: found, name: uid) }
        for name in [stem, Self.withoutChannel(stem)] {
            guard let found = byName[name] else { continue }
            if radiographsByName[stem, default: 0] > 1 {
                return .unclear(
                    "\(radiographsByName[stem] ?? 0) radiographs are called \(stem), and \(path)/\(files[found[0]]) does not "
                        + "say of which it is; lay the masks out in folders as the radiographs are",
                    masks: found
                )
            }
            return one(of: found, name: name)
        }
        return .none
    }

    private func one(of found: [Int], name: String) -> Match {
        if found.count == 1 { return .mask(found[0], name: name) }
        // A mask of exactly that name goes before one whose name is marked.
        let exact = found.filter { FolderScan.stem(of: files[$0]) == name }
        if exact.count == 1 { return .mask(exact[0], name: name) }
        return .unclear(
            "it has \(found.count) masks: \(found.prefix(2).map { "\(path)/\(files[$0])" }.joined(separator: " and "))",
            masks: found
        )
    }

    /// A path without what marks a mask in its last part.
    static func unmarked(_ path: String) -> String {
        let lower = path.lowercased()
        if let suffix = suffixes.first(where: lower.hasSuffix) { return String(path.dropLast(suffix.count)) }
        let name = FileSystem.name(of: path)
        if let prefix = prefixes.first(where: name.lowercased().hasPrefix) {
            return String(path.dropLast(name.count)) + name.dropFirst(prefix.count)
        }
        return path
    }

    /// Whether a file's name marks it as a mask.
    static func isMarked(_ file: String) -> Bool {
        let whole = FolderScan.withoutEnding(file)
        return unmarked(whole) != whole
    }

    /// nnU-Net adds the number of a channel to a radiograph's name, and not to its mask's.
    static func withoutChannel(_ path: String) -> String {
        path.hasSuffix("_0000") ? String(path.dropLast(5)) : path
    }
}
