package import Diagnostics
internal import HDF5IO
import Platform

/// The shards in a directory, before or without a manifest.
package enum ShardSet {
    /// Reads and verifies every shard in a directory that an interrupted run has left.
    ///
    /// Returns the sound ones by number, to be kept, and what is wrong with the others, to be made again. A shard of
    /// another schema is unsound. A directory that does not exist has none.
    package static func finishedShards(
        in directory: String,
        schema: ShardSchema
    ) throws -> (shards: [Int: ShardRecord], defects: [any ReportableError]) {
        guard FileSystem.isDirectory(directory) else { return ([:], []) }
        var shards: [Int: ShardRecord] = [:]
        var defects: [any ReportableError] = []
        for name in try FileSystem.names(in: directory) {
            guard let number = ShardRecord.number(inFileName: name) else { continue }
            let path = "\(directory)/\(name)"
            do {
                let reader = try ShardReader(path)
                guard reader.index.schema == schema else {
                    let detail = "expected \(schema.words), found \(reader.index.schema.words)"
                    defects.append(StorageDefect(.foreign, file: path, detail))
                    continue
                }
                let (record, found) = try reader.verify()
                defects += found
                shards[number] = record
            } catch let error as any ReportableError {
                defects.append(error)
            }
        }
        return (shards, defects)
    }

    /// Removes what writers that died have left in a directory; for its one writer, before it starts.
    package static func removeTemporaries(in directory: String) throws {
        guard FileSystem.isDirectory(directory) else { return }
        try FileSystem.removeTemporaries(in: directory, prefix: "shard")
        try FileSystem.removeTemporaries(in: directory, prefix: DatasetManifest.fileName)
    }
}
