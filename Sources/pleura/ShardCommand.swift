import ArgumentParser
import Diagnostics
import Foundation
import Platform
import Radiography
import Sharding
import Storage
import Synchronization

/// `pleura shard`: radiographs and labels in, HDF5 shards out.
struct ShardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shard",
        abstract: "Makes HDF5 shards from a folder of radiographs and their labels.",
        discussion: """
            Reads files that end in \(RadiographFolder.endings), and DICOM files of any other name, nested or flat, pads \
            to squares, scales them, and writes them with their masks and folds. Masks are rows of a table (--labels) or \
            images (--masks); a folder laid out as nnU-Net's, one that has the folders images and masks, and one that \
            has a.png beside a_mask.png need neither. What cannot be used is listed in OUTPUT/rejected.csv, and the exit \
            status is 65 where files could not be read, where more than 1 % of radiographs or labels were lost, and where \
            all are of one kind. OUTPUT/warnings.csv lists what is odd. A run that was interrupted goes on when the same \
            command is given again.

            pleura shard --dicom dicom-images-train --labels train-rle.csv --size 512 --output shards
            pleura shard --dicom images --masks masks --size 512 --output shards
            """
    )

    @Option(
        name: .customLong("dicom"),
        help: "The folder with the radiographs.",
        completion: .directory,
        transform: userPath
    )
    var input: String

    @Option(
        help: "The label file: rows of ImageId,EncodedPixels, .csv or .csv.gz.",
        completion: .file(),
        transform: userPath
    )
    var labels: String?

    @Option(
        help: "The folder with the masks, PNG or TIFF, called as their radiographs are.",
        completion: .directory,
        transform: userPath
    )
    var masks: String?

    @Option(help: "Which values of masks are the finding: auto (the only one besides 0), any, or numbers as 1,2.")
    var maskValues: MaskValues = .one

    @Option(
        help: """
            What run-length rows count: auto (as they look), relative (since the last run's end), absolute (since the \
            image's beginning).
            """
    )
    var rle: ShardingOptions.RunNumbering = .auto

    @Option(help: "How run-length rows number pixels: down the columns, or along the rows.")
    var rleOrder: RunLengthFormat.Order = .columns

    @Option(
        help: "The image in which run-length rows count: auto, 1024 (1024×1024, padded to a square), image (its own)."
    )
    var rleSize: ShardingOptions.RunFrame = .auto

    @Flag(help: "Radiographs without a row or a mask are ones without a finding.")
    var missingNegative = false

    @Flag(help: "More than 1 % of radiographs or labels may be lost, and all may be of one kind.")
    var allowMissing = false

    @Option(
        help: """
            Take these views only, as DICOM names them, with commas between; unknown for files that do not say theirs.
            """
    )
    var views: String?

    @Flag(help: "Make a set without labels, for prediction.")
    var unlabelled = false

    @Option(help: "Width and height of the stored images and masks, in pixels.")
    var size: Int

    @Option(help: "The folder for the shards; created if need be.", completion: .directory, transform: userPath)
    var output: String

    @Option(help: "The number of folds, or 0 for none (default: 5, or as many as there are patients).")
    var folds: Int?

    @Option(
        help: "A table of image id,patient, which is preferred to the files' own PatientID.",
        completion: .file(),
        transform: userPath
    )
    var patients: String?

    @Option(help: "The number of radiographs in a shard.")
    var shardSize = 512

    @Option(help: "Compress images and masks at this level of zlib, 1 to 9 (default: uncompressed).")
    var deflate: Int?

    @Option(help: "The number of decoding processes (default: one a core).")
    var jobs: Int?

    @Option(help: "The seed by which patients that are alike are dealt to folds.")
    var seed: UInt64 = 0

    @Flag(help: "Stop at the first file or row that is bad, overlapping rows included.")
    var strict = false

    @Flag(help: "Replace a finished data set of other radiographs or options in OUTPUT.")
    var replace = false

    @Option(
        help: "Also write the summary as JSON to this file; - for standard output.",
        completion: .file(),
        transform: userPath
    )
    var json: String?

    func validate() throws {
        let given = [labels.map { _ in "--labels" }, masks.map { _ in "--masks" }, unlabelled ? "--unlabelled" : nil]
            .compactMap { $0 }
        if given.count > 1 {
            throw ValidationError(
                "Give one of --labels, --masks and --unlabelled; found \(given.joined(separator: " and "))."
            )
        }
        if let views, views.split(separator: ",").isEmpty {
            throw ValidationError("--views needs names of views, such as PA,AP.")
        }
        func check(_ value: Int?, _ range: ClosedRange<Int>, _ name: String) throws {
            guard let value, !range.contains(value) else { return }
            throw ValidationError("\(name) must be \(range.lowerBound) to \(range.upperBound); found \(value).")
        }
        try check(size, 8...8192, "--size")
        try check(folds, 0...1000, "--folds")
        try check(shardSize, 1...1_000_000, "--shard-size")
        try check(deflate, 1...9, "--deflate")
        try check(jobs, 1...1024, "--jobs")
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        let jobs = jobs ?? UsableProcessors.count
        var options = ShardingOptions(input: input, labels: labels, output: output, size: size, jobs: jobs)
        options.masks = masks
        options.maskValues = maskValues
        options.runNumbering = rle
        options.runOrder = rleOrder
        options.runFrame = rleSize
        options.takesMissingAsNegative = missingNegative
        options.allowsMissing = allowMissing
        options.views = views.map {
            Set($0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces).uppercased() })
        }
        try findLayout(&options)
        if let sizes = Self.nearestSizes(size) {
            printError(
                "warning: networks that halve their input five times take multiples of 32, and \(size) is none: the nearest "
                    + "are \(sizes)."
            )
        }
        options.folds = folds
        options.patients = patients
        options.shardSize = shardSize
        options.deflate = deflate
        options.seed = seed
        options.isStrict = strict
        options.replaces = replace
        // The first Ctrl-C stops the work tidily, the second at once.
        let watch = try SignalWatch([SIGINT]) { _ in
            if Self.interruptions.add(1, ordering: .relaxed).newValue > 1 { _exit(128 + SIGINT) }
        }
        defer { watch.cancel() }
        options.isInterrupted = { Self.interruptions.load(ordering: .relaxed) > 0 }
        let settled = options
        let summary = try reportingErrors("shard", advice: Self.advice) {
            let display = ShardingDisplay(output: settled.output)
            defer { display.end() }
            return try Sharding.run(settled, report: display.show)
        }
        let text = summary.text(output: output, jobs: jobs)
        if json == "-" { printError(text) } else { printSummary(text) }
        if let json { try writeJSON(summary, to: json) }
        if let kind = summary.onlyKind {
            printError("warning: all \(summary.manifest.samples) radiographs of the set are \(kind).")
        }
        if let loss = summary.loss {
            printError("pleura shard: \(loss.isAllowed ? "allowed" : "ERROR"): \(loss.line)")
            if !loss.isAllowed { throw ExitCode(ExitStatus.badInput.rawValue) }
        }
        summary.sayNext(output)
        if summary.hasUnreadableFiles { throw ExitCode(ExitStatus.badInput.rawValue) }
    }

    /// Where neither labels nor masks are named, looks for masks in the input folder; a person must have meant something.
    private func findLayout(_ options: inout ShardingOptions) throws {
        guard labels == nil, masks == nil, !unlabelled else { return }
        let layout = try reportingErrors("shard") { [input] in
            try SourceLayout.find(input, values: maskValues == .one ? nil : maskValues)
        }
        guard let layout else {
            throw ValidationError(
                "Give --labels FILE, --masks FOLDER, or --unlabelled for a set to predict; \(input) has no masks that are "
                    + "found by their names."
            )
        }
        printError(layout.words)
        options.input = layout.radiographs
        options.masks = layout.masks
        options.maskValues = layout.values ?? maskValues
    }

    /// The sizes nearest to one that is no multiple of 32, in words.
    private static func nearestSizes(_ size: Int) -> String? {
        guard size % 32 != 0 else { return nil }
        let below = size / 32 * 32
        return below > 0 ? "\(below) and \(below + 32)" : "32"
    }

    /// How often Ctrl-C was pressed.
    private static let interruptions = Atomic(0)

    /// What to do after a failure that may pass.
    private static func advice(_ error: any ReportableError) -> String? {
        if case ShardingError.interrupted = error { return nil }
        return error.exitStatus == .temporary
            ? "Finished shards are kept: the same command goes on from them." : nil
    }

    private func writeJSON(_ summary: ShardingSummary, to path: String) throws {
        do {
            try JSONOutput.write(summary.figures(output: output), to: path, keys: .convertToSnakeCase)
        } catch let error as any ReportableError {
            printError("pleura shard: \(error)")
            throw ExitCode(error.exitStatus.rawValue)
        }
    }
}

