import Foundation
import Platform

/// What somebody asks of a run that is under way: a file in the run's folder, which its coordinator takes within a second.
///
/// Whoever may write the folder may ask; no port and no key is needed. A request is for whoever leads the run when it is
/// made: it names the run and that session, and a later one does not obey it.
package struct RunRequest: Codable, Sendable, Equatable {
    /// Workers that are to leave; empty: the whole run is to finish its step, save, and end.
    package var drain: [UInt32]
    /// Who asks, for the log.
    package var by: String
    /// The run that is meant; nil for any, as other programs may write it.
    package var run: String?
    /// The session that is meant (`RunLock.Holder`); nil for whichever finds it.
    package var session: String?

    package init(drain: [UInt32], by: String, run: String? = nil, session: String? = nil) {
        self.drain = drain
        self.by = by
        self.run = run
        self.session = session
    }

    private static let suffix = ".request"
    /// Far above what as many workers as a run can have take.
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

    private static func names(_ folder: String) -> [String] {
        guard FileSystem.isDirectory(folder), let names = try? FileSystem.names(in: folder) else { return [] }
        return names.filter { $0.hasSuffix(suffix) }
    }

    /// Removes what was asked of those who led the run before; returns a sentence for each. For the run's one owner, before
    /// it leads: nobody has asked anything of it yet.
    package static func removeStale(from directory: RunDirectory) -> [String] {
        let inbox = RunRequestInbox(directory)
        let (requests, defects) = inbox.take(run: nil, session: nil)
        return defects
            + requests.map { request in
                let what =
                    request.drain.isEmpty
                    ? "the whole run" : "worker \(request.drain.map(String.init).joined(separator: ", "))"
                return "A request of \(request.by) to drain \(what) was made before this start and is not obeyed."
            }
    }

    fileprivate static func list(_ directory: RunDirectory) -> [String] {
        let folder = folder(directory)
        return names(folder).sorted().map { "\(folder)/\($0)" }
    }

    fileprivate static func read(_ path: String) throws -> RunRequest {
        let bytes = try OpenFile(regularAt: path).readAll(limit: maximumBytes)
        return try JSONDecoder().decode(RunRequest.self, from: Data(bytes))
    }
}

/// The requests in a run's folder, as its coordinator takes them; belongs to one thread.
package final class RunRequestInbox {
    private let directory: RunDirectory
    /// What is no regular file and therefore nobody's request: told of once, and left to its owner.
    private var ignored: Set<String> = []

    package init(_ directory: RunDirectory) { self.directory = directory }

    /// Takes the requests that are there, and what is wrong with those that are none; each is there once.
    ///
    /// One that is for another run or session is removed, and told of.
    package func take(run: String?, session: String?) -> (requests: [RunRequest], defects: [String]) {
        var requests: [RunRequest] = []
        var defects: [String] = []
        for path in RunRequest.list(directory) where !ignored.contains(path) {
            do {
                let request = try RunRequest.read(path)
                if let run, let other = request.run, other != run {
                    defects.append("The request \(path) of \(request.by) is for another run (\(other)) and is removed.")
                } else if let session, let other = request.session, other != session {
                    defects.append(
                        "The request \(path) of \(request.by) is for a coordinator that has ended, and is removed."
                    )
                } else {
                    requests.append(request)
                }
            } catch let error as FileError where error.operation == "open" {
                // A pipe, a link, a folder, or a file that may not be read: it is none of ours.
                ignored.insert(path)
                defects.append("The request \(path) is not looked at: \(error)")
                continue
            } catch {
                defects.append("The request \(path) is none and is removed: \(Self.words(error))")
            }
            do { try FileSystem.remove(path) } catch {
                ignored.insert(path)
                defects.append("\(error)")
            }
        }
        return (requests, defects)
    }

    private static func words(_ error: any Error) -> String {
        error is DecodingError ? "it is not the JSON that `pleura drain` writes." : "\(error)"
    }
}
