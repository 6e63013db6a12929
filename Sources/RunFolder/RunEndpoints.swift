import Foundation
import Platform

/// Where a run's workers reach its coordinator; the next one listens there too.
package struct RunEndpoints: Codable, Sendable {
    package var control: String
    package var bulk: String

    package init(control: String, bulk: String) {
        self.control = control
        self.bulk = bulk
    }

    private static func path(_ directory: RunDirectory) -> String { "\(directory.path)/endpoints.json" }

    /// Why the file at `path` is not provably ours, as in `OutputObstacle`; nil where it is.
    package static func foreignness(of path: String) -> String? {
        guard let bytes = try? OpenFile(path, .read).readAll(limit: 1 << 16) else { return "cannot be read" }
        let isOwn = (try? JSONDecoder().decode(RunEndpoints.self, from: Data(bytes))) != nil
        return isOwn ? nil : "is no list of a run's endpoints"
    }

    package func write(_ directory: RunDirectory) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try AtomicFile.write(Array(try encoder.encode(self)), to: Self.path(directory))
    }

    /// Nil where none were kept, or they cannot be read: then the coordinator listens where it can.
    package static func read(_ directory: RunDirectory) -> RunEndpoints? {
        guard let bytes = try? OpenFile(path(directory), .read).readAll(limit: 1 << 16) else { return nil }
        return try? JSONDecoder().decode(RunEndpoints.self, from: Data(bytes))
    }
}