// MARK: - Summary

extension ShardingSummary {
    /// The figures of `--json`.
    fileprivate struct Figures: Encodable {
        var output: String
        var images: Int
        var positives: Int
        var shards: Int
        var keptShards: Int
        var folds: [Int]
        var rejected: [String: Int]
        var warnings: [String: Int]
        var lostImages: Int
        var lostLabels: Int
        var imagesWithoutPatient: Int
        var ignoredFiles: Int
        var bytes: Int
        var decodedImages: Int
        var seconds: Double
        var imagesPerSecond: Double
        var datasetDigest: String
    }

    fileprivate func figures(output: String) -> Figures {
        Figures(
            output: output,
            images: manifest.samples,
            positives: manifest.positives,
            shards: manifest.shards.count,
            keptShards: keptShards,
            folds: foldSizes,
            rejected: Self.counts(rejected),
            warnings: Self.counts(warnings),
            lostImages: loss?.lostImages ?? 0,
            lostLabels: loss?.lostLabels ?? 0,
            imagesWithoutPatient: imagesWithoutPatient,
            ignoredFiles: ignoredFiles,
            bytes: bytes,
            decodedImages: decodedImages,
            seconds: seconds,
            imagesPerSecond: imagesPerSecond,
            datasetDigest: manifest.datasetDigest.description
        )
    }

