package import Diagnostics
internal import Glibc

/// Paths as people type them where no shell has looked at them: behind `--set`, in YAML, behind an option's `=`.
package enum UserPath {
    /// The path with the home folder in the place of a leading `~`; any other path as it is.
    ///
    /// A shell does not put it there behind `=` or in quotes, and a folder that is called `~` invites `rm -r ~`. Throws
    /// where the path begins with the name of another user, or nobody knows where home is.
    package static func expanded(_ path: String) throws(UserPathError) -> String {
        try expanded(path, home: home)
    }

    static func expanded(_ path: String, home: String?) throws(UserPathError) -> String {
        guard path.utf8.first == UInt8(ascii: "~") else { return path }
        guard path == "~" || path.hasPrefix("~/") else { throw .otherUser(path) }
        guard let home, home.hasPrefix("/") else { throw .noHome(path) }
        let rest = path.dropFirst()
        return home == "/" && !rest.isEmpty ? String(rest) : home + rest
    }

    private static var home: String? {
        if let value = getenv("HOME"), value.pointee != 0 { return String(cString: value) }
        guard let entry = getpwuid(getuid()), let folder = entry.pointee.pw_dir else { return nil }
        return String(cString: folder)
    }
}

/// Why a path with `~` cannot be meant.
package enum UserPathError: ReportableError, Equatable {
    case otherUser(String)
    case noHome(String)

    package var exitStatus: ExitStatus { .usage }

    package var description: String {
        switch self {
        case .otherUser(let path):
            "`\(path)` begins with the home folder of another user, which is not looked up. Write the folder's whole path; "
                + "a folder of that very name is ./\(path)."
        case .noHome(let path):
            "`\(path)` begins with the home folder, and neither HOME nor the system says where that is. Write the whole path."
        }
    }
}
