import Diagnostics
import Foundation
import Platform
import Storage

/// What a run's own records say of its files, beside what each file says of itself: a file that is cut at the end of a
/// line, or gone, is sound by itself.
///
/// Where the run ended in order, `run.json` knows every file to the last bit. Where it goes on or was killed, its newest
/// sound checkpoint knows what the files that grow held when it was ordered; what came behind that may be lost with a
/// machine, and is not missed.
struct RunStory {
    private let run: RunDirectory
    private let manifest: RunManifest?
    /// What is wrong with `run.json` itself.
    private let manifestDefect: (any ReportableError)?
    private let newest: CheckpointContents?
    /// Checkpoints that say to be another run's.
    private let foreign: [StorageDefect]

    /// `items` are those of the run's checkpoints among others.
    init(_ run: RunDirectory, _ items: [StorageVerification.Item]) {
        var manifest: RunManifest?
        var manifestDefect: (any ReportableError)?
        do { manifest = try RunManifest.read(run) } catch let error as any ReportableError {
            manifestDefect = error
        } catch {
            manifestDefect = StorageDefect(.malformed, file: run.manifest, "it cannot be read: \(error)")
        }
        let soundPaths = Set(items.filter { $0.kind == "checkpoint" && $0.defects.isEmpty }.map(\.path))
        let sound = ((try? run.store.list()) ?? []).compactMap { record in
            soundPaths.contains(record.path) ? try? CheckpointStore.open(record.path) : nil
        }
        let journal = (try? Journal<JournalLine>.read(run.journal).entries) ?? []
        let known =
            manifest?.run ?? journal.compactMap(\.run).last
            ?? sound.compactMap { StoredProgress.run(of: $0.trainer) }.last
        if manifest == nil, manifestDefect == nil, let known {
            manifestDefect = StorageDefect(
                .missing,
                file: run.manifest,
                "it is gone, and said that this is the run \(known)"
            )
        }
        let foreign = sound.compactMap { checkpoint -> StorageDefect? in
            guard let known, let other = StoredProgress.run(of: checkpoint.trainer), other != known else { return nil }
            return StorageDefect(.foreign, file: checkpoint.path, "it is of another run (\(other)) and was copied here")
        }
        let foreignPaths = Set(foreign.map(\.file))
        newest = sound.last { !foreignPaths.contains($0.path) }
        self.run = run
        self.foreign = foreign
        self.manifest = manifest
        self.manifestDefect = manifestDefect
    }

    /// `run.json` as an item; nil where the run is of an earlier version, which had none.
    var manifestItem: StorageVerification.Item? {
        guard manifest != nil || manifestDefect != nil else { return nil }
        var notice: String?
        if manifest != nil, manifest?.files == nil {
            notice =
                "\(run.path) goes on, or did not end in order: what came after its newest checkpoint is checked line by line, "
                + "and is not missed where it is gone."
        }
        let defects = manifestDefect.map { [$0] } ?? []
        return StorageVerification.Item(path: run.manifest, kind: "run", defects: defects, notice: notice)
    }

    /// Files that are not as the run's records say; those of `others` that have defects are named there already.
    func items(beside others: [StorageVerification.Item]) -> [StorageVerification.Item] {
        let damaged = Set(others.filter { !$0.defects.isEmpty }.map(\.path))
        let checked = Set(others.map(\.path))
        var items: [StorageVerification.Item] = foreign.map { .init(path: $0.file, kind: "checkpoint", defects: [$0]) }
        for (name, seal) in (manifest?.files ?? [:]).sorted(by: { $0.key < $1.key }) {
            let path = "\(run.path)/\(name)"
            if damaged.contains(path) { continue }
            let isCheckpoint = name.hasPrefix("checkpoints/") && name.hasSuffix(".h5")
            let defects = found(path) {
                // Of a checkpoint its first bytes are known, and it vouches for the rest itself.
                try seal.defect(of: path, isWhole: !isCheckpoint, since: "when the run ended")
            }
            if !defects.isEmpty || !checked.contains(path) {
                items.append(.init(path: path, kind: kind(name), defects: defects))
            }
        }
        guard manifest?.files == nil, let newest else { return items }
        let step = newest.trainer.step
        for (name, seal) in StoredProgress.records(of: newest.trainer).sorted(by: { $0.key < $1.key }) {
            let path = "\(run.path)/\(name)"
            if damaged.contains(path) { continue }
            let defects = found(path) {
                try seal.defect(of: path, isWhole: false, since: "when the checkpoint of step \(step) was ordered")
            }
            if !defects.isEmpty { items.append(.init(path: path, kind: kind(name), defects: defects)) }
        }
        let needed = [run.configuration].filter { !FileSystem.exists($0) }
        for path in needed {
            items.append(
                .init(
                    path: path,
                    kind: "configuration",
                    defects: [StorageDefect(.missing, file: path, "it is gone, and every run has one")]
                )
            )
        }
        return items
    }

    private func found(_ path: String, _ body: () throws -> StorageDefect?) -> [any ReportableError] {
        StorageVerification.defects(of: path) { try body().map { [$0] } ?? [] }
    }

    private func kind(_ name: String) -> String {
        switch name {
        case "config.yaml": "configuration"
        case "metrics.jsonl": "metrics"
        case "journal.jsonl": "journal"
        case "rule.json": "rule"
        case "report.html": "report"
        case "checkpoints/latest": "name"
        case "status.json", "endpoints.json": "status"
        case _ where name.hasPrefix("tensorboard/"): "events"
        case _ where name.hasPrefix("logs/"): "log"
        default: "checkpoint"
        }
    }
}
