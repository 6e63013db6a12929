import Foundation
import Glibc
package import Messaging
import Platform

/// Held by the one leader of a run's folder; the kernel lets go of it when the process ends, however it ends.
///
/// Where the file system has no locks, a second file stands for it, which names its holder: whether that still runs can
/// be told on its own host only.
package final class RunLock: Sendable {
    /// Who holds a lock, as its file says.
    package struct Holder: Codable, Sendable, Equatable {
        /// New with each taking of the lock: what was meant for one holder is not the next one's.
        package var session: String
        package var host: String
        /// The boot of that host.
        package var boot: String
        package var process: Int32
        /// When the process began, in the kernel's ticks since the boot; 0 where that is not known.
        package var started: UInt64

        package static func current() -> Holder {
            Holder(
                session: RunIdentity.fresh(),
                host: HostName.own,
                boot: Self.bootID,
                process: getpid(),
                started: Self.start(of: getpid()) ?? 0
            )
        }

        static let bootID: String = {
            let text = (try? OpenFile("/proc/sys/kernel/random/boot_id", .read)).flatMap { file -> String? in
                // A file of /proc has no size.
                var bytes = [UInt8](repeating: 0, count: 64)
                let count = (try? bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }) ?? 0
                return String(decoding: bytes.prefix(count), as: UTF8.self)
            }
            return text?.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        }()

        /// When a process of this host began; nil where there is none, or that cannot be told.
        static func start(of process: Int32) -> UInt64? {
            guard let file = try? OpenFile("/proc/\(process)/stat", .read) else { return nil }
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = (try? bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }) ?? 0
            // The program's name, in brackets, may hold anything.
            let text = String(decoding: bytes.prefix(count), as: UTF8.self)
            guard let bracket = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: bracket)...].split(separator: " ")
            return fields.count > 19 ? UInt64(fields[19]) : nil
        }

        /// Whether the holder is of this host, and so can be looked for.
        var isHere: Bool { host == HostName.own && (boot.isEmpty || Self.bootID.isEmpty || boot == Self.bootID) }

        /// Whether the holder runs; nil where that cannot be told from here.
        package var isAlive: Bool? {
            if host != HostName.own { return nil }
            if !isHere { return false }
            guard kill(process, 0) == 0 || errno == EPERM else { return false }
            guard started > 0, let found = Self.start(of: process) else { return nil }
            return found == started
        }
    }

    /// Whether anybody leads a run.
    package enum State: Sendable, Equatable {
        case held(Holder?)
        case free
        /// It cannot be told from here; the holder is the last one known.
        case unknown(Holder?)
    }

    private let descriptor: Int32
    /// The file that stands for the lock; nil where there is a real one.
    private let substitute: String?
    package let holder: Holder
    /// What the user should know: the file system has no locks.
    package let warning: String?

    private static let fileName = ".lock"
    private static let substituteName = ".lock-holder"

    /// `taking` asks the kernel for the lock of a descriptor, and returns 0 or the value of `errno`.
    package init(_ directory: String, taking: (Int32) -> Int32 = RunLock.take) throws {
        let path = "\(directory)/\(Self.fileName)"
        let opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o666)
        guard opened >= 0 else {
            throw RunError.cannotUse(directory: directory, reason: String(cString: strerror(errno)))
        }
        let holder = Holder.current()
        var code = taking(opened)
        // Whoever asks whether the run is led holds the lock for an instant.
        for _ in 0..<5 where code == EWOULDBLOCK {
            poll(nil, 0, 10)
            code = taking(opened)
        }
        var substitute: String?
        if Self.saysNoLocks(code) {
            substitute = "\(directory)/\(Self.substituteName)"
            do {
                try Self.take(substitute: "\(directory)/\(Self.substituteName)", holder, of: directory)
            } catch {
                close(opened)
                throw error
            }
        } else if code != 0 {
            defer { close(opened) }
            if code == EWOULDBLOCK { throw RunError.busy(directory, Self.read(path)) }
            throw RunError.cannotUse(directory: directory, reason: "its lock: \(String(cString: strerror(code)))")
        }
        descriptor = opened
        self.substitute = substitute
        self.holder = holder
        warning =
            substitute.map {
                "The file system of \(directory) has no locks (\(String(cString: strerror(code)))): the file \($0) stands for "
                    + "one. Start nothing else in this folder from another host. Lustre has locks where it is mounted with "
                    + "-o flock, NFS where its lock service runs (or as version 4)."
            }
        let text = Array((try JSONEncoder().encode(holder))) + [UInt8(ascii: "\n")]
        // For others to read; the lock holds without it.
        if ftruncate(opened, 0) == 0 { _ = pwrite(opened, text, text.count, 0) }
    }

    deinit {
        if let substitute, let file = try? OpenFile(regularAt: substitute), let bytes = try? file.readAll(limit: 4096),
            (try? JSONDecoder().decode(Holder.self, from: Data(bytes))) == holder
        {
            unlink(substitute)
        }
        // A process that another thread is just starting holds a copy of the descriptor until it runs its own program:
        // closing ours alone would keep the lock until then.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    private static func take(_ descriptor: Int32) -> Int32 {
        flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? 0 : errno
    }

    /// Whether `flock` has failed because there is no such service, and not because somebody holds the lock.
    ///
    /// 524 is the kernel's own ENOTSUPP, which some file systems let through.
    package static func saysNoLocks(_ code: Int32) -> Bool {
        [ENOLCK, ENOSYS, EOPNOTSUPP, EINVAL, 524].contains(code)
    }

    private static func read(_ path: String) -> Holder? {
        guard let bytes = try? OpenFile(regularAt: path).readAll(limit: 4096) else { return nil }
        return try? JSONDecoder().decode(Holder.self, from: Data(bytes))
    }

    /// Makes the file that stands for the lock: by a link, which either comes to be or does not, on any file system.
    private static func take(substitute path: String, _ holder: Holder, of directory: String) throws {
        let file = try FileSystem.createTemporary(for: path)
        defer { unlink(file.path) }
        let text = try JSONEncoder().encode(holder)
        try text.withUnsafeBytes { try file.write($0, at: 0) }
        try file.sync()
        for _ in 0..<3 {
            if link(file.path, path) == 0 { return }
            let code = errno
            guard code == EEXIST else {
                throw RunError.cannotUse(directory: directory, reason: "its lock: \(String(cString: strerror(code)))")
            }
            let found = read(path)
            guard let found, found.isAlive == false else { throw RunError.busyWithoutLocks(directory, path, found) }
            // It has died. Moved aside before it is removed: another process may have come first.
            let aside = FileSystem.temporaryPath(for: path)
            guard rename(path, aside) == 0 else { continue }
            let moved = read(aside)
            if moved != found {
                // Somebody took the lock in between: it is put back.
                _ = link(aside, path)
            }
            unlink(aside)
        }
        throw RunError.busyWithoutLocks(directory, path, read(path))
    }

    /// Whether anybody leads the run in `directory`.
    package static func state(of directory: RunDirectory) -> State {
        let path = "\(directory.path)/\(fileName)"
        let opened = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard opened >= 0 else { return errno == ENOENT ? .free : .unknown(nil) }
        defer { close(opened) }
        let holder = read(path)
        let code = flock(opened, LOCK_SH | LOCK_NB) == 0 ? 0 : errno
        if code == 0 { flock(opened, LOCK_UN) }
        if code == EWOULDBLOCK { return .held(holder) }
        if let substitute = read("\(directory.path)/\(substituteName)") {
            switch substitute.isAlive {
            case true?: return .held(substitute)
            case false?: return .free
            case nil: return .unknown(substitute)
            }
        }
        if code != 0 && !saysNoLocks(code) { return .unknown(holder) }
        // Locks of another host do not reach here on every file system.
        if let holder, holder.host != HostName.own { return .unknown(holder) }
        return .free
    }
}

/// The name of this host, as others are told it.
extension HostName {
    /// Control characters, which no message may hold, are `_`; at most 253 bytes, as in the domain name system.
    package static let own = plain(ProcessInfo.processInfo.hostName)

    package static func plain(_ name: String) -> String {
        var result = ""
        for scalar in name.unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control || scalar.properties.isWhitespace
            let next = isControl ? "_" : String(scalar)
            if result.utf8.count + next.utf8.count > 253 { break }
            result += next
        }
        return result.isEmpty ? "unknown" : result
    }
}
