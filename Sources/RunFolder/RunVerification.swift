import Configuration
import Platform
import Reporting
package import Storage

/// Checks a run whole: what `StorageVerification` knows, TensorBoard's events, and the data set it was trained on.
package enum RunVerification {
    /// Checks what is at `path`, a run or anything that `StorageVerification` checks; tells each item to `report` when
    /// it is done.
    ///
    /// Throws as `StorageVerification.verify` does.
    @discardableResult
    package static func verify(
        _ path: String,
        report: (StorageVerification.Item) -> Void = { _ in }
    ) throws -> [StorageVerification.Item] {
        if FileSystem.name(of: path).hasPrefix(TensorBoardLog.namePrefix), FileSystem.exists(path) {
            let item = events(path)
            report(item)
            return [item]
        }
        let path = FileSystem.tidied(path)
        var items = try StorageVerification.verify(path, report: report)
        let run = RunDirectory(path)
        guard [run.configuration, run.manifest, run.journal, run.metrics].contains(where: FileSystem.exists) else {
            return items
        }
        func add(_ item: StorageVerification.Item) {
            items.append(item)
            report(item)
        }
        let story = RunStory(run, items)
        if let item = story.manifestItem { add(item) }
        if FileSystem.isDirectory(run.tensorBoard) {
            let names = try FileSystem.names(in: run.tensorBoard)
            for name in names where name.hasPrefix(TensorBoardLog.namePrefix) {
                add(events("\(run.tensorBoard)/\(name)"))
            }
        }
        for item in story.items(beside: items) { add(item) }
        for item in dataset(of: run) { add(item) }
        return items
    }

    private static func events(_ path: String) -> StorageVerification.Item {
        let defects = StorageVerification.defects(of: path) {
            try EventFile.verify(path)
            return []
        }
        return .init(path: path, kind: "events", defects: defects)
    }

    /// The data set that the configuration names, and whether it is the one that the newest checkpoint was trained on.
    private static func dataset(of run: RunDirectory) -> [StorageVerification.Item] {
        func unchecked(_ path: String, _ why: String) -> [StorageVerification.Item] {
            var item = StorageVerification.Item(path: path, kind: "data set", defects: [], notice: why)
            item.isChecked = false
            return [item]
        }
        let shards: String
        do {
            shards = try run.shards(try RunConfiguration.load(path: run.configuration).data.shards)
        } catch {
            return unchecked(run.path, "The run's data set was not checked: \(error)")
        }
        // A data set in the run's own folder has been checked with it only where its files lie in it directly.
        guard FileSystem.absolute(run.path) != shards else { return [] }
        do {
            var items = try StorageVerification.verify(shards)
            let newest = try run.store.list().last.flatMap { try? CheckpointStore.open($0.path) }
            if let newest, let manifest = try? DatasetManifest.read(in: shards),
                manifest.datasetDigest.description != newest.trainer.datasetDigest
            {
                let detail = "it is not the data set that \(newest.path) was trained on"
                let defect = StorageDefect(.inconsistent, file: "\(shards)/\(DatasetManifest.fileName)", detail)
                items.append(.init(path: shards, kind: "data set", defects: [defect]))
            }
            return items
        } catch {
            return unchecked(shards, "The run's data set was not checked: \(error)")
        }
    }
}
