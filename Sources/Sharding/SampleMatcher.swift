import Platform
import Radiography

/// Matches probed files with labels or masks.
///
/// Whatever does not match goes to `reject`.
struct SampleMatcher {
    /// A file whose header was read.
    struct File {
        var path: String
        var report: FileReport

        var stem: String { FolderScan.stem(of: path) }
        var size: ShardingPlan.MaskSize? {
            let metadata = report.metadata
            guard metadata.rows > 0, metadata.columns > 0 else { return nil }
            return ShardingPlan.MaskSize(width: metadata.columns, height: metadata.rows)
        }
    }

    /// Where the masks come from.
    enum Truth {
        /// The set has no labels.
        case none
        /// A table; `isImageFrame` says that its masks have their radiographs' sizes.
        case labels(LabelTable, LabelFile, isImageFrame: Bool)
        /// Masks by the path of their radiograph; a radiograph whose mask was refused is in `told`.
        case masks([String: FoundMask], told: Set<String>)
    }

    /// A mask that is an image.
    struct FoundMask {
        /// The name of the case.
        var name: String
        var mask: RunLengthMask
        var size: ShardingPlan.MaskSize
    }

    let options: ShardingOptions
    let truth: Truth
    let patients: PatientTable
    /// Image ids of labels whose image's file was rejected; these are told of already.
    var excusedIDs: Set<String> = []
    /// Files that were rejected and whose image ids are not known: a label without an image may be of one of them.
    var namelessFiles = 0

    /// The samples, in the order of `files`.
    func match(_ files: [File], reject: (RejectedItem) throws -> Void) throws -> [ShardingPlan.Sample] {
        var refusedLabels: Set<String> = []
        if case .labels(_, let labels, _) = truth { refusedLabels = Set(labels.rejectedIDs) }
        var samples: [ShardingPlan.Sample] = []
        var first: [String: File] = [:]
        var places: [String: Int] = [:]
        var usedLabels: Set<String> = []
        for file in files {
            let (id, label) = names(of: file)
            if let label { usedLabels.insert(label) }
            let path = options.input + "/" + file.path
            if let other = first[id] {
                let isSame = other.report.contentHash == file.report.contentHash
                try reject(.duplicate(of: id, path: path, kept: options.input + "/" + other.path, isSame: isSame))
                if let place = places[id] {
                    samples[place].spares.append(.init(file: file.path, contentHash: file.report.contentHash))
                }
                continue
            }
            first[id] = file
            let known: (mask: RunLengthMask, size: ShardingPlan.MaskSize?)?
            switch try mask(of: file, label: label, refusedLabels: refusedLabels) {
            case .known(let mask, let size): known = (mask, size)
            case .told: known = nil
            case .missing(let reason):
                known = options.takesMissingAsNegative ? (Self.empty, nil) : nil
                if known == nil {
                    try reject(RejectedItem(.imageWithoutLabel, path: path, id: id, reason: reason + "; left out"))
                }
            case .refused(let reason):
                known = nil
                try reject(RejectedItem(.imageWithoutLabel, path: path, id: id, reason: reason + "; left out"))
            }
            guard let known else { continue }
            places[id] = samples.count
            samples.append(
                .init(
                    id: id,
                    file: file.path,
                    mask: known.mask,
                    maskSize: known.size,
                    patient: patients.patient(of: file, id: id) ?? file.report.metadata.patientID ?? "",
                    contentHash: file.report.contentHash
                )
            )
        }
        if case .labels(_, let labels, _) = truth { try tellUnused(labels, used: usedLabels, reject: reject) }
        return samples
    }

    private static let empty = RunLengthMask(width: RunLengthMask.challengeSide, height: RunLengthMask.challengeSide)

    private enum Found {
        case known(RunLengthMask, ShardingPlan.MaskSize?)
        /// Why there is none.
        case missing(String)
        /// There is one, and it cannot be used.
        case refused(String)
        /// It has been said why there is none.
        case told
    }

    private func mask(of file: File, label: String?, refusedLabels: Set<String>) throws -> Found {
        switch truth {
        case .none: return .known(Self.empty, nil)
        case .labels(let table, let labels, let isImageFrame):
            guard let label else { return .missing("no row of \(table.path) has its id") }
            if refusedLabels.contains(label) { return .refused("its label in \(table.path) was rejected") }
            guard let entry = labels[label] else { return .missing("no row of \(table.path) has its id") }
            guard isImageFrame else { return .known(entry.mask, nil) }
            guard let size = file.size else { return .refused("its size is not known, and its label counts by it") }
            return .known(entry.mask.paddedToSquare(), size)
        case .masks(let masks, let told):
            if let found = masks[file.path] { return .known(found.mask, found.size) }
            return told.contains(file.path) ? .told : .missing("no file under \(options.masks ?? "") is its mask")
        }
    }

    /// Tells of labels that no radiograph has.
    private func tellUnused(
        _ labels: LabelFile,
        used: Set<String>,
        reject: (RejectedItem) throws -> Void
    ) throws {
        for entry in labels.entries where !used.contains(entry.id) && !excusedIDs.contains(entry.id) {
            try reject(
                RejectedItem(
                    .labelWithoutImage,
                    path: labels.path,
                    row: entry.rows.first,
                    id: entry.id,
                    reason: "no image under \(options.input) has this id"
                        + (namelessFiles > 0
                            ? ", unless it is one of the \(namelessFiles) files that could not be read" : "")
                )
            )
        }
    }

    /// The image's id and what its label calls it: the SOP instance UID, or the file's name without its ending where
    /// labels know that instead.
    private func names(of file: File) -> (id: String, label: String?) {
        let uid = file.report.metadata.sopInstanceUID
        switch truth {
        case .none: return (uid ?? file.stem, nil)
        case .masks(let masks, _): return (uid ?? masks[file.path]?.name ?? file.stem, nil)
        case .labels(let table, _, _):
            guard let found = Self.label(of: file, in: table) else { return (uid ?? file.stem, nil) }
            return (found.isUID ? uid ?? file.stem : file.stem, found.label)
        }
    }

    /// What a table calls a file's image, and whether that is its SOP instance UID.
    static func label(of file: File, in table: LabelTable) -> (label: String, isUID: Bool)? {
        let uid = file.report.metadata.sopInstanceUID
        if let uid, table.id(for: uid) == uid { return (uid, true) }
        let stem = file.stem
        if let label = table.id(for: stem), label == stem { return (label, false) }
        if let uid, let label = table.id(for: uid) { return (label, true) }
        return table.id(for: stem).map { ($0, false) }
    }
}

/// A table of patients, by what it calls the images.
struct PatientTable {
    let path: String?
    private let patients: [String: String]
    private let plain: [String: String]

    init(path: String?, _ patients: [String: String]) {
        self.path = path
        self.patients = patients
        plain = ImageName.index(patients.keys)
    }

    var count: Int { patients.count }
    var example: String? { patients.keys.min() }

    /// The patient of a file whose image is called `id`.
    func patient(of file: SampleMatcher.File, id: String) -> String? {
        for name in [id, file.stem] {
            if let found = patients[name] { return found }
        }
        for name in [id, file.stem] {
            if let key = plain[ImageName.plain(name)], let found = patients[key] { return found }
        }
        return nil
    }
}
