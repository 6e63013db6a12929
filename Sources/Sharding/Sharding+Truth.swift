import Platform
import Radiography

// Labels and masks: what is known of each radiograph's finding before any pixel of it is read.
extension Sharding {
    /// Reads the label file, which counts as `LabelReading` finds; tells what was assumed.
    mutating func readLabels(_ table: LabelTable, of files: [SampleMatcher.File]) throws -> SampleMatcher.Truth {
        var sizes: [String: ShardingPlan.MaskSize] = [:]
        var renamed: [(label: String, id: String)] = []
        for file in files {
            guard let (label, isUID) = SampleMatcher.label(of: file, in: table) else { continue }
            let id = isUID ? file.report.metadata.sopInstanceUID ?? file.stem : file.stem
            if label != id { renamed.append((label, id)) }
            if sizes[label] == nil { sizes[label] = file.size }
        }
        if let first = renamed.first {
            report(
                .note(
                    "\(renamed.count) ids of \(table.path) match without their folder or ending: \(first.label) is the "
                        + "label of \(first.id)."
                )
            )
        }
        let reading: LabelReading
        do {
            reading = try LabelReading(table, options: options, sizes: sizes)
        } catch {
            for item in error.items { try reject(item) }
            throw ShardingError.unclear(error.message)
        }
        for note in reading.notes { report(.note(note)) }
        let side = RunLengthMask.challengeSide
        let labels = table.resolved(reading.format) { id in
            guard reading.isImageFrame else { return (side, side) }
            return sizes[id].map { ($0.width, $0.height) }
        }
        for defect in labels.defects { try reject(RejectedItem(defect)) }
        return .labels(table, labels, isImageFrame: reading.isImageFrame)
    }

    /// Reads the masks of the folder, each for its radiograph.
    mutating func readMasks(_ folder: MaskFolder, of files: [SampleMatcher.File]) throws -> SampleMatcher.Truth {
        guard !folder.files.isEmpty else {
            throw ShardingError.unclear(
                "Found no masks under \(folder.path): no .png, .tif or .tiff file"
                    + (folder.others.first.map { ", but \(folder.others.count) others, as \($0); convert them to PNG." }
                        ?? ".")
            )
        }
        var told: Set<String> = []
        var named: Set<Int> = []
        var pairs: [(file: SampleMatcher.File, mask: Int, name: String)] = []
        for file in files {
            switch folder.match(file.path, uid: file.report.metadata.sopInstanceUID) {
            case .mask(let mask, let name): pairs.append((file, mask, name))
            case .none: continue
            case .unclear(let reason, let masks):
                named.formUnion(masks)
                let path = options.input + "/" + file.path
                try reject(RejectedItem(.mask(.unclear), path: path, id: file.stem, reason: reason))
                told.insert(file.path)
            }
        }
        try tellUnused(folder, used: named.union(pairs.map(\.mask)))
        let values = options.maskValues
        let paths = pairs.map { folder.path + "/" + folder.files[$0.mask] }
        var pictures = [MaskPicture?](repeating: nil, count: pairs.count)
        try eachFile(
            pairs.count,
            work: { worker, index -> Result<MaskPicture, RadiographError> in
                do {
                    return .success(try worker.readMask(paths[index], values: values))
                } catch let error as RadiographError {
                    return .failure(error)
                }
            },
            consume: { index, outcome in
                switch outcome {
                case .success(let picture): pictures[index] = picture
                case .failure(let error):
                    let item = RejectedItem(
                        .file(error.kind),
                        path: error.path,
                        id: pairs[index].name,
                        reason: "the mask: " + error.reason
                    )
                    try reject(item)
                    told.insert(pairs[index].file.path)
                }
            }
        )
        try checkValues(pictures, paths: paths)
        var found: [String: SampleMatcher.FoundMask] = [:]
        for (index, pair) in pairs.enumerated() {
            guard let picture = pictures[index] else { continue }
            if let mask = try fitted(picture, path: paths[index], to: pair.file, name: pair.name) {
                found[pair.file.path] = mask
            } else {
                told.insert(pair.file.path)
            }
        }
        return .masks(found, told: told)
    }

    /// Tells of masks that no radiograph has, and of those in formats that are not read.
    private mutating func tellUnused(_ folder: MaskFolder, used: Set<Int>) throws {
        for (index, file) in folder.files.enumerated() where !used.contains(index) {
            try reject(
                RejectedItem(
                    .labelWithoutImage,
                    path: folder.path + "/" + file,
                    id: FolderScan.stem(of: file),
                    reason: "no image under \(options.input) has this mask's name"
                )
            )
        }
        for file in folder.others {
            try reject(
                RejectedItem(
                    .mask(.format),
                    path: folder.path + "/" + file,
                    id: FolderScan.stem(of: file),
                    reason: "masks are read from PNG and TIFF, whose values are exact; convert it"
                )
            )
        }
    }

