import Glibc

/// The memory that processes started now can take.
package struct AvailableMemory: Hashable, Sendable {
    package var bytes: Int
    /// Whose figure that is, for messages.
    package var source: String

    package init(bytes: Int, source: String) {
        self.bytes = bytes
        self.source = source
    }

    /// What the kernel has left and what the limits of this process's control groups leave, whichever is less.
    package static func current() -> AvailableMemory {
        var least = AvailableMemory(bytes: .max, source: "no limit is known")
        if let kibibytes = SystemFile.number(of: "MemAvailable:", in: "/proc/meminfo") {
            least = AvailableMemory(bytes: kibibytes << 10, source: "of the machine's memory")
        }
        for folder in controlGroups {
            guard let (limit, used) = limit(of: folder), limit - used < least.bytes else { continue }
            least = AvailableMemory(
                bytes: max(0, limit - used),
                source: "of the \(limit >> 20) MiB that the control group \(folder) allows"
            )
        }
        return least
    }

    /// The folders of this process's memory groups, the innermost first.
    private static var controlGroups: [String] {
        var folders: [String] = []
        for line in SystemFile.text("/proc/self/cgroup").split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let root: String
            if fields[1].isEmpty {
                root = "/sys/fs/cgroup"
            } else if fields[1].split(separator: ",").contains("memory") {
                root = "/sys/fs/cgroup/memory"
            } else {
                continue
            }
            // Limits of the groups around it hold too.
            var path = fields[2].split(separator: "/").filter { $0 != ".." }
            while true {
                folders.append(([root] + path.map(String.init)).joined(separator: "/"))
                if path.popLast() == nil { break }
            }
        }
        return folders
    }

    /// A group's limit and what of it is taken; nil where there is none. Pages of files can be dropped and do not count.
    private static func limit(of folder: String) -> (limit: Int, used: Int)? {
        for (limitName, usageName, fileName) in [
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ] {
            guard let limit = SystemFile.number("\(folder)/\(limitName)"), limit < 1 << 60,
                let used = SystemFile.number("\(folder)/\(usageName)")
            else { continue }
            let files = SystemFile.number(of: fileName, in: "\(folder)/memory.stat") ?? 0
            return (limit, max(0, used - files))
        }
        return nil
    }
}

/// Small files in which the kernel gives figures.
package enum SystemFile {
    /// The whole text; empty where it cannot be read.
    package static func text(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &part, part.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0, bytes.count < 1 << 20 else { break }
            bytes += part.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The number that is all of a file.
    package static func number(_ path: String) -> Int? {
        text(path).split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
    }

    /// The number after `name` at the start of a line.
    package static func number(of name: String, in path: String) -> Int? {
        for line in text(path).split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            if words.count >= 2, words[0] == name { return Int(words[1]) }
        }
        return nil
    }
}
