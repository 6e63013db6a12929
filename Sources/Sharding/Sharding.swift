import Platform
import Radiography
private import Storage

/// Makes a data set of shards from a folder of radiographs and their labels.
///
/// Files are decoded in child processes, `jobs` at a time. Shards and the samples in them stand in the order of the
/// image ids, so equal input gives equal shards whatever the order of work. A run that was killed is taken up: finished
/// shards are verified and kept. Blocks for as long as it takes: call it on a thread of its own.
package struct Sharding {
    let options: ShardingOptions
    let report: (ShardingEvent) -> Void
    private var rejected: [RejectedItem] = []
    private var warnings: [RejectedItem] = []
    private var losses: LossFinder?

    private init(_ options: ShardingOptions, report: @escaping (ShardingEvent) -> Void) {
        self.options = options
        self.report = report
    }

    /// The name of the table of rejected items, in the output folder; `warnings.csv` has those with a reservation.
    package static let rejectedFile = "rejected.csv"
    package static let warningsFile = "warnings.csv"

    /// Makes the data set.
    ///
    /// `report` is called on the calling thread.
    package static func run(
        _ options: ShardingOptions,
        report: @escaping (ShardingEvent) -> Void = { _ in }
    ) throws -> ShardingSummary {
        var sharding = Sharding(options, report: report)
        return try sharding.run()
    }

    private mutating func run() throws -> ShardingSummary {
        let start = ContinuousClock.now
        try requireApart()
        let labels = try options.labels.map { try LabelTable.read($0) }
        let patients = PatientTable(
            path: options.patients,
            try options.patients.map { try PatientFile.read($0) } ?? [:]
        )
        var excluded = [options.output]
        if let masks = options.masks, !Self.isSame(masks, options.input) { excluded.append(masks) }
        let scan = try FolderScan(options.input, excluding: excluded)
        try FileSystem.createDirectory(options.output)
        try requireOwnOutputs()
        try FileSystem.requireWritable(options.output)
        let lock = try OutputLock(options.output)
        defer { lock.release() }
        for path in scan.ignored { warnings.append(.ignored(options.input + "/" + path)) }
        do {
            return try make(scan: scan, labels: labels, patients: patients, since: start)
        } catch {
            // The error is what counts; the tables are for the next look. Over a finished data set, whose own tables
            // these are, nothing is written by a run that failed.
            if !hasFinishedSet { try? writeTables() }
            // The same command would remove them too, but it may never be given.
            try? ShardSet.removeTemporaries(in: options.output)
            throw error
        }
    }

    /// Throws where files that no sharding has written stand in the places of this one's; `--replace` is for data sets of
    /// ours, and changes nothing about that.
    private func requireOwnOutputs() throws {
        let output = options.output
        let tables = OutputRecord(output)
        var obstacles = [Self.rejectedFile, Self.warningsFile].compactMap {
            tables.obstacle($0, legacyHeader: RejectedItem.header)
        }
        let manifest = try? DatasetManifest.read(in: output)
        let listed = Set(manifest?.shards.map(\.file) ?? [])
        if manifest == nil, let found = OutputOwnership.obstacle("\(output)/\(DatasetManifest.fileName)", .dataset) {
            obstacles.append(found)
        }
        for name in try FileSystem.names(in: output)
        where ShardRecord.number(inFileName: name) != nil && !listed.contains(name) {
            if let found = OutputOwnership.obstacle("\(output)/\(name)", .shard) { obstacles.append(found) }
        }
        guard !obstacles.isEmpty else { return }
        throw OccupiedOutput(
            "Shards cannot be made in \(output)",
            obstacles,
            advice: "Give another folder with --output, or move these files away."
        )
    }

    private static func isSame(_ a: String, _ b: String) -> Bool {
        FileSystem.canonical(a) == FileSystem.canonical(b)
    }

    /// Throws where the output folder is or holds a folder that is read.
    private func requireApart() throws {
        let output = FileSystem.canonical(options.output)
        for input in [options.input, options.masks].compactMap({ $0 }) {
            let canonical = FileSystem.canonical(input)
            if canonical == output || canonical.hasPrefix(output == "/" ? "/" : output + "/") {
                throw ShardingError.outputHoldsInput(output: options.output, input: input)
            }
        }
    }

    private var hasFinishedSet: Bool { FileSystem.exists(options.output + "/" + DatasetManifest.fileName) }

    private mutating func make(
        scan: FolderScan,
        labels: LabelTable?,
        patients: PatientTable,
        since start: ContinuousClock.Instant
    ) throws -> ShardingSummary {
        let plan = try makePlan(scan: scan, labels: labels, patients: patients)
        let folds = try assignFolds(plan)
        let kept = try keepShards(of: plan, folds: folds)
        let (records, decoded) = try makeShards(plan, keeping: kept)
        guard !records.isEmpty else { throw nothingLeft(labels: labels) }
        try writeTables()
        let manifest = try publish(records, plan: plan, folds: folds)
        let negatives = manifest.samples - manifest.positives
        return ShardingSummary(
            manifest: manifest,
            rejected: rejected,
            warnings: warnings.filter { $0.kind != .ignoredFile },
            ignoredFiles: scan.ignored.count,
            keptShards: kept.count,
            loss: losses?.loss(rejected, positives: manifest.positives, negatives: negatives),
            imagesWithoutPatient: plan.samples.count { $0.patient.isEmpty },
            decodedImages: decoded,
            seconds: (ContinuousClock.now - start) / .seconds(1)
        )
    }

    // MARK: - Rejected items

    mutating func reject(_ item: RejectedItem) throws {
        if item.kind.isWarning {
            warnings.append(item)
            // A row with a reservation is bad input too.
            if options.isStrict { throw ShardingError.rejected(item) }
        } else {
            rejected.append(item)
            if options.isStrict { throw ShardingError.rejected(item) }
            report(.rejected(item))
        }
    }

    private func writeTables() throws {
        let tables = OutputRecord(options.output)
        try tables.write(RejectedItem.table(rejected), to: Self.rejectedFile)
        try tables.write(RejectedItem.table(warnings), to: Self.warningsFile)
    }

    private func nothingLeft(labels: LabelTable?) -> ShardingError {
        let image = rejected.first { $0.kind == .imageWithoutLabel }?.id
        let label = rejected.first { $0.kind == .labelWithoutImage }?.id
        var hint: String?
        if let image, let label, let path = labels?.path ?? options.masks {
            hint = "No image's id is in \(path): images are called \(image), labels \(label), for example."
        } else if let views = options.views, rejected.contains(where: { $0.kind == .otherView }) {
            hint =
                "None is of the views \(views.sorted().joined(separator: ", ")), as --views asks; files that do not say their "
                + "view are \(ShardingOptions.unknownView.lowercased())."
        }
        return .nothingLeft(
            folder: options.input,
            rejected: rejected.count,
            list: hasFinishedSet ? nil : options.output + "/" + Self.rejectedFile,
            hint: hint
        )
    }

    // MARK: - Plan

    private mutating func makePlan(
        scan: FolderScan,
        labels: LabelTable?,
        patients: PatientTable
    ) throws -> ShardingPlan {
        for item in scan.unreadable { try reject(RejectedItem(item, in: options.input)) }
        var paths = scan.files
        // Masks may lie beside their radiographs.
        let isOneFolder = options.masks.map { Self.isSame($0, options.input) } ?? false
        if isOneFolder { paths.removeAll(where: MaskFolder.isMarked) }
        guard !paths.isEmpty else {
            throw ShardingError.noImages(folder: options.input, ignored: scan.ignored.count)
        }
        let masks = try options.masks.map { try MaskFolder($0, names: paths, isSameFolder: isOneFolder) }
        var (files, excused, nameless) = try probe(paths, labels: labels)
        files = try select(files) { file in
            if let label = labels.flatMap({ SampleMatcher.label(of: file, in: $0)?.label }) { excused.insert(label) }
        }
        let truth: SampleMatcher.Truth
        if let labels {
            truth = try readLabels(labels, of: files)
        } else if let masks {
            truth = try readMasks(masks, of: files)
        } else {
            truth = .none
        }
        let matcher = SampleMatcher(
            options: options,
            truth: truth,
            patients: patients,
            excusedIDs: excused,
            namelessFiles: nameless
        )
        let samples = try matcher.match(files) { try reject($0) }
        if options.isLabelled {
            losses = LossFinder(
                options: options,
                images: files.count,
                labels: labels?.images.count ?? masks?.files.count ?? 0,
                hasBlanksBesideNone: labels.map { $0.saysNone && $0.blankRows > 0 } ?? false,
                mayBeAbsolute: labels?.mayBeAbsolute ?? false
            )
        }
        guard !samples.isEmpty else { throw nothingLeft(labels: labels) }
        let plan = ShardingPlan(samples: samples, options: options)
        let positives = samples.count { !$0.mask.isEmpty }
        if let loss = losses?.loss(rejected, positives: positives, negatives: samples.count - positives) {
            // Said before the work of hours, and at its end.
            report(.note(loss.line))
        }
        try tellPatients(patients, files: files, plan: plan)
        return plan
    }

    /// Reads the headers of files: the files that have one, labels that are excused because their file was rejected, and
    /// how many rejected files have no name in the labels.
    private mutating func probe(
        _ paths: [String],
        labels: LabelTable?
    ) throws -> (files: [SampleMatcher.File], excused: Set<String>, nameless: Int) {
        var files: [SampleMatcher.File] = []
        var excused: Set<String> = []
        var nameless = 0
        let input = options.input
        let probe = { @Sendable (worker: DecodeWorker, index: Int) throws -> Result<FileReport, RadiographError> in
            do {
                return .success(try worker.probe(input + "/" + paths[index]))
            } catch let error as RadiographError {
                return .failure(error)
            }
        }
        try eachFile(paths.count, work: probe) { index, outcome in
            let file = paths[index]
            switch outcome {
            case .success(let fileReport): files.append(.init(path: file, report: fileReport))
            case .failure(let error) where error.kind == .otherObject:
                // As with files that are no image, nothing is missing.
                warnings.append(RejectedItem(.file(error.kind), path: error.path, id: error.id, reason: error.reason))
            case .failure(let error):
                // Where its header is lost, its name may be the id that the labels know.
                let stem = FolderScan.stem(of: file)
                let known = [error.id, stem].compactMap { $0 }.compactMap { labels?.id(for: $0) }.first
                if let known { excused.insert(known) } else if error.id == nil { nameless += 1 }
                let id = known ?? error.id ?? stem
                try reject(RejectedItem(.file(error.kind), path: error.path, id: id, reason: error.reason))
            }
            report(.probed(index + 1, of: paths.count))
        }
        return (files, excused, nameless)
    }

    /// The folds of all samples, and how many there are.
    private func assignFolds(_ plan: ShardingPlan) throws -> (byID: [String: Int], count: Int) {
        let samples = plan.samples.map { sample in
            // An image without a patient is a patient of its own; the prefixes keep the two kinds of names apart.
            FoldAssignment.Sample(
                patient: sample.patient.isEmpty ? "image \(sample.id)" : "patient \(sample.patient)",
                area: sample.areaInChallengePixels
            )
        }
        let patients = Set(samples.map(\.patient)).count
        let count = options.folds ?? (options.isLabelled ? defaultFolds(patients: patients) : 0)
        guard count > 0 else { return ([:], 0) }
        guard count <= patients else { throw ShardingError.tooFewPatients(folds: count, patients: patients) }
        let folds = FoldAssignment.folds(of: samples, count: count, seed: options.seed)
        return (Dictionary(uniqueKeysWithValues: zip(plan.samples.map(\.id), folds)), count)
    }

    /// As many folds as is usual and there are patients; one fold would leave nothing to train on.
    private func defaultFolds(patients: Int) -> Int {
        if patients == 1 {
            report(
                .note(
                    "All radiographs are of one patient, so there are no folds: a run on these shards needs "
                        + "--set validation.every_epochs=0."
                )
            )
            return 0
        }
        if patients < ShardingOptions.usualFolds {
            report(
                .note(
                    "There are \(patients) folds, one for each patient: too few patients for \(ShardingOptions.usualFolds)."
                )
            )
        }
        return min(ShardingOptions.usualFolds, patients)
    }

    // MARK: - Resuming

    /// The shards of an earlier run that are as planned, by number.
    ///
    /// What else stands in their place is removed.
    private mutating func keepShards(
        of plan: ShardingPlan,
        folds: (byID: [String: Int], count: Int)
    ) throws -> [Int: ShardRecord] {
        let output = options.output
        try ShardSet.removeTemporaries(in: output)
        let manifestPath = output + "/" + DatasetManifest.fileName
        if FileSystem.exists(manifestPath) && !options.replaces {
            if let difference = difference(from: plan, folds: folds) {
                throw ShardingError.otherDataset(output: output, difference: difference)
            }
        }
        let found = try ShardSet.finishedShards(in: output, schema: plan.schema)
        for defect in found.defects { report(.note("\(defect) It is made again.")) }
        var kept: [Int: ShardRecord] = [:]
        for shard in plan.shards {
            guard let record = found.shards[shard.number] else { continue }
            if record.sourceDigest != shard.sourceDigest {
                report(
                    .note("\(output)/\(record.file) was made from other input or with other options; it is made again.")
                )
            } else if try confirmsRejections(of: record, shard: shard, plan: plan) {
                kept[shard.number] = record
            } else {
                report(.note("\(output)/\(record.file) lacks images that can be read now; it is made again."))
            }
        }
        // Until the new manifest stands, there is none: a reader must not see half of the old set.
        for name in try FileSystem.names(in: output) {
            guard let number = ShardRecord.number(inFileName: name), kept[number] == nil else { continue }
            try FileSystem.remove(manifestPath)
            try FileSystem.remove(output + "/" + name)
        }
        let ids = plan.shards.filter { kept[$0.number] != nil }.flatMap { plan.samples[$0.samples].map(\.id) }
        warnings += PictureWarnings.read("\(output)/\(Self.warningsFile)", of: Set(ids))
        for (_, record) in kept.sorted(by: { $0.key < $1.key }) { report(.kept(shard: record.file)) }
        return kept
    }

    /// How a finished data set differs from the plan, or nothing where it is the same.
    private func difference(from plan: ShardingPlan, folds: (byID: [String: Int], count: Int)) -> String? {
        guard let manifest = try? DatasetManifest.read(in: options.output) else { return nil }
        if manifest.schema.size != plan.schema.size {
            return "its images are of \(manifest.schema.size)×\(manifest.schema.size) pixels"
        }
        let planned = Dictionary(uniqueKeysWithValues: plan.shards.map { ($0.number, $0.sourceDigest) })
        let isOther = manifest.shards.contains { record in
            planned[ShardRecord.number(inFileName: record.file) ?? -1] != record.sourceDigest
        }
        if isOther || manifest.shards.count > plan.shards.count {
            return "it is of other radiographs, labels or options"
        }
        if manifest.foldCount != folds.count { return "it has \(manifest.foldCount) folds" }
        for (record, stored) in zip(manifest.shards, manifest.folds) where folds.count > 0 {
            guard let ids = try? ShardSet.ids(of: record, in: options.output) else { return nil }
            if zip(ids, stored).contains(where: { folds.byID[$0] != $1 }) { return "its folds are of another seed" }
        }
        return nil
    }

    /// Whether the images that a finished shard lacks are still rejected; they are then listed again.
    ///
    /// Images that have spares are read once more too: which of their files was damaged, only decoding tells.
    private mutating func confirmsRejections(
        of record: ShardRecord,
        shard: ShardingPlan.Shard,
        plan: ShardingPlan
    ) throws -> Bool {
        let samples = plan.samples[shard.samples]
        guard record.samples < samples.count || samples.contains(where: { !$0.spares.isEmpty }) else { return true }
        let present = Set(try ShardSet.ids(of: record, in: options.output))
        let doubtful = samples.filter { !present.contains($0.id) || !$0.spares.isEmpty }
        let size = options.size
        let input = options.input
        var outcomes: [(ShardingPlan.Sample, Attempt<Void>)] = []
        try eachFile(
            doubtful.count,
            work: { worker, index in
                try Self.firstReadable(doubtful[index], in: input) { path in
                    try doubtful[index].requireSize(of: try worker.read(path, size: size).metadata, path: path)
                }
            },
            consume: { outcomes.append((doubtful[$0], $1)) }
        )
        guard outcomes.allSatisfy({ ($1.value != nil) == present.contains($0.id) }) else { return false }
        for (sample, outcome) in outcomes { try settle(sample, outcome) }
        return true
    }

    // MARK: - Candidates

    /// What came of the files of one image.
    private struct Attempt<Value: Sendable>: Sendable {
        /// Nothing where no file could be read.
        var value: Value?
        /// Why the files before the one that was read could not be.
        var failures: [RadiographError] = []
    }

    /// Reads the files of an image one after another until one is sound.
    private static func firstReadable<Value: Sendable>(
        _ sample: ShardingPlan.Sample,
        in input: String,
        read: (String) throws -> Value
    ) throws -> Attempt<Value> {
        var attempt = Attempt<Value>()
        for file in sample.candidates {
            do {
                attempt.value = try read(input + "/" + file)
                break
            } catch let error as RadiographError {
                attempt.failures.append(error)
            }
        }
        return attempt
    }

    /// Lists the files of an image that could not be read, and takes back what was said of its spares.
    private mutating func settle<Value: Sendable>(_ sample: ShardingPlan.Sample, _ attempt: Attempt<Value>) throws {
        guard !attempt.failures.isEmpty else { return }
        let paths = Set(sample.spares.map { options.input + "/" + $0.file })
        rejected.removeAll {
            ($0.kind == .duplicateID || $0.kind == .conflictingID) && $0.id == sample.id && paths.contains($0.path)
        }
        for error in attempt.failures {
            try reject(RejectedItem(.file(error.kind), path: error.path, id: sample.id, reason: error.reason))
        }
        guard attempt.value != nil, attempt.failures.count <= sample.spares.count else { return }
        let used = sample.spares[attempt.failures.count - 1]
        report(.note("\(options.input)/\(used.file) is used in the place of \(options.input)/\(sample.file)."))
        for spare in sample.spares[attempt.failures.count...] {
            rejected.append(
                .duplicate(
                    of: sample.id,
                    path: options.input + "/" + spare.file,
                    kept: options.input + "/" + used.file,
                    isSame: spare.contentHash == used.contentHash
                )
            )
        }
    }

    // MARK: - Decoding

    /// Does something with each of `count` things in the decoding processes, and takes the outcomes in order.
    func eachFile<Value: Sendable>(
        _ count: Int,
        window: Int = 512,
        work: @escaping @Sendable (DecodeWorker, Int) throws -> Value,
        consume: (Int, Value) throws -> Void
    ) throws {
        let launch = options.launch
        try OrderedWork.run(
            count: count,
            jobs: options.jobs,
            window: window,
            makeWorker: { DecodeWorker(launch) },
            work: work,
            consume: { index, value in
                if options.isInterrupted() { throw ShardingError.interrupted }
                try consume(index, value)
            }
        )
    }

    /// A radiograph as a shard takes it, and what was odd about it.
    private struct Decoded: Sendable {
        var sample: EncodedSample
        var remarks: [RejectedItem]
    }

    /// Makes the shards that are not kept; returns the records of all, in order, and how many images were decoded.
    private mutating func makeShards(
        _ plan: ShardingPlan,
        keeping kept: [Int: ShardRecord]
    ) throws -> (records: [ShardRecord], decoded: Int) {
        let schema = plan.schema
        let deflate = options.deflate
        let size = options.size
        let missing = plan.shards.filter { kept[$0.number] == nil }
        let order = missing.flatMap(\.samples)
        if deflate == nil { try FileSystem.requireSpace(order.count * 2 * schema.planeBytes, at: options.output) }
        let writer = try ShardWriter(directory: options.output, schema: schema, deflate: deflate)
        var records = kept
        var remaining = missing[...]
        var written = 0
        var count = 0
        let done = plan.samples.count - order.count
        report(.sharded(done, of: plan.samples.count))

        func finish(_ shard: ShardingPlan.Shard) throws {
            defer { written = 0 }
            // A shard all of whose images were rejected has no file.
            guard written > 0 else { return }
            // What is known of its pictures stands on disk before it does: a run that goes on keeps it.
            if !hasFinishedSet { try writeTables() }
            let record = try writer.finishShard(number: shard.number, sourceDigest: shard.sourceDigest)
            records[shard.number] = record
            report(.finished(shard: record.file, samples: record.samples))
        }

        // A window of at most 128 MiB of samples that wait for their turn.
        let window = max(2 * options.jobs, min(512, (128 << 20) / (2 * schema.planeBytes)))
        let samples = plan.samples
        let input = options.input
        try eachFile(
            order.count,
            window: window,
            work: { worker, index in
                let planned = samples[order[index]]
                return try Self.firstReadable(planned, in: input) { path in
                    let radiograph = try worker.read(path, size: size)
                    try planned.requireSize(of: radiograph.metadata, path: path)
                    return Decoded(
                        sample: try Self.sample(planned, radiograph).encoded(under: schema, deflate: deflate),
                        remarks: radiograph.remarks.map { RejectedItem($0, path: path, id: planned.id) }
                    )
                }
            }
        ) { index, attempt in
            if let decoded = attempt.value {
                for remark in decoded.remarks { try reject(remark) }
                try writer.append(decoded.sample)
                written += 1
                count += 1
            }
            try settle(samples[order[index]], attempt)
            if let shard = remaining.first, order[index] == shard.samples.upperBound - 1 {
                try finish(shard)
                remaining.removeFirst()
            }
            report(.sharded(done + index + 1, of: plan.samples.count))
        }
        return (records.sorted { $0.key < $1.key }.map(\.value), count)
    }

    /// A radiograph with its mask, as a shard takes it.
    private static func sample(_ planned: ShardingPlan.Sample, _ radiograph: SquaredRadiograph) -> ShardSample {
        let metadata = radiograph.metadata
        let mask = planned.mask.downscaled(to: radiograph.image.width)
        return ShardSample(
            id: planned.id,
            image: radiograph.image.pixels,
            mask: mask,
            runs: planned.mask.resampled(to: RunLengthMask.challengeSide).runs.map {
                ShardRun(start: $0.start, length: $0.length)
            },
            metadata: SampleMetadata(
                patient: planned.patient,
                sex: metadata.sex ?? "",
                view: metadata.viewPosition ?? "",
                age: metadata.age.map(Double.init) ?? .nan,
                rowSpacing: metadata.rowSpacing ?? .nan,
                columnSpacing: metadata.columnSpacing ?? .nan,
                sourceHeight: Int32(clamping: metadata.rows),
                sourceWidth: Int32(clamping: metadata.columns),
                // Only the schema of a set without labels has this column.
                extra: [ShardSchema.labelColumn: ShardSchema.noLabel]
            )
        )
    }

    // MARK: - Manifest

    private func publish(
        _ records: [ShardRecord],
        plan: ShardingPlan,
        folds: (byID: [String: Int], count: Int)
    ) throws -> DatasetManifest {
        let tables = [Self.rejectedFile, Self.warningsFile]
        if let manifest = try? DatasetManifest.read(in: options.output), manifest.shards == records,
            !options.replaces,
            try manifest.tables == DatasetManifest.seals(of: tables, in: options.output)
        {
            // `keepShards` found the folds equal too: the data set is complete, and stays untouched.
            return manifest
        }
        return try DatasetManifest.publish(
            in: options.output,
            schema: plan.schema,
            shards: records,
            folds: folds.byID,
            foldCount: folds.count,
            tables: tables
        )
    }
}
