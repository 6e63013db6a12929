internal import CSystem
internal import Glibc

/// This program's own file, for children that run it too.
///
/// A program that is rebuilt or installed anew while it runs must start its children from the file that it runs itself, which
/// has no name any more: through a descriptor that is kept from its start.
package struct OwnProgram: Sendable {
    /// That of this process.
    package static let shared = OwnProgram()

    /// What to hand to `posix_spawn`; nil where the file cannot be found.
    package let path: String?
    /// What the process is called in lists of processes and in messages.
    package let name: String

    private init() {
        let first = system_argument(0).map { String(cString: $0) } ?? ""
        let descriptor = system_own_program()
        let link = "/proc/self/fd/\(descriptor)"
        if descriptor >= 0, access(link, X_OK) == 0 {
            path = link
            name = Self.target(of: link) ?? (first.isEmpty ? "pleura" : first)
            return
        }
        // Without /proc: as the shell has found it, before the working folder changes.
        path = Self.find(first, in: getenv("PATH").map { String(cString: $0) } ?? "")
        name = path ?? (first.isEmpty ? "pleura" : first)
    }

    /// The absolute path of a program as the first word of a command line names it; nil where there is none.
    package static func find(_ word: String, in searchPath: String) -> String? {
        if word.isEmpty { return nil }
        let candidates =
            word.contains("/")
            ? [word]
            : searchPath.split(separator: ":", omittingEmptySubsequences: false).map {
                "\($0.isEmpty ? "." : $0)/\(word)"
            }
        for candidate in candidates where access(candidate, X_OK) == 0 {
            guard let found = realpath(candidate, nil) else { continue }
            defer { free(found) }
            return String(cString: found)
        }
        return nil
    }

    /// The target of a link in /proc, without the kernel's note that the file was deleted.
    private static func target(of link: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = bytes.withUnsafeMutableBytes { buffer in
            buffer.baseAddress.map { readlink(link, $0, buffer.count) } ?? -1
        }
        guard count > 0 else { return nil }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        let note = " (deleted)"
        return text.hasSuffix(note) ? String(text.dropLast(note.count)) : text
    }
}
