internal import CSystem
internal import Glibc

/// The control groups of this process: what a container or a job's scheduler allows it.
package struct ControlGroups: Sendable {
    /// Pairs of a controller's name, empty for the unified hierarchy, and a path below its mount.
    private let memberships: [(controllers: [String], path: [String])]
    /// Where the hierarchies are mounted.
    private let mount: String

    /// Those of this process.
    package static var current: ControlGroups {
        ControlGroups(text: contents(of: "/proc/self/cgroup") ?? "", mount: "/sys/fs/cgroup")
    }

    /// Groups after the text of a `/proc/PID/cgroup`, with the hierarchies mounted in the folder `mount`.
    package init(text: String, mount: String) {
        self.mount = mount
        memberships = text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { return nil }
            let path = fields[2].split(separator: "/").filter { $0 != ".." }.map(String.init)
            return (fields[1].split(separator: ",").map(String.init), path)
        }
    }

    /// How many processors' time the groups allow, by their quotas; nil where none has one.
    package var processors: Double? {
        var least: Double?
        for folder in folders(of: "cpu") {
            var quota: Double?
            // "max 100000", or microseconds in each period of so many.
            if let words = Self.words(of: "\(folder)/cpu.max"), words.count == 2 {
                if let time = Double(words[0]), let period = Double(words[1]), period > 0 { quota = time / period }
            } else if let time = Self.number("\(folder)/cpu.cfs_quota_us"), time > 0,
                let period = Self.number("\(folder)/cpu.cfs_period_us"), period > 0
            {
                quota = time / period
            }
            if let quota, quota > 0 { least = min(least ?? quota, quota) }
        }
        return least
    }

    /// The least number in the file `name` of the controller's groups; nil where none has one.
    package func least(_ name: String, of controller: String) -> Int? {
        folders(of: controller).compactMap { Self.number("\($0)/\(name)").map { Int($0) } }.min()
    }

    /// The folders of the groups with a controller, the innermost first: limits of those around it hold too.
    private func folders(of controller: String) -> [String] {
        var folders: [String] = []
        for membership in memberships {
            let roots: [String]
            if membership.controllers.isEmpty {
                roots = [mount]
            } else if membership.controllers.contains(controller) {
                // A hierarchy of several controllers has a folder of all names, and links of each.
                roots = ["\(mount)/\(membership.controllers.joined(separator: ","))", "\(mount)/\(controller)"]
            } else {
                continue
            }
            for root in roots {
                var path = membership.path
                while true {
                    folders.append(([root] + path).joined(separator: "/"))
                    if path.popLast() == nil { break }
                }
            }
        }
        return folders
    }

    private static func words(of path: String) -> [Substring]? {
        contents(of: path)?.split(whereSeparator: \.isWhitespace)
    }

    private static func number(_ path: String) -> Double? { words(of: path)?.first.flatMap { Double($0) } }

    /// The first 64 KiB of a small file of the kernel's; nil where it cannot be read.
    private static func contents(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        var count = 0
        while count < bytes.count {
            let read = bytes.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { Glibc.read(descriptor, $0 + count, buffer.count - count) } ?? -1
            }
            if read < 0 && errno == EINTR { continue }
            guard read > 0 else { break }
            count += read
        }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}

/// The processors that this process may use.
package enum UsableProcessors {
    /// How many, by its affinity (`taskset`, a job's cpuset) and its control groups' quotas, rounded up; at least 1.
    package static var count: Int {
        count(affinity: Int(system_affinity_count()), quota: ControlGroups.current.processors)
    }

    /// The processors of an affinity mask, 0 where that is not known, under a quota.
    package static func count(affinity: Int, quota: Double?) -> Int {
        let all = affinity > 0 ? affinity : max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        guard let quota else { return all }
        return max(1, min(all, Int(min(quota.rounded(.up), 1e6))))
    }

    /// What limits the processors, for messages: "of the machine's 64, by this process's affinity".
    package static var limits: String {
        let all = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        var causes: [String] = []
        let affinity = Int(system_affinity_count())
        if affinity > 0 && affinity < all { causes.append("its affinity allows \(affinity) of \(all)") }
        if let quota = ControlGroups.current.processors, quota < Double(all) {
            causes.append("its control group allows the time of \(quota)")
        }
        return causes.joined(separator: ", ")
    }
}
