package import Diagnostics
import Foundation

/// Why a metrics file, an event file or a report could not be written or read.
package struct ReportingError: ReportableError, Equatable {
    /// What was being done: "append to".
    package let action: String
    /// The file.
    package let path: String
    /// The system's `errno`.
    package let code: Int32

    package init(action: String, path: String, code: Int32) {
        self.action = action
        self.path = path
        self.code = code
    }

    package var description: String {
        "Could not \(action) \(path): \(String(cString: strerror(code))). \(remedy)"
    }

    package var exitStatus: ExitStatus {
        switch code {
        case ENOENT, EACCES, EPERM, EROFS, ENOTDIR, EISDIR: .missingInput
        default: .temporary
        }
    }

    private var remedy: String {
        switch code {
        case EFBIG: "Raise the limit on the size of files (ulimit -f), then `pleura resume` the run."
        case ENOSPC, EDQUOT: "Free space on that disk, then `pleura resume` the run."
        case EACCES, EPERM, EROFS: "Check the permissions of the run's folder."
        case ENOENT, ENOTDIR, EISDIR: "Check that `run.directory` is a folder of this run."
        default: "Check the disk that holds the run's folder."
        }
    }
}
