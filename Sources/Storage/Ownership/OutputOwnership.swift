internal import CZlib
package import Diagnostics
internal import FoundationEssentials
internal import Glibc
import Platform

/// A file in a command's way that it may not write over.
package struct OutputObstacle: Hashable, Sendable, CustomStringConvertible {
    package let path: String
    /// Why it is not taken for this program's own, as the end of a sentence that begins with the path.
    package let reason: String

    package init(_ path: String, _ reason: String) {
        self.path = path
        self.reason = reason
    }

    package var description: String { "\(path) \(reason)" }
}

/// Files that are not provably this program's own stand where it was to write; none of them, and no other, was touched.
package struct OccupiedOutput: ReportableError, Equatable {
    /// What was to be done, as the beginning of a sentence: "A run cannot begin in X".
    package let purpose: String
    package let obstacles: [OutputObstacle]
    /// What to do, as a sentence.
    package let advice: String

    package init(_ purpose: String, _ obstacles: [OutputObstacle], advice: String) {
        self.purpose = purpose
        self.obstacles = obstacles
        self.advice = advice
    }

    package var exitStatus: ExitStatus { .usage }

    package var description: String {
        let shown = obstacles.prefix(10).map { "\n  \($0)" }.joined()
        let rest = obstacles.count > 10 ? "\n  and \(obstacles.count - 10) more" : ""
        return
            "\(purpose): there are files in the way that this program did not write, or that were changed since. Nothing was changed.\(shown)\(rest)\n"
            + advice
    }
}

/// Which files a command may replace or remove: those that prove by a seal, a checksum or a mark inside that this
/// program wrote them and nobody has changed them since, and empty ones. A file's name proves nothing.
package enum OutputOwnership {
    /// By what a file proves itself.
    package enum Proof: Sendable {
        /// The seal of `SealedText`.
        case sealedText
        /// The seal of `SealedJSON`.
        case sealedJSON
        /// The checksum of each line of a journal.
        case journal
        /// The checksum of each line of `metrics.jsonl`.
        case metrics
        /// The seal of `SealedPage`; pages of earlier versions have a heading of their own.
        case page
        /// The member `written_by` of the JSON that `--json` writes.
        case figures
        /// The mark of `PictureMark`.
        case picture
        /// The name of a checkpoint and nothing else.
        case checkpointName
        /// Being a shard of ours, or having been one: HDF5 with our format's name.
        case shard
        /// Being the list of a data set of ours, damaged or not.
        case dataset
        /// What the function finds: nil where the file is ours, else why not, as in `OutputObstacle`.
        case custom(@Sendable (String) -> String?)
    }

    /// What stands in the way of replacing the file at `path`; nil where nothing does.
    ///
    /// Links are followed, since what they lead to is what a person would lose.
    package static func obstacle(_ path: String, _ proof: Proof) -> OutputObstacle? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            // A link that leads nowhere holds nothing; a file that cannot be looked at may hold anything.
            return errno == ENOENT
                ? nil : OutputObstacle(path, "cannot be looked at: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            return OutputObstacle(path, status.st_mode & S_IFMT == S_IFDIR ? "is a folder" : "is no regular file")
        }
        if status.st_size == 0 { return nil }
        do {
            return try reason(path, proof).map { OutputObstacle(path, $0) }
        } catch let error as StorageDefect {
            return OutputObstacle(path, "is not as this program wrote it: \(error.detail)")
        } catch let error as FileError {
            return OutputObstacle(path, "cannot be read: \(String(cString: strerror(error.code)))")
        } catch {
            return OutputObstacle(path, "cannot be read: \(error)")
        }
    }

    /// As `obstacle`, of a file that a user names as the place for an output: what is no file, such as a terminal, a pipe
    /// or `/dev/null`, is written to as it is.
    package static func obstacle(named path: String, _ proof: Proof) -> OutputObstacle? {
        var status = stat()
        if stat(path, &status) == 0 {
            let kind = status.st_mode & S_IFMT
            if kind != S_IFREG && kind != S_IFDIR { return nil }
        }
        return obstacle(path, proof)
    }

    private struct Figures: Decodable {
        var writtenBy: String
        enum CodingKeys: String, CodingKey { case writtenBy = "written_by" }
    }

    private static func reason(_ path: String, _ proof: Proof) throws -> String? {
        switch proof {
        case .sealedText: try SealedText.check(path)
        case .sealedJSON: try SealedJSON.check(path)
        case .journal:
            let lines = try JournalLines(reading: path)
            if let defect = lines.endDefect { throw defect }
            if lines.count == 0 { return "is no journal of a run" }
        case .metrics:
            guard try MetricsFile.isOwn(path) else { return "has lines that this program did not write" }
        case .page: return try SealedPage.isOwn(path) ? nil : "is no report of this program, or was edited"
        case .figures:
            let bytes = try OpenFile(path, .read).readAll(limit: 1 << 28)
            let found = try? JSONDecoder().decode(Figures.self, from: Data(bytes))
            guard found?.writtenBy.hasPrefix(Self.signature) == true else { return "was not written by --json" }
        case .picture:
            guard try PictureMark.isPresent(in: path) else { return "is no picture of this program's" }
        case .checkpointName:
            let text = String(decoding: try OpenFile(path, .read).readAll(limit: 1 << 12), as: UTF8.self)
            guard text.hasSuffix("\n"), CheckpointStore.step(inFileName: String(text.dropLast())) != nil else {
                return "names no checkpoint"
            }
        case .shard:
            return try holds(Array(ShardIndex.format.utf8), path, isHDF5: true) ? nil : "is no shard of this program's"
        case .dataset:
            return try holds(Array("\"pleura-dataset\"".utf8), path, isHDF5: false)
                ? nil : "is not the list of a data set of this program's"
        case .custom(let check): return check(path)
        }
        return nil
    }

    /// With what `written_by` begins.
    package static let signature = "pleura "

    /// Whether a file holds `words`; of HDF5, whether it begins as such a file too. Damaged files count: they are ours.
    private static func holds(_ words: [UInt8], _ path: String, isHDF5: Bool) throws -> Bool {
        let file = try OpenFile(path, .read)
        let size = try file.size()
        if isHDF5 {
            let magic: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
            guard size >= 8, try file.bytes(in: 0..<8) == magic else { return false }
        }
        // Pieces overlap by the length of the words. Its structure stands at both ends of a shard, which may be large.
        let piece = 1 << 20
        var position = 0
        while position < size {
            let bytes = try file.bytes(in: position..<min(size, position + piece + words.count))
            if contains(bytes, words) { return true }
            position += piece
        }
        return false
    }

    private static func contains(_ bytes: [UInt8], _ words: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { haystack in
            words.withUnsafeBytes { needle in
                guard let start = haystack.baseAddress, let word = needle.baseAddress, !needle.isEmpty else {
                    return false
                }
                var place = 0
                while haystack.count - place >= needle.count,
                    let next = memchr(start + place, Int32(needle[0]), haystack.count - place - needle.count + 1)
                {
                    if memcmp(next, word, needle.count) == 0 { return true }
                    place = start.distance(to: UnsafeRawPointer(next)) + 1
                }
                return false
            }
        }
    }
}

