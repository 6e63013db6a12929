import Coordination
import Diagnostics
import Foundation
import Glibc
import Platform
import RunFolder

/// Follows the committed steps in a run's `metrics.jsonl` while another process writes it.
package struct CommitTail {
    /// A committed step and its moment, in seconds since 1970.
    package struct Commit: Equatable {
        package var step: Int
        package var time: Double
    }

    private struct Line: Decodable {
        var kind: String
        var step: Int
        var time: Double?
    }

    private let path: String
    private var inode: UInt64 = 0
    private var offset = 0
    private var latest = -Double.infinity

    package init(_ path: String) { self.path = path }

    /// The steps that were committed since the last call. A run that goes on from a checkpoint replaces the file; what it
    /// still says of earlier steps is not told again.
    package mutating func poll() -> [Commit] {
        guard let file = try? OpenFile(path, .read) else { return [] }
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else { return [] }
        let size = Int(status.st_size)
        var isReplaced = false
        if UInt64(status.st_ino) != inode || size < offset {
            inode = UInt64(status.st_ino)
            offset = 0
            isReplaced = true
        }
        guard size > offset else { return [] }
        var bytes = [UInt8](repeating: 0, count: size - offset)
        let count = (try? bytes.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }) ?? 0
        // The last line may not be whole yet.
        guard let end = bytes[..<count].lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        offset += end + 1
        let decoder = JSONDecoder()
        var commits: [Commit] = []
        for line in bytes[..<end].split(separator: UInt8(ascii: "\n")) {
            guard let line = try? decoder.decode(Line.self, from: Data(line)), line.kind == "step",
                let time = line.time, !isReplaced || time > latest
            else { continue }
            commits.append(Commit(step: line.step, time: time))
        }
        if let last = commits.last { latest = max(latest, last.time) }
        return commits
    }
}

/// What the kernel says about a process of this machine.
enum ProcessTable {
    /// The parent of a process that runs or is stopped; nil where it has ended.
    static func parent(of process: pid_t) -> pid_t? {
        // The name stands in parentheses and may hold any character.
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 1, !["Z", "X"].contains(fields[0]) else { return nil }
        return pid_t(fields[1])
    }

    /// Whether a process runs and was started by this one, or by one that was; so that no number is mistaken that the
    /// kernel has given to somebody else's process.
    static func isOwn(_ process: pid_t) -> Bool {
        var next = process
        for _ in 0..<64 {
            guard next > 1, let parent = parent(of: next) else { return false }
            if parent == getpid() { return true }
            next = parent
        }
        return false
    }
}

/// A small file system in memory, over a folder of a run that is to meet a full disk.
struct ChaosDisk {
    /// A file that tells such a disk from others.
    static let markerName = ".chaos-disk"

    let path: String
    private var filler: String { "\(path)/.chaos-filler" }

    /// Mounts it; throws where this user may not.
    init(at path: String, bytes: Int) throws {
        try FileSystem.createDirectory(path)
        self.path = path
        try Self.run(["mount", "-t", "tmpfs", "-o", "size=\(bytes)", "tmpfs", path])
        _ = try OpenFile("\(path)/\(Self.markerName)", .append)
    }

    /// Takes all the room that is left.
    func fill() throws {
        let file = try OpenFile(filler, .append)
        let free = try FileSystem.availableBytes(at: path)
        let status = posix_fallocate(file.descriptor, 0, off_t(max(1, free)))
        guard status == 0 else { throw FileError("reserve", path: filler, code: status) }
    }

    func release() { try? FileSystem.remove(filler) }

    func unmount() { Self.unmount(path) }

    static func unmount(_ path: String) { try? Self.run(["umount", "--lazy", path]) }

    private struct CommandFailure: ReportableError {
        var arguments: [String]
        var status: Int32
        var exitStatus: ExitStatus { .internal }
        var description: String { "`\(arguments.joined(separator: " "))` ended with \(status)." }
    }

    private static func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw CommandFailure(arguments: arguments, status: process.terminationStatus)
        }
    }
}
