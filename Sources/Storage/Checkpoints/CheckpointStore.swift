package import Diagnostics
import Platform

/// A finished checkpoint's place.
package struct CheckpointRecord: Hashable, Sendable {
    package let step: Int
    package let path: String
}

/// A checkpoint that was not used, and why.
package struct SkippedCheckpoint: Sendable, CustomStringConvertible {
    package let record: CheckpointRecord
    package let defects: [any ReportableError]

    package var description: String { defects.map(\.description).joined(separator: "\n") }
}

/// The checkpoints in a directory: `step-00001200.h5`, …, and `latest`, a text file with the newest one's name.
///
/// Steps are read from the names; what counts is what the files hold, and `latest` is for people and scripts.
package struct CheckpointStore: Sendable {
    package let directory: String

    package init(_ directory: String) { self.directory = directory }

    /// The name of a step's checkpoint.
    package static func fileName(step: Int) -> String {
        let digits = String(step)
        return "step-\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits).h5"
    }

    /// The step in a checkpoint's name, or nil if it is not one.
    package static func step(inFileName name: String) -> Int? {
        guard name.hasPrefix("step-"), name.hasSuffix(".h5"), let step = Int(name.dropFirst(5).dropLast(3)), step >= 0,
            fileName(step: step) == name
        else { return nil }
        return step
    }

    /// The checkpoints by name, in order of their steps; none if the directory does not exist.
    package func list() throws -> [CheckpointRecord] {
        guard FileSystem.isDirectory(directory) else { return [] }
        return try FileSystem.names(in: directory).compactMap { name in
            Self.step(inFileName: name).map { CheckpointRecord(step: $0, path: "\(directory)/\(name)") }
        }.sorted { $0.step < $1.step }
    }

    /// Removes what writers that died have left; for the directory's one owner, before it writes.
    ///
    /// Returns the names.
    @discardableResult
    package func removeTemporaries() throws -> [String] {
        guard FileSystem.isDirectory(directory) else { return [] }
        let left = try FileSystem.removeTemporaries(in: directory, prefix: "step-")
        return try left + FileSystem.removeTemporaries(in: directory, prefix: Self.latestName)
    }

    // MARK: Loading

    /// Checks a checkpoint whole and returns everything wrong with it, nothing if it is sound.
    ///
    /// Never throws for what is in the file; a file that cannot be read is a defect too.
    package static func verify(_ path: String) -> [any ReportableError] {
        do {
            return try CheckpointFile(path).verify()
        } catch let defect as StorageDefect where defect.problem != .foreign {
            // It is one of ours and changed: HDF5 may still tell what is missing.
            guard let disk = try? OpenFile(path, .read), let (_, manifest) = try? CheckpointFile.readList(of: disk),
                let named = try? CheckpointFile.structureDefects(path, manifest)
            else { return [defect] }
            return named.filter { $0.part != .structure } + [defect]
        } catch let error as any ReportableError {
            return [error]
        } catch {
            return [StorageDefect(.malformed, file: path, "it cannot be read: \(error)")]
        }
    }

    /// Loads a checkpoint after checking all of it; throws the first thing that is wrong.
    package static func load(_ path: String) throws -> CheckpointContents {
        if let first = verify(path).first { throw first }
        return try CheckpointContents(CheckpointFile(path))
    }

    /// Loads the newest checkpoint that is whole and that `accept` does not refuse by throwing a `ReportableError`.
    ///
    /// Returns it, nil if there is none, and every newer one with what is wrong with it. A checkpoint whose name says
    /// another step than its contents is refused too.
    package func newestIntact(
        accept: (CheckpointContents) throws -> Void = { _ in }
    ) throws -> (contents: CheckpointContents?, skipped: [SkippedCheckpoint]) {
        var skipped: [SkippedCheckpoint] = []
        for record in try list().reversed() {
            var defects = Self.verify(record.path)
            if defects.isEmpty {
                do {
                    let contents = try CheckpointContents(CheckpointFile(record.path))
                    guard contents.trainer.step == record.step else {
                        throw StorageDefect(
                            .inconsistent,
                            file: record.path,
                            "it holds step \(contents.trainer.step); it was renamed or copied here"
                        )
                    }
                    try accept(contents)
                    return (contents, skipped)
                } catch let error as any ReportableError {
                    defects.append(error)
                }
            }
            skipped.append(SkippedCheckpoint(record: record, defects: defects))
        }
        return (nil, skipped)
    }

    // MARK: Keeping

    private static let latestName = "latest"

    /// Makes `latest` name the checkpoint of a step, durably.
    package func markLatest(step: Int) throws {
        try AtomicFile.write(Self.fileName(step: step) + "\n", to: "\(directory)/\(Self.latestName)")
    }

    /// The checkpoint that `latest` names, or nil if there is no such file or it names nothing of ours.
    package func latest() -> CheckpointRecord? {
        guard let file = try? OpenFile("\(directory)/\(Self.latestName)", .read),
            let bytes = try? file.readAll(limit: 1 << 12),
            let name = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).first,
            let step = Self.step(inFileName: String(name))
        else { return nil }
        return CheckpointRecord(step: step, path: "\(directory)/\(name)")
    }

    /// Removes the checkpoints that `policy` drops; returns them.
    ///
    /// Only checkpoints whose seal and manifest are sound are counted and removed: damaged ones stay for their owner to
    /// look at. The newest intact one stays in any case. `knownIntact` is the step of one that was just written: it
    /// stays too, and those of later steps, which the run has not reached, are left alone and not counted.
    @discardableResult
    package func prune(_ policy: RetentionPolicy, knownIntact: Int? = nil) throws -> [CheckpointRecord] {
        let sound = try list().filter { $0.step <= knownIntact ?? .max }.compactMap { record in
            (try? CheckpointFile(record.path)).map { (record: record, metrics: $0.manifest.metrics) }
        }
        var kept = Set(sound.suffix(max(0, policy.keepLast)).map(\.record))
        if let best = policy.keepBest {
            let ranked = best.ranked(sound) { (step: $0.record.step, metrics: $0.metrics) }
            kept.formUnion(ranked.prefix(max(0, best.count)).map(\.record))
        }
        // A kept one may have damage that its seal does not show: look, from the newest down, for one that is whole.
        let newest = sound.last { $0.record.step == knownIntact || Self.verify($0.record.path).isEmpty }
        if let newest { kept.insert(newest.record) }
        guard newest != nil else { return [] }
        let removed = sound.map(\.record).filter { !kept.contains($0) }
        for record in removed { try FileSystem.remove(record.path) }
        return removed
    }
}
