import CZeroMQ
package import Diagnostics
import Glibc
package import Platform

/// Why a message could not be sent or a socket not be made.
package enum MessagingError: ReportableError, Hashable {
    /// A call of libzmq or Linux failed for `subject`, which is an endpoint or an option.
    case call(String, subject: String, code: Int32)
    /// The endpoint cannot be used as it is written.
    case endpoint(String, problem: String)
    /// A message is larger than the transport takes.
    case tooLarge(bytes: Int, limit: Int)
    /// So many bytes wait for a peer already that no more are taken.
    case queueFull(peer: String, queuedBytes: Int, limit: Int)
    /// This process may not have what libzmq needs.
    case refused(SystemError)
    /// The transport was closed before.
    case closed
    /// The transport had ended by a fault of its own.
    case failed(reason: String)

    package var description: String {
        switch self {
        case .call(let function, let subject, let code):
            let reason = String(cString: zmq_strerror(code))
            switch code {
            case EMFILE:
                return
                    "\(subject) cannot be opened: \(reason) in this process. Raise the limit on open files (ulimit -n)."
            case EADDRINUSE:
                return "Cannot listen on \(subject): \(reason). Choose another port, or `*` for any free one."
            case EADDRNOTAVAIL, ENODEV:
                return "Cannot use \(subject): this machine has no such address (\(reason)). Name one of its own."
            default:
                return "\(function) failed for \(subject): \(reason)."
            }
        case .endpoint(let endpoint, let problem):
            return "The endpoint `\(endpoint)` cannot be used: \(problem)."
        case .tooLarge(let bytes, let limit):
            return "A message has \(bytes) bytes, and the limit of this connection is \(limit)."
        case .queueFull(let peer, let queuedBytes, let limit):
            return """
                \(queuedBytes) bytes wait for \(peer) already, of \(limit) allowed: it does not read, or its connection \
                is down.
                """
        case .refused(let error): return error.description
        case .closed:
            return "The connection to the run's other processes is closed; nothing can be sent any more."
        case .failed(let reason):
            return "The connection to the run's other processes has failed; nothing can be sent any more: \(reason)"
        }
    }

    package var exitStatus: ExitStatus {
        switch self {
        case .call(_, _, let code):
            [EADDRINUSE, ECONNREFUSED, EMFILE, ENFILE, ENOMEM, EAGAIN, ENOBUFS].contains(code) ? .temporary : .usage
        case .endpoint: .usage
        case .tooLarge: .internal
        case .queueFull, .refused, .closed, .failed: .temporary
        }
    }
}

extension MessagingError {
    /// What `body` gives; a refusal of the system's is one of the messaging that needed it.
    static func whereRefused<Value>(_ body: () throws(SystemError) -> Value) throws(MessagingError) -> Value {
        do { return try body() } catch { throw .refused(error) }
    }

    /// What an error number of Linux or libzmq means, in words.
    package static func reason(_ code: Int32) -> String { String(cString: zmq_strerror(code)) }
}
