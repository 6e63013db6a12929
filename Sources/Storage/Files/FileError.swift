package import Diagnostics
internal import Glibc

/// A refusal of the operating system: what was asked of which file, and its reason.
package struct FileError: ReportableError, Equatable {
    /// A verb phrase such as "write" or "rename".
    package let operation: String
    package let path: String
    /// The value of `errno`.
    package let code: Int32

    package init(_ operation: String, path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    package var description: String {
        let reason = String(cString: strerror(code))
        let remedy =
            code == EFBIG
            ? ". It would exceed the limit on the size of files; raise it (ulimit -f)"
            : isNoSpace ? ". Free some space and run again" : ""
        return "Cannot \(operation) \(path): \(reason)\(remedy)."
    }

    package var exitStatus: ExitStatus {
        if isNoSpace { return .temporary }
        switch code {
        case ENOENT, ENOTDIR, EACCES, EPERM, EROFS: return .missingInput
        case EISDIR, ENAMETOOLONG, ELOOP: return .badInput
        default: return .temporary
        }
    }

    /// Whether the disk, the quota or a limit on the size of files is used up.
    package var isNoSpace: Bool { [ENOSPC, EDQUOT, EFBIG].contains(code) }
}

/// The disk, or the limit on the size of files, has less room than a file is known to need; found out before writing.
package struct InsufficientSpace: ReportableError, Equatable {
    package let directory: String
    package let neededBytes: Int
    package let availableBytes: Int
    /// Whether it is this process's limit on the size of files that leaves so little.
    private let isLimit: Bool

    package init(directory: String, neededBytes: Int, availableBytes: Int) {
        self.directory = directory
        self.neededBytes = neededBytes
        self.availableBytes = availableBytes
        isLimit = FileSystem.fileSizeLimit == availableBytes
    }

    /// What is needed and what is there, without advice.
    package var sentence: String {
        let need = "Writing to \(directory) needs \(neededBytes / 1_000_000 + 1) MB and "
        let room = availableBytes / 1_000_000
        return need
            + (isLimit
                ? "the limit on the size of files (ulimit -f) is \(room) MB." : "the disk has \(room) MB left.")
    }

    package var description: String {
        sentence + (isLimit ? " Raise the limit." : " Free some space, or choose another directory.")
    }

    package var exitStatus: ExitStatus { .temporary }
}