    /// The word for what all samples of a small set are; a larger one is a loss.
    fileprivate var onlyKind: String? {
        guard loss == nil, manifest.schema.isLabelled else { return nil }
        if manifest.positives == 0 { return "negative" }
        return manifest.positives == manifest.samples ? "positive" : nil
    }

    /// Says what to do with the set.
    fileprivate func sayNext(_ output: String) {
        if manifest.schema.isLabelled {
            NextCommand.say("pleura launch \(output)", "trains on it")
        } else {
            NextCommand.say("pleura predict RUN --input \(output) --output predictions", "predicts its masks")
        }
    }

    private var bytes: Int { manifest.shards.reduce(0) { $0 + $1.bytes } }

    /// The number of samples in each fold.
    private var foldSizes: [Int] {
        var sizes = [Int](repeating: 0, count: manifest.foldCount)
        for fold in manifest.folds.joined() { sizes[fold] += 1 }
        return sizes
    }

    private static func counts(_ items: [RejectedItem]) -> [String: Int] {
        Dictionary(items.map { ($0.kind.name, 1) }, uniquingKeysWith: +)
    }

    private static func list(_ items: [RejectedItem], in file: String) -> String {
        guard !items.isEmpty else { return "none" }
        let kinds = counts(items).sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        return "\(items.count) (\(kinds.joined(separator: ", "))); see \(file)"
    }

    /// The summary for people.
    fileprivate func text(output: String, jobs: Int) -> String {
        let size = manifest.schema.size
        let shards = manifest.shards.count
        var lines = [
            "\(manifest.samples) radiographs of \(size)×\(size) in \(shards) shard\(shards == 1 ? "" : "s"), "
                + "\((bytes + 500_000) / 1_000_000) MB: \(output)"
        ]
        lines.append(
            manifest.schema.isLabelled
                ? "  positives  \(manifest.positives), negatives \(manifest.samples - manifest.positives)"
                : "  labels     none: for prediction"
        )
        if manifest.foldCount > 0 {
            let sizes = foldSizes.map(String.init).joined(separator: ", ")
            lines.append("  folds      \(manifest.foldCount), of \(sizes)")
        }
        lines.append("  rejected   " + Self.list(rejected, in: "\(output)/\(Sharding.rejectedFile)"))
        lines.append("  warnings   " + Self.list(warnings, in: "\(output)/\(Sharding.warningsFile)"))
        if ignoredFiles > 0 {
            lines.append("  ignored    \(ignoredFiles) files that are no image; see \(output)/\(Sharding.warningsFile)")
        }
        if keptShards > 0 { lines.append("  kept       \(keptShards) finished shards of an earlier run, verified") }
        let rate = String(format: "%.1f images/s", imagesPerSecond)
        lines.append(
            "  speed      \(rate): \(decodedImages) decoded in \(String(format: "%.1f", seconds)) s "
                + "with \(jobs) process\(jobs == 1 ? "" : "es")"
        )
        lines.append("  digest     \(manifest.datasetDigest)")
        return lines.joined(separator: "\n")
    }
}

// MARK: - Words of the command line

extension MaskValues: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
    package var defaultValueDescription: String { text }
}

extension RunLengthFormat.Order: ExpressibleByArgument {}
extension ShardingOptions.RunNumbering: ExpressibleByArgument {}
extension ShardingOptions.RunFrame: ExpressibleByArgument {}
