import ArgumentParser
import Foundation
import Phantoms
import Platform
import Radiography

/// `pleura synthesize`: phantom radiographs with their labels.
struct SynthesizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synthesize",
        abstract: "Draws phantom chest radiographs with their labels, laid out as the challenge's files are.",
        discussion: """
            Writes OUT/dicom-images-train/<Study>/<Series>/<SOP>.dcm (JPEG baseline DICOM) and OUT/train-rle.csv. Equal \
            options give equal bytes, whatever --jobs says.
            """
    )

    @Argument(
        help: "The folder to write to; it must not hold a data set yet.",
        completion: .directory,
        transform: userPath
    )
    var out: String

    @Option(help: "The number of images. With --labels: the first so many of the file, all by default.")
    var images: Int?

    @Option(help: "The side of the images in pixels, 64 to 2048.")
    var size = 1024

    @Option(help: "The seed of everything drawn.")
    var seed: UInt64 = 0

    @Option(help: "The share of images with a pneumothorax, 0 to 1.")
    var positives: Float = 0.3

    @Option(help: "The area of pneumothoraces over that in the challenge, 0.1 to 10.")
    var areaScale: Float = 3

    @Option(
        help: "Draw each image of this label file (.csv or .csv.gz) to fit its mask, instead of random images.",
        completion: .file(),
        transform: userPath
    )
    var labels: String?

    @Option(help: "The number of threads; by default one for each processor.")
    var jobs: Int?

    func validate() throws {
        guard PhantomOptions.sizes.contains(size) else {
            throw ValidationError("--size \(size): expected \(PhantomOptions.sizes.lowerBound) to 2048 pixels.")
        }
        if let images, !PhantomDataSet.counts.contains(images) {
            throw ValidationError("--images \(images): expected 1 to \(PhantomDataSet.counts.upperBound).")
        }
        guard images != nil || labels != nil else {
            throw ValidationError("Say how many: --images N, or --labels FILE for one for each label.")
        }
        guard (0...1).contains(positives) else {
            throw ValidationError("--positives \(positives): expected a share from 0 to 1.")
        }
        guard PhantomOptions.areaScales.contains(areaScale) else {
            throw ValidationError("--area-scale \(areaScale): expected 0.1 to 10.")
        }
        if let jobs, !(1...1024).contains(jobs) {
            throw ValidationError("--jobs \(jobs): expected 1 to 1024 threads.")
        }
    }

    func run() throws {
        let options = PhantomOptions(seed: seed, size: size, positiveShare: positives, areaScale: areaScale)
        let set: PhantomDataSet
        if let labels {
            set = try PhantomDataSet(options: options, labels: LabelFile.read(labels), limit: images)
        } else {
            set = PhantomDataSet(options: options, count: images ?? 1)
        }
        let count = set.count
        let isTerminal = StandardStream.error.columns != nil
        let threads = jobs ?? UsableProcessors.count
        let start = ContinuousClock.now
        let summary = try set.write(to: out, jobs: threads) { written in
            if isTerminal && (written % 16 == 0 || written == count) {
                StandardStream.error.say("\rdrawn \(written) of \(count)")
            }
        }
        if isTerminal { StandardStream.error.say("\n") }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        printSummary(
            "\(out): \(summary.images) phantoms of \(size)×\(size), \(summary.positives) with a pneumothorax, "
                + "\(summary.rows) label rows, \(Int(Double(summary.images) / max(seconds, 1e-3))) images/s"
        )
        NextCommand.say(
            "pleura shard --dicom \(out)/dicom-images-train --labels \(out)/train-rle.csv --output shards",
            "makes shards of them"
        )
    }
}
