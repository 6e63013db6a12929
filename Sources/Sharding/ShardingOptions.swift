package import Diagnostics
package import Radiography
package import Storage

/// What `Sharding` is to do.
package struct ShardingOptions: Sendable {
    /// The folder with the radiographs, nested or flat.
    package var input: String
    /// The label file; with neither labels nor masks, the set is one without labels, as for prediction.
    package var labels: String?
    /// The folder of masks that are images.
    package var masks: String?
    /// Which values of those masks are the finding.
    package var maskValues = MaskValues.one
    /// What the numbers of the label file's rows count.
    package var runNumbering = RunNumbering.auto
    package var runOrder = RunLengthFormat.Order.columns
    package var runFrame = RunFrame.auto
    /// Whether a radiograph without a label is one without the finding.
    package var takesMissingAsNegative = false
    /// Whether it is right that some labels or radiographs have no counterpart, or that all are of one kind.
    package var allowsMissing = false
    /// The views that are taken, in capitals; nothing for all.
    package var views: Set<String>?
    /// A file that says which patient each image is of; goes before the files' own PatientID.
    package var patients: String?
    /// The folder of the shards.
    package var output: String
    /// Width and height of the stored images and masks.
    package var size: Int
    /// The number of folds; 0 for none, nothing for 5 or as many as there are patients.
    package var folds: Int?
    /// The number of samples in a shard.
    package var shardSize = 512
    /// zlib's level for images and masks; nothing to store them as they are.
    package var deflate: Int?
    /// The number of decoding processes.
    package var jobs: Int
    /// The seed by which patients that are alike are dealt to folds.
    package var seed: UInt64 = 0
    /// Whether to stop at the first rejected item.
    package var isStrict = false
    /// Whether a finished data set of other input or options in `output` may be replaced.
    package var replaces = false
    /// Whether the work is to stop before the next radiograph; asked on the calling thread.
    package var isInterrupted: @Sendable () -> Bool = { false }
    /// The number of folds where nothing else is asked for.
    package static let usualFolds = 5
    /// How to start decoding processes.
    package var launch = DecodeLaunch()

    /// Whether the set has labels.
    var isLabelled: Bool { labels != nil || masks != nil }

    /// What the first number of a pair in a run-length row counts.
    package enum RunNumbering: String, Sendable, CaseIterable {
        /// As the rows look; where they do not look like one of the others, that is an error.
        case auto
        /// Since the end of the last run.
        case relative
        /// Since the beginning of the image.
        case absolute
    }

    /// The image in which run-length rows count their pixels.
    package enum RunFrame: String, Sendable, CaseIterable {
        case auto
        /// The challenge's 1024 × 1024, over the radiograph padded to a square.
        case challenge = "1024"
        /// The radiograph itself, at its own size.
        case image
    }

    /// The word for files without a view, in `views`.
    package static let unknownView = "UNKNOWN"

    package init(input: String, labels: String?, output: String, size: Int, jobs: Int) {
        self.input = input
        self.labels = labels
        self.output = output
        self.size = size
        self.jobs = jobs
    }
}

/// What happens while shards are made; for progress bars and logs.
package enum ShardingEvent: Sendable {
    /// So many of the files' headers have been read.
    case probed(Int, of: Int)
    /// So many samples are in shards or rejected; those in kept shards count.
    case sharded(Int, of: Int)
    /// A finished shard of an earlier run stays.
    case kept(shard: String)
    case finished(shard: String, samples: Int)
    case rejected(RejectedItem)
    /// Something to know that rejects nothing.
    case note(String)
}

/// What came of it.
package struct ShardingSummary: Sendable {
    package var manifest: DatasetManifest
    /// Everything rejected, warnings left out.
    package var rejected: [RejectedItem]
    /// What is in the data set with a reservation.
    package var warnings: [RejectedItem]
    /// Files under the input folder whose names are no image's.
    package var ignoredFiles: Int
    package var keptShards: Int
    /// What was lost between radiographs and labels, where it is more than a data set may lose unasked.
    package var loss: ShardingLoss?
    /// Images whose patient is not known, each of which counts as a patient of its own.
    package var imagesWithoutPatient: Int
    /// Images that this run decoded; the rest was in kept shards.
    package var decodedImages: Int
    package var seconds: Double

    /// Decoded images by the clock, from the first file's header to the manifest.
    package var imagesPerSecond: Double { seconds > 0 ? Double(decodedImages) / seconds : 0 }

    /// Whether a file or folder could not be read.
    package var hasUnreadableFiles: Bool { rejected.contains(where: \.kind.isUnreadableFile) }
}

/// Why no data set was made.
package enum ShardingError: ReportableError {
    /// `--strict`: the first rejected item.
    case rejected(RejectedItem)
    case noImages(folder: String, ignored: Int)
    /// `list` is where the rejected items are listed, if anywhere.
    case nothingLeft(folder: String, rejected: Int, list: String?, hint: String?)
    case tooFewPatients(folds: Int, patients: Int)
    case otherDataset(output: String, difference: String)
    /// What the input says can be understood in several ways, or not at all; the text is the whole message.
    case unclear(String)
    case outputHoldsInput(output: String, input: String)
    case busy(output: String)
    case interrupted

    package var exitStatus: ExitStatus {
        switch self {
        case .rejected, .nothingLeft, .unclear: .badInput
        case .noImages: .missingInput
        case .tooFewPatients, .otherDataset, .outputHoldsInput: .usage
        case .busy, .interrupted: .temporary
        }
    }

    package var description: String {
        switch self {
        case .rejected(let item):
            "Stopped at the first rejected item, as --strict asks: \(item)"
        case .noImages(let folder, let ignored):
            "Found no radiographs under \(folder): no \(RadiographFolder.endings) file, none with DICOM's mark, and "
                + "\(ignored) others."
        case .nothingLeft(let folder, let rejected, let list, let hint):
            "No radiograph under \(folder) can be used: \(rejected) items were rejected"
                + (list.map { ", listed in \($0)." } ?? ". The finished data set in the output folder stays.")
                + (hint.map { " \($0)" } ?? "")
        case .tooFewPatients(let folds, let patients):
            "Cannot make \(folds) folds of \(patients) patients: each fold needs a patient of its own. Ask for fewer."
        case .otherDataset(let output, let difference):
            "\(output) already holds a finished data set, and \(difference). Choose another --output, or pass --replace "
                + "to make it anew."
        case .unclear(let text): text
        case .outputHoldsInput(let output, let input):
            "The output folder \(output) holds the input \(input): shards would lie among what they are made from. Give a "
                + "folder of its own with --output, such as \(output == "." ? "shards" : output + "/shards")."
        case .interrupted:
            "Interrupted. Finished shards are kept: the same command goes on from them."
        case .busy(let output):
            "Another pleura shard is writing to \(output). Wait for it, or choose another --output."
        }
    }
}
