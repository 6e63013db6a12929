import Foundation
import Platform
package import Radiography
package import Sharding
import Storage
import Synchronization

/// Predicts the masks of radiographs.
package struct Prediction: Sendable {
    /// What is read and written.
    package struct Options: Sendable {
        package var inputs: PredictionInputs
        /// The folder for what is written; created if need be.
        package var output: String
        package var rule: MaskRule
        /// Test-time augmentation: the mean over the image and its mirror image.
        package var flips = true
        package var writesMasks = true
        package var writesProbabilities = true
        package var writesOverlays = true
        package var writesHeatMaps = true
        /// Decoding processes.
        package var jobs: Int

        package init(inputs: PredictionInputs, output: String, rule: MaskRule, jobs: Int) {
            self.inputs = inputs
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
        /// What was odd about pictures that were predicted all the same, and files that hold no picture.
        package var warnings: [RejectedItem] = []
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
    private var names = FileNames()
    private var firstFiles: [String: String] = [:]
    private var summary = Summary()

    package init(_ pool: InferencePool, _ options: Options) {
        self.pool = pool
        self.options = options
    }

    /// Reads, predicts and writes; the tables come last.
    ///
    /// Blocks; `progress` and `note`, which hears of each rejected item, are called on the calling thread. A file that
    /// cannot be read is noted; what cannot be written ends the work. To be called once.
    package mutating func run(progress: (Progress) -> Void, note: (RejectedItem) -> Void) throws -> Summary {
        let start = ContinuousClock.now
        let inputs = options.inputs
        try checkFolders()
        try FileSystem.createDirectory(options.output)
        try requireOwnOutputs()
        try FileSystem.requireWritable(options.output)
        for (name, isWritten) in folders where isWritten { try FileSystem.createDirectory("\(options.output)/\(name)") }
        summary.ignored = inputs.folder?.ignored ?? 0
        for item in inputs.folder?.unreadable ?? [] { reject(item, note) }
        var done = 0
        func tell() {
            done += 1
            progress(Progress(done: done, total: inputs.count, rejected: summary.rejected.count))
        }
        try inputs.folder?.read(size: pool.model.size, wantsWhole: drawsRadiographs, jobs: options.jobs) {
            index,
            id,
            outcome in
            let path = inputs.folder?.files[index] ?? ""
            switch outcome {
            case .failure(let error) where error.kind == .otherObject:
                // A report or a presentation state: nothing to predict, and nothing wrong.
                summary.ignored += 1
                let item = RejectedItem(.file(error.kind), path: path, id: error.id, reason: error.reason)
                summary.warnings.append(item)
            case .failure(let error):
                reject(RejectedItem(.file(error.kind), path: path, id: error.id, reason: error.reason), note)
            case .success(let radiograph):
                if let name = takeID(id, path, note) {
                    summary.warnings += radiograph.remarks.map { RejectedItem($0, path: path, id: id) }
                    let subject = Subject(id: id, name: name, path: path, metadata: radiograph.metadata)
                    try submit(subject, side: pool.model.size, whole: radiograph.whole) { radiograph.image.pixels }
                }
            }
            tell()
        }
        for shards in inputs.shards {
            let dataset = shards.dataset
            for sample in shards.samples {
                let id = dataset.id(of: sample)
                if let name = takeID(id, shards.path, note) {
                    let subject = Subject(id: id, name: name, path: shards.path, dataset: dataset, sample: sample)
                    try submit(subject, side: dataset.size, whole: nil) { try dataset.image(sample) }
                }
                tell()
            }
        }
        try pool.wait()
        let rows = rows.sorted()
        let tables = OutputRecord(options.output)
        try tables.write(PredictionRow.table(rows), to: Self.predictionsFile)
        try tables.write(PredictionRow.submission(rows), to: Self.submissionFile)
        try tables.write(RejectedItem.table(summary.rejected), to: Self.rejectedFile)
        try tables.write(RejectedItem.table(summary.warnings), to: Self.warningsFile)
        summary.images = rows.count
        summary.positives = rows.count(where: \.isPositive)
        summary.seconds = (ContinuousClock.now - start).seconds
        return summary
    }

    private mutating func reject(_ item: RejectedItem, _ note: (RejectedItem) -> Void) {
        summary.rejected.append(item)
        note(item)
    }

    /// A name of files for an image id; nil, and a rejected item, where the id was taken before.
    private mutating func takeID(_ id: String, _ path: String, _ note: (RejectedItem) -> Void) -> String? {
        if let first = firstFiles[id] {
            let reason = "the image \(id) is in \(first) already"
            reject(RejectedItem(.duplicateID, path: path, id: id, reason: reason), note)
            return nil
        }
        firstFiles[id] = path
        return names.name(for: id)
    }

    private var drawsRadiographs: Bool { options.writesOverlays || options.writesHeatMaps }

    /// The folders of pictures, and whether they are written.
    private var folders: [(name: String, isWritten: Bool)] {
        [
            ("masks", options.writesMasks), ("probabilities", options.writesProbabilities),
            ("overlays", options.writesOverlays), ("heatmaps", options.writesHeatMaps),
        ]
    }

    private static let predictionsFile = "predictions.csv"
    private static let submissionFile = "submission.csv"
    private static let rejectedFile = "rejected.csv"
    private static let warningsFile = "warnings.csv"

    /// Throws where files that predictions did not write stand in their places; of the folders of pictures, where any
    /// picture is another's, since its name may be that of a radiograph which is yet to be read.
    private func requireOwnOutputs() throws {
        let output = options.output
        let tables = OutputRecord(output)
        var obstacles = [Self.predictionsFile, Self.submissionFile, Self.rejectedFile, Self.warningsFile].compactMap {
            tables.obstacle($0)
        }
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

    /// Outputs inside an input folder would be inputs of the next call, and inputs among the pictures outputs of this one.
    private func checkFolders() throws {
        func resolved(_ path: String) -> String {
            URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path
        }
        let output = resolved(options.output)
        for input in options.inputs.named {
            let place = resolved(input)
            if output == place || output.hasPrefix(place + "/") {
                throw PredictionInputError.outputInside(input: input, output: options.output)
            }
            if folders.contains(where: { (place + "/").hasPrefix("\(output)/\($0.name)/") }) {
                throw PredictionInputError.inputInside(input: input, output: options.output)
            }
        }
    }

    /// Has one radiograph predicted, whose square image of `side` × `side` pixels is asked for on a compute thread;
    /// `whole` is the image at its own size, where that is known.
    private func submit(
        _ subject: Subject,
        side: Int,
        whole: GrayImage?,
        image: @escaping @Sendable () throws -> [UInt8]
    ) throws {
        let (options, rows, drawsRadiographs) = (options, rows, drawsRadiographs)
        try pool.submit { engine in
            let size = engine.model.size
            let pixels = try image()
            let map = pixels.withUnsafeBufferPointer { pixels -> UnsafeBufferPointer<Float>? in
                pixels.baseAddress.map { engine.probabilities(of: $0, side: side, flips: options.flips) }
            }
            guard let map else { return }
            let grid = subject.grid
            let level = options.rule.level(for: map, size: size)
            func mask(on grid: PixelGrid) -> [UInt8] {
                level.map { grid.mask(of: map, size: size, above: $0) }
                    ?? [UInt8](repeating: 0, count: grid.width * grid.height)
            }
            let own = mask(on: grid)
            let laterality = subject.layout.flatMap { Laterality(of: own, grid: grid, layout: $0) }
            let row = PredictionRow(
                id: subject.id,
                path: subject.path,
                probability: map.reduce(0) { max($0, $1) },
                area: own.count { $0 != 0 },
                pixelArea: subject.pixelArea,
                laterality: laterality,
                isLateralityFromHeader: subject.layout?.isFromHeader,
                rule: options.rule,
                grid: grid,
                maskFile: options.writesMasks ? "masks/\(subject.name).png" : nil,
                encoded: Postprocessing(rule: options.rule).mask(of: map, size: size).encoded
            )
            rows.add(row)
            let place = { (folder: String) in "\(options.output)/\(folder)/\(subject.name).png" }
            if options.writesMasks {
                let bytes = own.map { $0 == 0 ? 0 : 255 as UInt8 }
                try Self.write(RasterFile.png(bytes, width: grid.width, height: grid.height), to: place("masks"))
            }
            if options.writesProbabilities {
                let bytes = ProbabilityMap(size: size, values: Array(map)).bytes
                try Self.write(RasterFile.png(bytes, width: size, height: size), to: place("probabilities"))
            }
            guard drawsRadiographs else { return }
            let square = GrayImage(width: side, height: side, pixels: pixels)
            let shown = PredictionPicture.radiograph(whole, square: square, grid: grid)
            let shownGrid = PixelGrid(width: shown.width, height: shown.height)
            if options.writesOverlays {
                let picture = PredictionPicture.overlay(shown, mask: mask(on: shownGrid), legend: row.legend)
                try Self.write(picture.png(), to: place("overlays"))
            }
            if options.writesHeatMaps {
                let values = shownGrid.values(of: map, size: size)
                try Self.write(
                    PredictionPicture.heatMap(shown, values: values, legend: row.legend).png(),
                    to: place("heatmaps")
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
}

/// A radiograph that is predicted, and what is known of it.
private struct Subject: Sendable {
    let id: String
    /// The name of its pictures, without the ending.
    let name: String
    /// The file, or the data set, that it comes from.
    let path: String
    /// Its own size.
    let grid: PixelGrid
    /// In mm², where it is known.
    let pixelArea: Double?
    let layout: Laterality.Layout?

    init(id: String, name: String, path: String, metadata: RadiographMetadata) {
        (self.id, self.name, self.path) = (id, name, path)
        grid = PixelGrid(width: metadata.columns, height: metadata.rows)
        pixelArea = PredictionRow.pixelArea(metadata.rowSpacing, metadata.columnSpacing)
        layout = Laterality.Layout(orientation: metadata.patientOrientation, view: metadata.viewPosition)
    }

    /// A sample of a data set, which keeps the size that its radiograph had; where it does not, its own size counts.
    init(id: String, name: String, path: String, dataset: Dataset, sample: Int) {
        (self.id, self.name, self.path) = (id, name, path)
        let metadata = dataset.metadata(of: sample)
        let (width, height) = (Int(metadata.sourceWidth), Int(metadata.sourceHeight))
        let sizes = 1..<1 << 16
        let isKnown =
            sizes.contains(width) && sizes.contains(height) && width * height <= RadiographReader.maximumPixels
        grid = isKnown ? PixelGrid(width: width, height: height) : PixelGrid(width: dataset.size, height: dataset.size)
        pixelArea = isKnown ? PredictionRow.pixelArea(metadata.rowSpacing, metadata.columnSpacing) : nil
        layout = Laterality.Layout(orientation: nil, view: metadata.view)
    }
}

/// Rows that any thread adds.
private final class RowTable: Sendable {
    private let rows = Mutex<[PredictionRow]>([])

    func add(_ row: PredictionRow) { rows.withLock { $0.append(row) } }

    func sorted() -> [PredictionRow] {
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
