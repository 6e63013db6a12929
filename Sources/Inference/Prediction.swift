package import Diagnostics
import Foundation
import Platform
package import Radiography
package import Sharding
import Storage
import Synchronization

/// Predicts the masks of a folder of radiographs.
package struct Prediction: Sendable {
    /// What is read and written.
    package struct Options: Sendable {
        /// The folder with the radiographs.
        package var input: String
        /// The folder for what is written; created if need be.
        package var output: String
        package var rule: MaskRule
        /// Test-time augmentation: the mean over the image and its mirror image.
        package var flips = true
        package var writesProbabilities = true
        package var writesOverlays = true
        /// Decoding processes.
        package var jobs: Int

        package init(input: String, output: String, rule: MaskRule, jobs: Int) {
            self.input = input
            self.output = output
            self.rule = rule
            self.jobs = jobs
        }
    }

    /// What came of it.
    package struct Summary: Sendable {
        /// Radiographs with a row in the submission.
        package var images = 0
        /// Those of them whose mask is not empty.
        package var positives = 0
        /// Files and folders that could not be read, and second files of an image.
        package var rejected: [RejectedItem] = []
        /// Files that are no image by their names and first bytes, and were passed over.
        package var ignored = 0
        package var seconds = 0.0

        package var imagesPerSecond: Double { seconds > 0 ? Double(images) / seconds : 0 }
        /// Whether anything could not be read.
        package var hasUnreadableFiles: Bool { rejected.contains { $0.kind.isUnreadableFile } }
    }

    /// How far it is.
    package struct Progress: Sendable {
        package let done: Int
        package let total: Int
        package let rejected: Int
    }

    private let pool: InferencePool
    private let options: Options
    private let rows = RowTable()

    package init(_ pool: InferencePool, _ options: Options) {
        self.pool = pool
        self.options = options
    }

    /// Reads, predicts and writes; `submission.csv` and `rejected.csv` come last.
    ///
    /// Blocks; `progress` and `note`, which hears of each rejected item, are called on the calling thread. A file that
    /// cannot be read is noted; what cannot be written ends the work.
    package func run(progress: (Progress) -> Void, note: (RejectedItem) -> Void) throws -> Summary {
        let start = ContinuousClock.now
        try checkFolders()
        let folder = try RadiographFolder(options.input)
        try FileSystem.createDirectory(options.output)
        try requireOwnOutputs()
        try FileSystem.requireWritable(options.output)
        if options.writesProbabilities { try FileSystem.createDirectory("\(options.output)/probabilities") }
        if options.writesOverlays { try FileSystem.createDirectory("\(options.output)/overlays") }
        var summary = Summary()
        summary.ignored = folder.ignored
        func reject(_ item: RejectedItem) {
            summary.rejected.append(item)
            note(item)
        }
        for item in folder.unreadable { reject(item) }
        var files: [String: String] = [:]
        var names = FileNames()
        try folder.read(size: pool.model.size, jobs: options.jobs) { index, id, outcome in
            let path = "\(options.input)/\(folder.files[index])"
            switch outcome {
            case .failure(let error):
                reject(RejectedItem(.file(error.kind), path: path, id: error.id, reason: error.reason))
            case .success(let radiograph):
                if let first = files[id] {
                    reject(
                        RejectedItem(
                            .duplicateID,
                            path: path,
                            id: id,
                            reason: "the image \(id) is in \(first) already"
                        )
                    )
                } else {
                    files[id] = path
                    try submit(id, name: names.name(for: id), radiograph.image)
                }
            }
            progress(Progress(done: index + 1, total: folder.files.count, rejected: summary.rejected.count))
        }
        try pool.wait()
        let rows = rows.sorted()
        let tables = OutputRecord(options.output)
        try tables.write(Self.submission(rows), to: Self.submissionFile)
        try tables.write(RejectedItem.table(summary.rejected), to: Self.rejectedFile)
        summary.images = rows.count
        summary.positives = rows.count { $0.mask != "-1" }
        summary.seconds = (ContinuousClock.now - start).seconds
        return summary
    }

    private static let submissionFile = "submission.csv"
    private static let rejectedFile = "rejected.csv"

    /// Throws where files that predictions did not write stand in their places; of the folders of pictures, where any
    /// picture is another's, since its name may be that of a radiograph which is yet to be read.
    private func requireOwnOutputs() throws {
        let output = options.output
        let tables = OutputRecord(output)
        var obstacles = [Self.submissionFile, Self.rejectedFile].compactMap { tables.obstacle($0) }
        let folders = [("probabilities", options.writesProbabilities), ("overlays", options.writesOverlays)]
        for (name, isWritten) in folders where isWritten && FileSystem.isDirectory("\(output)/\(name)") {
            for picture in try FileSystem.names(in: "\(output)/\(name)") where picture.hasSuffix(".png") {
                if let found = OutputOwnership.obstacle("\(output)/\(name)/\(picture)", .picture) {
                    obstacles.append(found)
                }
            }
        }
        guard !obstacles.isEmpty else { return }
        throw OccupiedOutput(
            "Predictions cannot be written to \(output)",
            obstacles,
            advice: "Give another folder with --output, or move these files away."
        )
    }

    /// Outputs inside the input folder would be inputs of the next call.
    private func checkFolders() throws {
        let input = URL(fileURLWithPath: options.input).resolvingSymlinksInPath().standardizedFileURL.path
        let output = URL(fileURLWithPath: options.output).resolvingSymlinksInPath().standardizedFileURL.path
        if output == input || output.hasPrefix(input + "/") {
            throw PredictionFolderError(input: options.input, output: options.output)
        }
    }

    private func submit(_ id: String, name: String, _ image: GrayImage) throws {
        let (options, rows) = (options, rows)
        try pool.submit { engine in
            let size = engine.model.size
            let map = image.pixels.withUnsafeBufferPointer { pixels -> UnsafeBufferPointer<Float>? in
                pixels.baseAddress.map { engine.probabilities(of: $0, side: size, flips: options.flips) }
            }
            guard let map else { return }
            let mask = Postprocessing(rule: options.rule).mask(of: map, size: size)
            rows.add(id, mask.encoded)
            if options.writesProbabilities {
                let bytes = ProbabilityMap(size: size, values: Array(map)).bytes
                try Self.write(
                    RasterFile.png(bytes, width: size, height: size),
                    to: "\(options.output)/probabilities/\(name).png"
                )
            }
            if options.writesOverlays {
                // Outlines need some pixels to be seen: small images are enlarged.
                let shown = image.squared(to: max(size, 512))
                try Self.write(
                    Overlay.draw(shown, prediction: mask).png(level: 3),
                    to: "\(options.output)/overlays/\(name).png"
                )
            }
        }
    }

    /// Replaces a picture. Not synced to the disk, one by one: the submission, which is, comes last.
    private static func write(_ bytes: [UInt8], to path: String) throws {
        try FileSystem.remove(path)
        let file = try OpenFile(path, .create)
        try PictureMark.marked(bytes).withUnsafeBytes { try file.write($0, at: 0) }
    }

    /// The challenge's file: a row for each image, in the order of the ids' bytes.
    static func submission(_ rows: [(id: String, mask: String)]) -> String {
        var text = "ImageId,EncodedPixels\n"
        for row in rows { text += RejectedItem.quoted(row.id) + "," + row.mask + "\n" }
        return text
    }
}