/// Tables in an output folder that people read and other programs take, and which therefore carry no seal: the folder
/// keeps a hidden list of what was written, by SHA-256 and name, as `sha256sum` writes it.
///
/// A table is ours where its very bytes are on the list. Lines are only added, and before the table is replaced, so that
/// a writer that dies in between has lost nothing.
package struct OutputRecord: Sendable {
    /// The list's name.
    package static let fileName = ".written-by-pleura"

    package let folder: String

    package init(_ folder: String) { self.folder = folder }

    /// The list's path.
    var path: String { "\(folder)/\(Self.fileName)" }

    /// What stands in the way of replacing the table `name`; nil where nothing does.
    ///
    /// Earlier versions kept no list: without one, a table that begins with `legacyHeader` is taken for ours.
    package func obstacle(_ name: String, legacyHeader: String? = nil) -> OutputObstacle? {
        let (folder, list) = (folder, path)
        return OutputOwnership.obstacle(
            "\(folder)/\(name)",
            .custom { path in
                guard let bytes = try? OpenFile(path, .read).readAll(limit: 1 << 30) else { return "cannot be read" }
                if FileSystem.exists(list) {
                    guard let known = try? OpenFile(list, .read).readAll(limit: 1 << 24) else {
                        return "cannot be looked up in \(list)"
                    }
                    let line = Self.line(bytes, name).dropLast()
                    // A line without its end was cut, and says nothing.
                    let lines = String(decoding: known, as: UTF8.self)
                        .split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                    if lines.contains(where: { $0.elementsEqual(line) }) { return nil }
                    return "was changed since this program wrote it, or is another's"
                }
                if let legacyHeader, bytes.starts(with: Array(legacyHeader.utf8)) { return nil }
                return "is not known to be this program's"
            }
        )
    }

    /// Replaces the table `name`, whose obstacles were looked for before.
    package func write(_ text: String, to name: String) throws {
        let bytes = Array(text.utf8)
        // A table that is written again as it was is known already.
        let isSame = (try? OpenFile("\(folder)/\(name)", .read).readAll(limit: 1 << 30)) == bytes
        if !isSame || !FileSystem.exists(path) || obstacle(name) != nil { try note(bytes, name) }
        try AtomicFile.write(bytes, to: "\(folder)/\(name)")
    }

    private func note(_ bytes: [UInt8], _ name: String) throws {
        let list = try OpenFile(path, .append)
        var failure: FileError?
        let size = try list.size()
        let isCut = size > 0 ? try list.bytes(in: size - 1..<size) != [UInt8(ascii: "\n")] : false
        Array(((isCut ? "\n" : "") + Self.line(bytes, name)).utf8).withUnsafeBytes { buffer in
            do throws(FileError) { try list.append(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        try list.sync()
    }

    private static func line(_ bytes: [UInt8], _ name: String) -> String { "\(SHA256Digest.of(bytes))  \(name)\n" }
}

/// The mark of a PNG that this program wrote: its first chunk behind the header says so.
package enum PictureMark {
    private static let headBytes = 33
    private static let text = Array("tEXtSoftware\0Pleura".utf8)

    private static var chunk: [UInt8] {
        let sum = text.withUnsafeBufferPointer { UInt32(truncatingIfNeeded: crc32(0, $0.baseAddress, uInt($0.count))) }
        return bigEndian(UInt32(text.count - 4)) + text + bigEndian(sum)
    }

    private static func bigEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }

    /// The picture with the mark; anything that is no PNG as it is.
    package static func marked(_ png: [UInt8]) -> [UInt8] {
        guard png.count > headBytes, png.starts(with: [0x89, 0x50, 0x4E, 0x47]) else { return png }
        return Array(png[..<headBytes]) + chunk + Array(png[headBytes...])
    }

    static func isPresent(in path: String) throws -> Bool {
        let chunk = chunk
        let file = try OpenFile(path, .read)
        guard try file.size() >= headBytes + chunk.count else { return false }
        return try file.bytes(in: headBytes..<headBytes + chunk.count) == chunk
    }
}
