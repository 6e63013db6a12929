private import Foundation
import Platform
package import Radiography

/// Where radiographs and masks lie in a folder that holds both.
package struct SourceLayout: Equatable, Sendable {
    package var radiographs: String
    package var masks: String
    /// The values that are the finding, where the layout says it.
    package var values: MaskValues?
    /// What was recognised, as a sentence.
    package var words: String

    /// Folders of radiographs and of their masks, as they are usually called.
    private static let pairs = [
        ("images", "masks"), ("images", "labels"), ("images", "mask"), ("image", "mask"), ("imgs", "masks"),
        ("img", "mask"), ("img", "masks"), ("CXR_png", "masks"),
    ]

    /// The layout of a folder: nnU-Net's, folders `images` and `masks`, or masks beside their radiographs
    /// (`a.png` and `a_mask.png`); nothing where it is none of them.
    ///
    /// `values` is what the user says of the masks' values, which goes before nnU-Net's `dataset.json`.
    package static func find(_ folder: String, values: MaskValues?) throws -> SourceLayout? {
        let (images, labels) = (folder + "/imagesTr", folder + "/labelsTr")
        if FileSystem.isDirectory(images), FileSystem.isDirectory(labels) {
            let description = try NNUNetDescription(folder + "/dataset.json")
            let (chosen, words) = try description.finding(values)
            return SourceLayout(
                radiographs: images,
                masks: labels,
                values: chosen,
                words: "\(folder) is laid out as nnU-Net's: radiographs from imagesTr, masks from labelsTr\(words)."
            )
        }
        for (images, masks) in pairs {
            let (images, masks) = (folder + "/" + images, folder + "/" + masks)
            guard FileSystem.isDirectory(images), FileSystem.isDirectory(masks) else { continue }
            return SourceLayout(
                radiographs: images,
                masks: masks,
                values: values,
                words: "Radiographs from \(images), masks from \(masks)."
            )
        }
        guard FileSystem.isDirectory(folder), let scan = try? FolderScan(folder) else { return nil }
        let files = Set(scan.files.map(FolderScan.withoutEnding))
        let marked = scan.files.filter { file in
            let whole = FolderScan.withoutEnding(file)
            let name = MaskFolder.unmarked(whole)
            return name != whole && files.contains(name)
        }
        guard !marked.isEmpty else { return nil }
        return SourceLayout(
            radiographs: folder,
            masks: folder,
            values: values,
            words: "\(marked.count) files of \(folder) are masks by their names, as \(marked[0]) is."
        )
    }
}

/// nnU-Net's `dataset.json`: what the channels and the values of masks are called.
struct NNUNetDescription {
    /// The values and their names, the background left out.
    private(set) var labels: [(value: Int, name: String)] = []
    private let path: String

    /// Reads the file; one that is not there says nothing.
    init(_ path: String) throws {
        self.path = path
        guard FileSystem.exists(path) else { return }
        let bytes = try OpenFile(path, .read).readAll(limit: 64 << 20)
        guard let root = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] else {
            throw ShardingError.unclear("\(path) is no JSON object, and nnU-Net's dataset.json is one.")
        }
        let channels = root["channel_names"] as? [String: Any] ?? root["modality"] as? [String: Any] ?? [:]
        guard channels.count <= 1 else {
            throw ShardingError.unclear(
                "\(path) names \(channels.count) channels; a radiograph has one. Copy the files of one channel into a "
                    + "folder, and give --dicom and --masks."
            )
        }
        for (key, value) in root["labels"] as? [String: Any] ?? [:] {
            // Version 2 maps names to values, version 1 values to names.
            if let number = value as? Int {
                labels.append((number, key))
            } else if let name = value as? String, let number = Int(key) {
                labels.append((number, name))
            } else {
                throw ShardingError.unclear(
                    "\(path) has the label \(key) of several values; say which are the finding with --mask-values."
                )
            }
        }
        labels.removeAll { $0.value <= 0 || $0.name.lowercased() == "ignore" || $0.value > 65_535 }
        labels.sort { $0.value < $1.value }
    }

    /// The values that are the finding, and words about them.
    func finding(_ chosen: MaskValues?) throws -> (MaskValues?, String) {
        if let chosen { return (chosen, "") }
        let named = labels.filter { $0.name.lowercased().contains("pneumothora") }
        let found = labels.count == 1 ? labels : named
        if let only = found.first, found.count == 1 {
            return (.classes([only.value]), ", of which \(only.value) is \(only.name)")
        }
        guard labels.count > 1 else { return (nil, "") }
        let list = labels.map { "\($0.value) \($0.name)" }.joined(separator: ", ")
        throw ShardingError.unclear(
            "\(path) has several labels: \(list). Say which are the finding with --mask-values."
        )
    }
}
