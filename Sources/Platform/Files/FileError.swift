package import Diagnostics
internal import Glibc

/// A refusal of the operating system: what was asked of which file, and its reason.
package struct FileError: ReportableError, Equatable {
    /// A verb phrase such as "write" or "rename".
    package let operation: String
    package let path: String
    /// The value of `errno`.
    package let code: Int32
    /// What was found, where the system's words for `code` would mislead; no full stop.
    package let detail: String?

    package init(_ operation: String, path: String, code: Int32, detail: String? = nil) {
        self.operation = operation
        self.path = path
        self.code = code
        self.detail = detail
    }

    package var description: String {
        let reason = detail ?? String(cString: strerror(code))
        let remedy =
            detail == nil && code == EFBIG
            ? ". It would exceed the limit on the size of files; raise it (ulimit -f)"
            : isNoSpace ? ". Free some space and run again" : ""
        return "Cannot \(operation) \(path): \(reason)\(remedy)."
    }

    package var exitStatus: ExitStatus {
        if isNoSpace { return .temporary }
        switch code {
        case ENOENT, ENOTDIR, EACCES, EPERM, EROFS: return .missingInput
        case EISDIR, ENAMETOOLONG, ELOOP, EFBIG: return .badInput
        default: return .temporary
        }
    }

    /// Whether the disk, the quota or a limit on the size of files is used up.
    ///
    /// A file that is larger than its reader takes has the code of such a limit too, and a `detail`.
    package var isNoSpace: Bool { [ENOSPC, EDQUOT, EFBIG].contains(code) && detail == nil }
}

/// The disk, or the limit on the size of files, has less room than a file is known to need; found out before writing.
package struct InsufficientSpace: ReportableError, Equatable {
    package let directory: String
    package let neededBytes: Int
    package let availableBytes: Int
    /// Whether the file system can hold no more files, whatever room for bytes it has.
    package let isOutOfFiles: Bool
    /// Whether it is this process's limit on the size of files that leaves so little.
    private let isLimit: Bool

    package init(directory: String, neededBytes: Int, availableBytes: Int, isOutOfFiles: Bool = false) {
        self.directory = directory
        self.neededBytes = neededBytes
        self.availableBytes = availableBytes
        self.isOutOfFiles = isOutOfFiles
        isLimit = FileSystem.fileSizeLimit == availableBytes
    }

    /// What is needed and what is there, without advice.
    package var sentence: String {
        if isOutOfFiles {
            return "No file can be made in \(directory): its file system has no inodes left (`df -i`), though "
                + "\(availableBytes / 1_000_000) MB of room."
        }
        let need = "Writing to \(directory) needs \(neededBytes / 1_000_000 + 1) MB and "
        let room = availableBytes / 1_000_000
        if isLimit { return need + "the limit on the size of files (ulimit -f) is \(room) MB." }
        if availableBytes >= neededBytes {
            return need
                + "the system refuses them though the disk has \(room) MB left: a quota or a limit on the size of files "
                + "(`ulimit -f`) is used up."
        }
        return need + "the disk has \(room) MB left."
    }

    package var description: String {
        if isOutOfFiles { return sentence + " Remove some files, or choose another directory." }
        return sentence + (isLimit ? " Raise the limit." : " Free some space, or choose another directory.")
    }

    package var exitStatus: ExitStatus { .temporary }
}
