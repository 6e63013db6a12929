import Diagnostics

/// Why a coordinator cannot lead, or cannot keep what it was sent.
enum CoordinatorError: ReportableError, Equatable {
    /// Standard input has no order of `launch`.
    case noOrder
    /// A worker's part of a checkpoint came with another number of bytes than the worker has sent.
    case cutPart(UInt32, of: UInt32, bytes: UInt64, sent: UInt64)

    var exitStatus: ExitStatus {
        switch self {
        case .noOrder: .usage
        case .cutPart: .temporary
        }
    }

    var description: String {
        switch self {
        case .noOrder: "Standard input has no order for a coordinator: `pleura launch` starts one."
        case .cutPart(let part, let parts, let bytes, let sent):
            "Of part \(part) of \(parts), \(bytes) bytes have come and \(sent) were sent."
        }
    }
}
