package import Diagnostics
internal import HDF5IO
import Platform

/// Checks whatever is stored at a path: a run, a data set, a checkpoint, a shard, a journal.
package enum StorageVerification {
    /// One thing checked.
    package struct Item: Sendable {
        package let path: String
        /// "checkpoint", "shard", "data set", "journal", "metrics", "configuration", "rule", "table", "list" or
        /// "events".
        package let kind: String
        /// What is wrong; empty if it is sound.
        package let defects: [any ReportableError]
        /// A remark that is no defect.
        package var notice: String?
        /// Whether it could be looked at; `notice` says why not.
        package var isChecked = true
        /// Whether nothing is wrong but that another program is writing it now.
        package var isInUse: Bool { !defects.isEmpty && defects.allSatisfy { ($0 as? HDF5Error)?.code == .inUse } }

        package init(path: String, kind: String, defects: [any ReportableError], notice: String? = nil) {
            self.path = path
            self.kind = kind
            self.defects = defects
            self.notice = notice
        }
    }

    /// Files of a run that carry the hash of themselves, and how they are called.
    private static let sealed = ["config.yaml": "configuration", "rule.json": "rule"]

    /// Checks what is at `path`; tells each item to `report` when it is done.
    ///
    /// Returns all items.
    ///
    /// A run is a directory with `checkpoints/`, `journal.jsonl` or `metrics.jsonl`; a data set, one with
    /// `dataset.json` or shards; a directory of checkpoints will do too. Throws `FileError` if there is nothing at the
    /// path, and a `StorageDefect` with the problem `missing` if there is nothing that can be checked.
    @discardableResult
    package static func verify(_ path: String, report: (Item) -> Void = { _ in }) throws -> [Item] {
        var items: [Item] = []
        func add(_ item: Item) {
            items.append(item)
            report(item)
        }
        guard FileSystem.isDirectory(path) else {
            _ = try FileSystem.size(of: path)
            guard isKnown(path) else {
                throw StorageDefect(
                    .missing,
                    file: path,
                    "it is no shard, checkpoint, journal or metrics file, so there is nothing to verify"
                )
            }
            add(file(path))
            return items
        }
        let names = try FileSystem.names(in: path)
        if names.contains(DatasetManifest.fileName)
            || names.contains(where: { ShardRecord.number(inFileName: $0) != nil })
        {
            add(Item(path: path, kind: "data set", defects: dataset(path)))
            for item in tables(path) { add(item) }
        }
        for directory in [path, "\(path)/checkpoints"] {
            for record in try CheckpointStore(directory).list() { add(file(record.path)) }
        }
        let pointer = pointerDefects(CheckpointStore("\(path)/checkpoints"))
        if !pointer.isEmpty { add(Item(path: "\(path)/checkpoints/latest", kind: "name", defects: pointer)) }
        for name in names where name.hasSuffix(".jsonl") || sealed[name] != nil { add(file("\(path)/\(name)")) }
        if items.isEmpty {
            throw StorageDefect(
                .missing,
                file: path,
                "there is no data set, checkpoint, journal or metrics file to verify in it"
            )
        }
        return items
    }

    private static func dataset(_ path: String) -> [any ReportableError] {
        defects(of: path) { try Dataset.verify(path) }
    }

    /// The tables beside the shards of a data set, and the list by which they are known; nothing where its manifest does not
    /// know them.
    private static func tables(_ directory: String) -> [Item] {
        guard let manifest = try? DatasetManifest.read(in: directory), let tables = manifest.tables else { return [] }
        let list = OutputRecord(directory)
        let names = tables.keys.sorted()
        if !FileSystem.exists(list.path), !names.contains(where: { FileSystem.exists("\(directory)/\($0)") }) {
            // Workers that fetch a data set take its shards alone.
            let words = "\(names.joined(separator: " and ")) are not in this copy of the data set."
            var item = Item(path: directory, kind: "tables", defects: [], notice: words)
            item.isChecked = false
            return [item]
        }
        var items: [Item] = []
        var isListSound = true
        for name in names {
            let path = "\(directory)/\(name)"
            let found = defects(of: path) {
                try tables[name]?.defect(of: path, isWhole: true, since: "when the shards were made").map { [$0] } ?? []
            }
            items.append(Item(path: path, kind: "table", defects: found))
            if found.isEmpty, list.obstacle(name) != nil { isListSound = false }
        }
        let detail =
            "it does not know the tables beside it, which are as they were written: it was cut, changed or removed"
        let defect = StorageDefect(.inconsistent, file: list.path, detail)
        items.append(Item(path: list.path, kind: "list", defects: isListSound ? [] : [defect]))
        return items
    }

    private static func file(_ path: String) -> Item {
        let name = FileSystem.name(of: path)
        if name == DatasetManifest.fileName {
            let directory = FileSystem.parent(of: path)
            return Item(path: path, kind: "data set", defects: dataset(directory))
        }
        if name.hasPrefix("metrics"), name.hasSuffix(".jsonl") {
            let found = defects(of: path) {
                _ = try MetricsFile.verify(path)
                return []
            }
            return Item(path: path, kind: "metrics", defects: found)
        }
        if name.hasSuffix(".jsonl") {
            var notice: String?
            let found = defects(of: path) {
                let lines = try JournalLines(reading: path)
                notice = lines.endDefect == nil ? lines.notice : nil
                return lines.endDefect.map { [$0] } ?? []
            }
            return Item(path: path, kind: "journal", defects: found, notice: notice)
        }
        if let kind = sealed[name] {
            let found = defects(of: path) {
                if kind == "rule" { try SealedJSON.check(path) } else { try SealedText.check(path) }
                return []
            }
            return Item(path: path, kind: kind, defects: found)
        }
        if ShardRecord.number(inFileName: name) != nil {
            return Item(
                path: path,
                kind: "shard",
                defects: defects(of: path) { try ShardReader(path).verify().defects }
            )
        }
        return Item(path: path, kind: "checkpoint", defects: CheckpointStore.verify(path))
    }

    /// Whether a file is of a kind that this program writes, by its name or by HDF5's signature.
    private static func isKnown(_ path: String) -> Bool {
        let name = FileSystem.name(of: path)
        if name == DatasetManifest.fileName || name.hasSuffix(".jsonl") || name.hasSuffix(".h5") { return true }
        if sealed[name] != nil { return true }
        guard let file = try? OpenFile(path, .read) else { return false }
        // A checkpoint has a user block before HDF5's own bytes.
        return [0, 512].contains { offset in
            var bytes = [UInt8](repeating: 0, count: 8)
            let count = try? bytes.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
            return count == 8 && bytes == [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
        }
    }

    /// What is wrong with `latest`: it must name a checkpoint that is there, if there is any.
    private static func pointerDefects(_ store: CheckpointStore) -> [any ReportableError] {
        let path = "\(store.directory)/latest"
        guard FileSystem.exists(path) else { return [] }
        return defects(of: path) {
            let names = try store.list().map { FileSystem.name(of: $0.path) }
            let text = try OpenFile(path, .read).readAll(limit: 1 << 12)
            guard names.isEmpty || names.contains(where: { text == Array("\($0)\n".utf8) }) else {
                throw StorageDefect(.malformed, file: path, "it names no checkpoint that is there")
            }
            return []
        }
    }

    /// What `body` finds and throws.
    package static func defects(of path: String, _ body: () throws -> [any ReportableError]) -> [any ReportableError] {
        do {
            return try body()
        } catch let error as any ReportableError {
            return [error]
        } catch {
            return [StorageDefect(.malformed, file: path, "it cannot be read: \(error)")]
        }
    }
}
