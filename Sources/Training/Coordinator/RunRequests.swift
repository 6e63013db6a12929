import Foundation
import Storage

/// What somebody asks of a run that is under way: a file in the run's folder, which its coordinator takes within a second.
///
/// Whoever may write the folder may ask; no port and no key is needed.
package struct RunRequest: Codable, Sendable, Equatable {
    /// Workers that are to leave; empty: the whole run is to finish its step, save, and end.
    package var drain: [UInt32]
    /// Who asks, for the log.
    package var by: String

    package init(drain: [UInt32], by: String) {
        self.drain = drain
        self.by = by
    }

    private static let suffix = ".request"
    private static let maximumBytes = 1 << 16

    private static func folder(_ directory: RunDirectory) -> String { "\(directory.path)/requests" }

    /// Leaves the request for the coordinator of the run.
    package func send(to directory: RunDirectory) throws {
        let folder = Self.folder(directory)
        try FileSystem.createDirectory(folder)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try AtomicFile.write(Array(try encoder.encode(self)), to: "\(folder)/\(UUID().uuidString)\(Self.suffix)")
    }

    /// Takes the requests that are there, and what is wrong with those that are none; each is there once.
    static func take(from directory: RunDirectory) -> (requests: [RunRequest], defects: [String]) {
        let folder = folder(directory)
        guard FileSystem.isDirectory(folder), let names = try? FileSystem.names(in: folder) else { return ([], []) }
        var requests: [RunRequest] = []
        var defects: [String] = []
        for name in names.sorted() where name.hasSuffix(suffix) {
            let path = "\(folder)/\(name)"
            do {
                let bytes = try OpenFile(path, .read).readAll(limit: maximumBytes)
                requests.append(try JSONDecoder().decode(RunRequest.self, from: Data(bytes)))
            } catch {
                defects.append("The request \(path) is none and is removed: \(error)")
            }
            do { try FileSystem.remove(path) } catch { defects.append("\(error)") }
        }
        return (requests, defects)
    }
}
