import Diagnostics

/// Why a host gives no answer.
enum ProbeError: ReportableError {
    case ended(String)
    case silent(String)
    case otherVersion

    /// All of them may pass: by starting the host, or by installing the same build there.
    var exitStatus: ExitStatus { .temporary }

    var description: String {
        switch self {
        case .ended(let sentence), .silent(let sentence): sentence
        case .otherVersion: "the probe there is of another version"
        }
    }
}
