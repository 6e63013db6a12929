private import Foundation
package import Radiography

/// A file or a row that is not in the data set, or that is in it with a reservation; a row of `rejected.csv`.
package struct RejectedItem: Sendable, Equatable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// A file that gave no radiograph.
        case file(RadiographError.Kind)
        case unreadableFolder
        /// A file that is no image by its name and its first bytes.
        case ignoredFile
        /// A second file of the same image, with the same bytes.
        case duplicateID
        /// A file that has the id of another, and other content.
        case conflictingID
        case imageWithoutLabel
        case labelWithoutImage
        /// How a picture looks, and what was assumed to read it.
        case picture(PictureRemark.Kind)
        /// A row of the label file.
        case label(LabelFile.Defect.Kind)
        /// A mask that is an image.
        case mask(MaskDefect)
        /// A file of another view than those that were asked for.
        case otherView
        /// A lateral view.
        case lateralView
        /// A picture of another modality than radiography.
        case otherModality

        /// The name in `rejected.csv`.
        package var name: String {
            switch self {
            case .file(let kind): kind.rawValue
            case .unreadableFolder: "unreadable-folder"
            case .ignoredFile: "ignored-file"
            case .duplicateID, .conflictingID: "duplicate-id"
            case .imageWithoutLabel: "image-without-label"
            case .labelWithoutImage: "label-without-image"
            case .picture(let kind): kind.rawValue
            case .label(let kind): kind.rawValue
            case .mask(let defect): defect.rawValue
            case .otherView: "other-view"
            case .lateralView: "lateral-view"
            case .otherModality: "other-modality"
            }
        }

        /// Whether a file or folder could not be read, so that the run's exit status tells of it.
        package var isUnreadableFile: Bool {
            switch self {
            case .file(let kind): kind != .otherObject
            case .unreadableFolder: true
            default: false
            }
        }

        /// Whether nothing that was meant for the data set is missing: the image is in it, or the file is none.
        package var isWarning: Bool {
            switch self {
            case .label(let kind): kind.isWarning
            case .mask(let defect): defect.isWarning
            case .ignoredFile, .picture, .lateralView, .otherModality: true
            case .file(let kind): kind == .otherObject
            default: false
            }
        }
    }

    /// What is wrong with a mask that is an image.
    package enum MaskDefect: String, Sendable, CaseIterable {
        /// It has another shape than its radiograph.
        case otherShape = "mask-shape"
        /// Of several files or radiographs it is not clear which belong together.
        case unclear = "unclear-mask"
        /// Its format is not read.
        case format = "mask-format"
        /// It has its radiograph's shape at another size.
        case scaled = "mask-scaled"
        /// It covers more than half of its radiograph.
        case large = "large-mask"

        package var isWarning: Bool { self == .scaled || self == .large }
    }

    package var kind: Kind
    /// The file that is meant, as the user can open it.
    package var path: String
    /// The row, where the file is a table.
    package var row: Int?
    package var id: String?
    package var reason: String

    package init(_ kind: Kind, path: String, row: Int? = nil, id: String? = nil, reason: String) {
        self.kind = kind
        self.path = path
        self.row = row
        self.id = id
        self.reason = reason
    }

    init(_ defect: LabelFile.Defect) {
        self.init(.label(defect.kind), path: defect.path, row: defect.row, id: defect.id, reason: defect.reason)
    }

    /// What a scan of the folder `root` could not read.
    init(_ item: FolderScan.Unreadable, in root: String) {
        let kind: Kind = item.isFolder ? .unreadableFolder : .file(.unreadable)
        self.init(kind, path: root + "/" + item.path, reason: item.reason)
    }

    /// What was odd about the picture in a file.
    package init(_ remark: PictureRemark, path: String, id: String) {
        self.init(.picture(remark.kind), path: path, id: id, reason: remark.reason)
    }

    package var description: String {
        let place = row.map { "\(path):\($0)" } ?? path
        // Most files are called after their image.
        let name = id.flatMap { path.contains($0) ? nil : "\($0): " } ?? ""
        return "\(place): \(name)\(reason) [\(kind.name)]"
    }

    /// A second file of an image.
    static func duplicate(of id: String, path: String, kept: String, isSame: Bool) -> RejectedItem {
        let relation = isSame ? "the same bytes" : "OTHER content"
        return RejectedItem(
            isSame ? .duplicateID : .conflictingID,
            path: path,
            id: id,
            reason: "\(kept) is the same image id with \(relation); kept that one"
        )
    }

    /// A file that was passed over.
    static func ignored(_ path: String) -> RejectedItem {
        RejectedItem(
            .ignoredFile,
            path: path,
            reason: "neither its name nor its first bytes are those of an image; left out"
        )
    }

    /// The first line of every table.
    static let header = "kind,path,row,id,reason\n"

    /// The items as CSV with a header, by path and row.
    package static func table(_ items: [RejectedItem]) -> String {
        let sorted = items.sorted { a, b in
            if a.path != b.path { return a.path.utf8.lexicographicallyPrecedes(b.path.utf8) }
            if a.row != b.row { return (a.row ?? 0) < (b.row ?? 0) }
            return (a.id ?? "").utf8.lexicographicallyPrecedes((b.id ?? "").utf8)
        }
        var text = header
        for item in sorted {
            let fields = [item.kind.name, item.path, item.row.map(String.init) ?? "", item.id ?? "", item.reason]
            text += fields.map(quoted).joined(separator: ",") + "\n"
        }
        return text
    }

    /// A CSV field after RFC 4180.
    package static func quoted(_ field: String) -> String {
        guard field.utf8.contains(where: { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }) else { return field }
        return "\"" + field.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