    /// Throws where it is not clear which values of the masks are the finding.
    private func checkValues(_ pictures: [MaskPicture?], paths: [String]) throws {
        var counts: [Int: (count: Int, example: String)] = [:]
        for (picture, path) in zip(pictures, paths) {
            for value in picture?.values ?? [] {
                counts[value] = ((counts[value]?.count ?? 0) + 1, counts[value]?.example ?? path)
            }
        }
        let shown = counts.sorted { $0.key < $1.key }.prefix(8)
            .map { "\($0.key) in \($0.value.count) masks (\($0.value.example))" }
            .joined(separator: ", ")
        let list = shown + (counts.count > 8 ? " and \(counts.count - 8) more values" : "")
        switch options.maskValues {
        case .one where counts.count > 1:
            throw ShardingError.unclear(
                "The masks under \(options.masks ?? "") have several values besides 0: \(list). Say with --mask-values which of "
                    + "them are the finding, as in --mask-values 1, or --mask-values any for all."
            )
        case .classes(let chosen) where !counts.isEmpty && !chosen.contains(where: { counts[$0] != nil }):
            throw ShardingError.unclear(
                "No mask under \(options.masks ?? "") has the value \(options.maskValues.text), but they have \(list). Say with "
                    + "--mask-values which are the finding."
            )
        default: return
        }
    }

    /// A mask on the square of its radiograph, or nothing where it does not fit; that is told then.
    private mutating func fitted(
        _ picture: MaskPicture,
        path: String,
        to file: SampleMatcher.File,
        name: String
    ) throws -> SampleMatcher.FoundMask? {
        guard let size = file.size else {
            let reason = "the size of \(options.input)/\(file.path) is not known, so it cannot be laid over it"
            try reject(RejectedItem(.mask(.otherShape), path: path, id: name, reason: reason))
            return nil
        }
        let sizes = "it has \(picture.width)×\(picture.height) pixels, and its radiograph \(size.width)×\(size.height)"
        if picture.width != size.width || picture.height != size.height {
            guard picture.width * size.height == picture.height * size.width else {
                let reason = sizes + ": another shape, so it cannot be laid over it"
                try reject(RejectedItem(.mask(.otherShape), path: path, id: name, reason: reason))
                return nil
            }
            let reason = sizes + ": taken to cover the same field"
            try reject(RejectedItem(.mask(.scaled), path: path, id: name, reason: reason))
        }
        let mask = RunLengthMask(picture)
        if 2 * mask.area > picture.width * picture.height {
            let share = 100 * mask.area / (picture.width * picture.height)
            let reason = "it covers \(share) % of its radiograph; it may be the picture of what is not marked"
            try reject(RejectedItem(.mask(.large), path: path, id: name, reason: reason))
        }
        return SampleMatcher.FoundMask(name: name, mask: mask.paddedToSquare(), size: size)
    }

    // MARK: - What is no frontal radiograph, and whose it is

    /// Leaves out views that were not asked for, and warns of what is no frontal radiograph.
    mutating func select(
        _ files: [SampleMatcher.File],
        leavingOut: (SampleMatcher.File) -> Void
    ) throws -> [SampleMatcher.File] {
        var taken: [SampleMatcher.File] = []
        var odd: [RejectedItem] = []
        var left = 0
        for file in files {
            let metadata = file.report.metadata
            let path = options.input + "/" + file.path
            let id = metadata.sopInstanceUID ?? file.stem
            let view = metadata.viewPosition?.uppercased()
            if let views = options.views, !views.contains(view ?? ShardingOptions.unknownView) {
                let reason = view.map { "its view is \($0)" } ?? "it does not say its view"
                try reject(RejectedItem(.otherView, path: path, id: id, reason: reason + "; left out, as --views asks"))
                leavingOut(file)
                left += 1
                continue
            }
            taken.append(file)
            // Projection radiography, its fluoroscopic and its scanned kinds, and pictures of films.
            if let modality = metadata.modality?.uppercased(),
                !["CR", "DX", "RG", "RF", "XA", "SC", "OT"].contains(modality)
            {
                let reason = "its modality is \(modality): it is no radiograph"
                odd.append(RejectedItem(.otherModality, path: path, id: id, reason: reason))
            } else if let view, Self.isLateral(view) {
                odd.append(RejectedItem(.lateralView, path: path, id: id, reason: "its view is \(view), lateral"))
            }
        }
        for item in odd { try reject(item) }
        if left > 0 { report(.note("\(left) radiographs are of other views than --views names, and are left out.")) }
        if let first = odd.first {
            report(
                .note(
                    "\(odd.count) files are no frontal radiographs and are in the set all the same, such as \(first.path): "
                        + "\(first.reason). See \(options.output)/\(Self.warningsFile); --views PA,AP leaves lateral ones out."
                )
            )
        }
        return taken
    }

    private static func isLateral(_ view: String) -> Bool {
        ["LL", "RL", "LAT", "LATERAL", "LLD", "RLD", "LEFT LATERAL", "RIGHT LATERAL", "L", "R"].contains(view)
            || view.contains("LATERAL") && !view.contains("DECUB")
    }

    /// Tells how many radiographs the table of patients names, and how many have no patient at all.
    func tellPatients(_ patients: PatientTable, files: [SampleMatcher.File], plan: ShardingPlan) throws {
        if let path = patients.path {
            let named = files.count { file in
                patients.patient(of: file, id: file.report.metadata.sopInstanceUID ?? file.stem) != nil
            }
            guard named > 0 || files.isEmpty else {
                throw ShardingError.unclear(
                    "\(path) names the patient of none of the \(files.count) radiographs: they are called \(files[0].stem), "
                        + "and it has \(patients.example ?? "no rows"), for example."
                )
            }
            report(.note("\(path) names the patients of \(named) of \(files.count) radiographs."))
        }
        let without = plan.samples.count { $0.patient.isEmpty }
        guard without > 0, options.isLabelled, options.folds != 0 else { return }
        report(
            .note(
                "\(without) of \(plan.samples.count) radiographs have no patient: each counts as a patient of its own, so "
                    + "pictures of one person may lie in several folds. A table given with --patients names them."
            )
        )
    }
}
