import Foundation
import Glibc
import Platform
import Synchronization

/// The folder in which a worker keeps fetched data sets, each under the first digits of its digest, and its limit.
///
/// A data set is verified by its SHA-256 as it is fetched, and every sample of it by its hash as it is read.
package struct FetchedCache: Sendable {
    /// The folder.
    package let path: String
    /// The most bytes that all data sets in it may take; nil for any number.
    package let limit: Int?

    package init(path: String, limit: Int?) {
        self.path = path
        self.limit = limit
    }

    private static let digits = 32
    /// The end of the name of a file beside a data set's folder, which every process that uses the data set locks; the
    /// time of its last change is that of the last use.
    private static let mark = ".used"

    /// Holds marks until the process ends: a worker's data set is its own for as long.
    private static let held = Mutex<[OpenFile]>([])

    /// Where the data set `digest` is kept, whether or not it is there.
    package func folder(of digest: String) -> String { "\(path)/\(digest.prefix(Self.digits))" }

    /// Notes that this process uses the data set in `folder`, which nobody removes until the process ends.
    ///
    /// In a cache that cannot be written, nothing is noted.
    package func use(_ folder: String) {
        guard let mark = try? OpenFile(folder + Self.mark, .append),
            flock(mark.descriptor, LOCK_SH | LOCK_NB) == 0
        else { return }
        utimes(folder + Self.mark, nil)
        Self.held.withLock { $0.append(mark) }
    }

    /// Removes the data sets that have been unused for the longest, until one of `bytes` fits beside the others; `notice`
    /// hears of each.
    ///
    /// Throws where it does not fit alone, or beside those that other processes use.
    package func makeRoom(for bytes: Int, at folder: String, notice: (String) -> Void) throws {
        guard let limit else { return }
        guard bytes <= limit else {
            throw WorkerError.cache(
                "The data set takes \(Self.inGiB(bytes)) GiB, and the cache \(path) may take \(Self.inGiB(limit)): raise "
                    + "--cache-limit (`cache_gib` in a list of hosts), or put the shards where --shards says.",
                mayPass: false
            )
        }
        var others = entries().filter { $0.path != folder }
        var taken = others.reduce(0) { $0 + $1.bytes }
        others.sort { $0.lastUse > $1.lastUse }
        while taken + bytes > limit, let oldest = others.popLast() {
            guard remove(oldest.path) else { continue }
            taken -= oldest.bytes
            notice("removed the data set in \(oldest.path), unused for the longest, to keep the cache under its limit")
        }
        guard taken + bytes <= limit else {
            throw WorkerError.cache(
                "The data set takes \(Self.inGiB(bytes)) GiB, and workers of other jobs use \(Self.inGiB(taken)) of the "
                    + "\(Self.inGiB(limit)) that the cache \(path) may take: raise --cache-limit, or wait for them.",
                mayPass: true
            )
        }
    }

    private struct Entry {
        var path: String
        var bytes: Int
        var lastUse: Int
    }

    /// What stands in the cache under names of data sets, with what interrupted fetches have left.
    private func entries() -> [Entry] {
        let names = (try? FileSystem.names(in: path)) ?? []
        return names.compactMap { name in
            let first = name.split(separator: ".").first ?? ""
            guard !name.hasSuffix(Self.mark), first.utf8.count == Self.digits, first.allSatisfy(\.isHexDigit) else {
                return nil
            }
            let folder = "\(path)/\(name)"
            let files = (try? FileSystem.names(in: folder)) ?? []
            let bytes = files.reduce(0) { $0 + ((try? FileSystem.size(of: "\(folder)/\($1)")) ?? 0) }
            var status = stat()
            let mark = folder + Self.mark
            guard stat(FileSystem.exists(mark) ? mark : folder, &status) == 0 else { return nil }
            return Entry(path: folder, bytes: bytes, lastUse: status.st_mtim.tv_sec)
        }
    }

    /// Removes a data set that nobody uses; false where somebody does, or it cannot be removed.
    private func remove(_ folder: String) -> Bool {
        // A fetch that goes on has no mark yet: what another process wrote to within the hour is let alone.
        guard let mark = try? OpenFile(folder + Self.mark, .update) else {
            var status = stat()
            guard stat(folder, &status) == 0, time(nil) - status.st_mtim.tv_sec > 3600 else { return false }
            return (try? FileManager.default.removeItem(atPath: folder)) != nil
        }
        guard flock(mark.descriptor, LOCK_EX | LOCK_NB) == 0 else { return false }
        guard (try? FileManager.default.removeItem(atPath: folder)) != nil else { return false }
        try? FileManager.default.removeItem(atPath: folder + Self.mark)
        return true
    }

    private static func inGiB(_ bytes: Int) -> String { String(format: "%.2f", Double(bytes) / Double(1 << 30)) }
}
