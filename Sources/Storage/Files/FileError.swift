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
        return "Cannot \(operation) \(path): \(reason)\(isNoSpace ? ". Free some space and run again" : "")."
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

/// The disk has less room than a file is known to need; found out before writing.
package struct InsufficientSpace: ReportableError, Equatable {
    package let directory: String
    package let neededBytes: Int
    package let availableBytes: Int

    package init(directory: String, neededBytes: Int, availableBytes: Int) {
        self.directory = directory
        self.neededBytes = neededBytes
        self.availableBytes = availableBytes
    }

    /// What is needed and what is there, without advice.
    package var sentence: String {
        "Writing to \(directory) needs \(neededBytes / 1_000_000 + 1) MB and the disk has "
            + "\(availableBytes / 1_000_000) MB left."
    }

    package var description: String { "\(sentence) Free some space, or choose another directory." }

    package var exitStatus: ExitStatus { .temporary }
}
