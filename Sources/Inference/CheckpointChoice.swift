import Configuration
import Diagnostics
package import Kernels
import Platform
package import RunFolder
package import Storage

/// Finds the checkpoint that a command means, and loads its network.
package struct CheckpointChoice {
    /// The loaded network.
    package let model: InferenceModel
    /// The run's folder; nil where a file was named.
    package let directory: RunDirectory?
    /// The steps of the run's newest checkpoint; nil where a file was named.
    package let newestStep: Int?
    /// Sentences about checkpoints that were passed over.
    package let notes: [String]

    /// Which checkpoint of a run is meant.
    package enum Wish: Sendable {
        /// The newest intact one.
        case newest
        /// The one with the best validation by `checkpoint.metric`.
        case best
        /// The one with which this rule was found; where there is no rule, or its checkpoint is gone, the newest.
        case ofRule(SegmentationRule?)
    }

    /// Loads `path`: a checkpoint's file, or a run's folder, of which the checkpoint that `wish` says is meant.
    package init(_ path: String, _ wish: Wish = .newest, kernels: KernelTables) throws {
        guard FileSystem.isDirectory(path) else {
            directory = nil
            newestStep = nil
            notes = []
            model = try InferenceModel(CheckpointStore.open(path), kernels: kernels)
            return
        }
        let run = RunDirectory(path)
        guard run.exists else { throw RunError.notARun(path) }
        let (files, damaged) = try Self.files(run)
        var notes = damaged
        var candidates = Array(files.reversed())
        if case .ofRule(let rule?) = wish,
            let place = candidates.firstIndex(where: {
                $0.trainer.step == rule.step && FileSystem.name(of: $0.path) == rule.checkpoint
            })
        {
            candidates.insert(candidates.remove(at: place), at: 0)
        }
        if case .best = wish {
            let checkpoint = try RunConfiguration.load(path: run.configuration).checkpoint
            let metric = checkpoint.metric
            candidates = Self.ranked(files, by: checkpoint)
            guard !candidates.isEmpty else {
                throw RunError.noValidation(
                    "No checkpoint in \(path) has a validation's \(metric.rawValue), so none is the best. Leave out "
                        + "--best to take the newest."
                )
            }
        }
        for file in candidates {
            do {
                model = try InferenceModel(file, kernels: kernels)
                directory = run
                newestStep = files.last?.trainer.step
                self.notes = notes
                return
            } catch let error as any ReportableError {
                notes.append("The checkpoint \(file.path) is not used: \(error)")
            }
        }
        let reasons = notes.isEmpty ? "" : " (\(notes.joined(separator: " ")))"
        throw RunError.cannotUse(directory: path, reason: "it has no intact checkpoint\(reasons)")
    }

    /// A checkpoint's file, or the newest intact one of a run's folder; its network is not built.
    package static func newest(_ path: String) throws -> CheckpointContents {
        guard FileSystem.isDirectory(path) else { return try CheckpointStore.open(path) }
        let run = RunDirectory(path)
        guard run.exists else { throw RunError.notARun(path) }
        return try intact(try files(run).files.reversed(), of: path)
    }

    private static func intact(_ files: some Sequence<CheckpointContents>, of path: String) throws -> CheckpointContents
    {
        var reasons: [String] = []
        for file in files {
            guard let defect = CheckpointStore.verify(file.path).first else { return file }
            reasons.append("\(defect)")
        }
        let list = reasons.isEmpty ? "" : " (\(reasons.joined(separator: " ")))"
        throw RunError.cannotUse(directory: path, reason: "it has no intact checkpoint\(list)")
    }

    /// The checkpoint that another run begins from: a file, or of a run's folder the one with the best validation, or the newest where
    /// none was validated.
    package static func file(_ path: String) throws -> CheckpointContents {
        guard FileSystem.isDirectory(path) else { return try CheckpointStore.open(path) }
        let run = RunDirectory(path)
        guard run.exists else { throw RunError.notARun(path) }
        let files = try files(run).files
        let checkpoint = try RunConfiguration.load(path: run.configuration).checkpoint
        return try intact(ranked(files, by: checkpoint) + files.reversed(), of: path)
    }

    /// The checkpoints of a run that can be opened and are its own, the oldest first, and sentences about the others.
    static func files(_ directory: RunDirectory) throws -> (files: [CheckpointContents], notes: [String]) {
        var files: [CheckpointContents] = []
        var notes: [String] = []
        let run = try RunManifest.read(directory)?.run
        for record in try directory.store.list() {
            do {
                let file = try CheckpointStore.open(record.path)
                if let run { try RunIdentity.require(run, of: file) }
                files.append(file)
            } catch let error as any ReportableError {
                notes.append("The checkpoint \(record.path) is not used: \(error)")
            }
        }
        return (files, notes)
    }

    /// The checkpoints with a figure of `checkpoint.metric`, the best first, of equals the earliest first.
    static func ranked(
        _ files: [CheckpointContents],
        by checkpoint: RunConfiguration.Checkpoint
    ) -> [CheckpointContents] {
        checkpoint.best(atLeast: 1).ranked(files) { ($0.trainer.step, $0.trainer.metrics) }
    }
}
