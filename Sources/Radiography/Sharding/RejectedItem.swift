private import Foundation

/// A file or a row that is not in the data set, or that is in it with a reservation; a row of `rejected.csv`.
package struct RejectedItem: Sendable, Equatable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// A file that gave no radiograph.
        case file(RadiographError.Kind)
        case unreadableFolder
        /// A second file of the same image.
        case duplicateID
        case imageWithoutLabel
        case labelWithoutImage
        /// A row of the label file.
        case label(LabelFile.Defect.Kind)

        /// The name in `rejected.csv`.
        package var name: String {
            switch self {
            case .file(let kind): kind.rawValue
            case .unreadableFolder: "unreadable-folder"
            case .duplicateID: "duplicate-id"
            case .imageWithoutLabel: "image-without-label"
            case .labelWithoutImage: "label-without-image"
            case .label(let kind): kind.rawValue
            }
        }

        /// Whether a file or folder could not be read, so that the run's exit status tells of it.
        package var isUnreadableFile: Bool {
            switch self {
            case .file, .unreadableFolder: true
            default: false
            }
        }

        /// Whether the image is in the data set all the same.
        package var isWarning: Bool {
            if case .label(let kind) = self { return kind.isWarning }
            return false
        }
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

    package var description: String {
        let place = row.map { "\(path):\($0)" } ?? path
        // Most files are called after their image.
        let name = id.flatMap { path.contains($0) ? nil : "\($0): " } ?? ""
        return "\(place): \(name)\(reason) [\(kind.name)]"
    }

    /// The items as CSV with a header, by path and row.
    package static func table(_ items: [RejectedItem]) -> String {
        let sorted = items.sorted { a, b in
            if a.path != b.path { return a.path.utf8.lexicographicallyPrecedes(b.path.utf8) }
            if a.row != b.row { return (a.row ?? 0) < (b.row ?? 0) }
            return (a.id ?? "").utf8.lexicographicallyPrecedes((b.id ?? "").utf8)
        }
        var text = "kind,path,row,id,reason\n"
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
