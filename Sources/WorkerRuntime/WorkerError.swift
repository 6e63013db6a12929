package import Coordination
package import Diagnostics

/// Why a worker cannot begin, or cannot go on.
package enum WorkerError: ReportableError, Equatable {
    /// The connection for files and tensors carries nothing any more, or the coordinator does not answer on it.
    case bulk(String)
    /// The data set is not there, is another one, or was changed: what was found, and what to do.
    case dataset(String)
    /// The cache for fetched data sets has no room, and has none for others' sake where it `mayPass`.
    case cache(String, mayPass: Bool)
    /// A member whose data plane cannot be reached, for what it has said of it.
    case address(worker: WorkerNumber, String)
    /// The coordinator asked for what is no part of the run.
    case order(String)
    /// The user asked for a fault that there is not.
    case fault(String)

    package var exitStatus: ExitStatus {
        switch self {
        case .bulk: .temporary
        case .dataset: .badInput
        case .cache(_, let mayPass): mayPass ? .temporary : .badInput
        case .address, .order: .internal
        case .fault: .usage
        }
    }

    package var description: String {
        switch self {
        case .bulk(let sentence), .dataset(let sentence), .cache(let sentence, _), .address(_, let sentence),
            .order(let sentence), .fault(let sentence):
            sentence
        }
    }
}
