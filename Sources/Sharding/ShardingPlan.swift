import Radiography
internal import Storage

/// Which samples go into which shard, known before any pixel is decoded.
struct ShardingPlan {
    /// A radiograph with its label.
    struct Sample: Sendable {
        var id: String
        /// The file, below the input folder.
        var file: String
        var mask: RunLengthMask
        var patient: String
        var contentHash: String
        /// Other files of the same image, in the order of `files`: each takes the place of those before it where they
        /// turn out to be damaged.
        var spares: [Spare] = []

        /// The file and its spares.
        var candidates: [String] { [file] + spares.map(\.file) }
    }

    /// A second file of an image.
    struct Spare: Sendable {
        /// The file, below the input folder.
        var file: String
        var contentHash: String
    }

    /// Consecutive samples that make one file.
    struct Shard: Sendable {
        var number: Int
        var samples: Range<Int>
        /// Over all that the shard is made from; equal on every machine.
        var sourceDigest: String
    }

    /// In the order of their ids' bytes, so that equal sets have equal shards whatever their folders look like.
    var samples: [Sample]
    var shards: [Shard]
    var schema: ShardSchema

    /// The version of the rules by which files become samples; a change of them makes old shards stale.
    private static let rulesVersion = 2

    init(samples: [Sample], options: ShardingOptions) {
        self.samples = samples.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }
        schema = ShardSchema(
            size: options.size,
            labelSize: RunLengthMask.challengeSide,
            extraMetadata: options.labels == nil ? [ShardSchema.labelColumn] : []
        )
        shards = []
        for start in stride(from: 0, to: samples.count, by: options.shardSize) {
            let range = start..<min(start + options.shardSize, samples.count)
            shards.append(
                Shard(
                    number: shards.count,
                    samples: range,
                    sourceDigest: Self.digest(of: self.samples[range], options: options)
                )
            )
        }
    }

    private static func digest(of samples: ArraySlice<Sample>, options: ShardingOptions) -> String {
        var hash = SHA256()
        hash.update("pleura shard source \(rulesVersion)\n")
        hash.update(littleEndian: Int64(options.size))
        hash.update(littleEndian: Int64(options.deflate ?? 0))
        hash.update(littleEndian: Int64(options.labels == nil ? 0 : 1))
        for sample in samples {
            hash.update(sized: sample.id)
            hash.update(sized: sample.contentHash)
            hash.update(sized: sample.patient)
            for spare in sample.spares { hash.update(sized: "spare " + spare.contentHash) }
            hash.update(littleEndian: Int64(sample.mask.runs.count))
            sample.mask.runs.withUnsafeBytes { hash.update($0) }
        }
        return hash.finish().description
    }
}

// MARK: - Matching

/// Matches probed files with labels.
///
/// Whatever does not match goes to `reject`.
struct SampleMatcher {
    /// A file whose header was read.
    struct File {
        var path: String
        var report: FileReport
    }

    let options: ShardingOptions
    let labels: LabelFile?
    let patients: [String: String]
    /// Image ids of labels whose image's file was rejected; these are told of already.
    var excusedIDs: Set<String> = []
    /// Files that were rejected and whose image ids are not known: a label without an image may be of one of them.
    var namelessFiles = 0

    /// The samples, in the order of `files`.
    func match(_ files: [File], reject: (RejectedItem) throws -> Void) throws -> [ShardingPlan.Sample] {
        let refusedLabels = Set(labels?.rejectedIDs ?? [])
        var samples: [ShardingPlan.Sample] = []
        var first: [String: File] = [:]
        var places: [String: Int] = [:]
        for file in files {
            let id = id(of: file, refusedLabels: refusedLabels)
            let path = options.input + "/" + file.path
            if let other = first[id] {
                try reject(
                    .duplicate(
                        of: id,
                        path: path,
                        kept: options.input + "/" + other.path,
                        isSame: other.report.contentHash == file.report.contentHash
                    )
                )
                if let place = places[id] {
                    samples[place].spares.append(.init(file: file.path, contentHash: file.report.contentHash))
                }
                continue
            }
            first[id] = file
            var mask = RunLengthMask(width: RunLengthMask.challengeSide, height: RunLengthMask.challengeSide)
            if let labels {
                guard let entry = labels[id] else {
                    let reason =
                        refusedLabels.contains(id)
                        ? "its label in \(labels.path) was rejected" : "no row of \(labels.path) has its id"
                    try reject(RejectedItem(.imageWithoutLabel, path: path, id: id, reason: reason + "; left out"))
                    continue
                }
                mask = entry.mask
            }
            places[id] = samples.count
            samples.append(
                .init(
                    id: id,
                    file: file.path,
                    mask: mask,
                    patient: patients[id] ?? file.report.metadata.patientID ?? "",
                    contentHash: file.report.contentHash
                )
            )
        }
        for entry in labels?.entries ?? [] where first[entry.id] == nil && !excusedIDs.contains(entry.id) {
            try reject(
                RejectedItem(
                    .labelWithoutImage,
                    path: labels?.path ?? "",
                    row: entry.rows.first,
                    id: entry.id,
                    reason: "no image under \(options.input) has this id"
                        + (namelessFiles > 0
                            ? ", unless it is one of the \(namelessFiles) files that could not be read" : "")
                )
            )
        }
        return samples
    }

    /// The SOP instance UID, or the file's name without its ending where labels know that instead.
    private func id(of file: File, refusedLabels: Set<String>) -> String {
        let stem = FolderScan.stem(of: file.path)
        guard let uid = file.report.metadata.sopInstanceUID else { return stem }
        func isLabelled(_ id: String) -> Bool { labels?[id] != nil || refusedLabels.contains(id) }
        return !isLabelled(uid) && isLabelled(stem) ? stem : uid
    }
}