/// The output folder lies in the input folder.
package struct PredictionFolderError: ReportableError {
    package let input: String
    package let output: String

    package var exitStatus: ExitStatus { .usage }

    package var description: String {
        "The output folder \(output) lies in the input folder \(input): its pictures would be taken for radiographs "
            + "the next time. Give a folder elsewhere."
    }
}

/// The submission's rows, added by any thread.
private final class RowTable: Sendable {
    private let rows = Mutex<[(id: String, mask: String)]>([])

    func add(_ id: String, _ mask: String) { rows.withLock { $0.append((id, mask)) } }

    func sorted() -> [(id: String, mask: String)] {
        rows.withLock { $0 }.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }
    }
}

/// Names of files for image ids: ids come from the files' own contents and may hold anything.
struct FileNames {
    private var used: Set<String> = []

    /// The id where it is a plain name, else with `_` for what is not; a number is added to one that was given before.
    mutating func name(for id: String) -> String {
        var plain = String(
            id.unicodeScalars.prefix(128).map { scalar -> Character in
                switch scalar {
                case "a"..."z", "A"..."Z", "0"..."9", ".", "-", "_": Character(scalar)
                default: "_"
                }
            }
        )
        if plain.isEmpty || plain.hasPrefix(".") { plain = "_" + plain }
        var name = plain
        var number = 2
        while !used.insert(name).inserted {
            name = "\(plain)-\(number)"
            number += 1
        }
        return name
    }
}
