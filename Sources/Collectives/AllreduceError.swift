package import Diagnostics
import Glibc
package import Messaging
import Platform
package import Reduction

/// Why a step's sums are not there, or why an all-reduce could not be set up.
package enum AllreduceError: ReportableError, Hashable {
    /// A peer ended, or the connection to it broke, before it had given what the sum needs.
    case peerLost(worker: ReductionPlan.Worker, how: String, missing: String, step: UInt64, after: Duration)
    /// Nobody is known to be dead, but the sums did not come in time.
    ///
    /// `behind` are the members that hold it up, as far as this worker sees.
    case timedOut(
        missing: [String],
        behind: [ReductionPlan.Worker],
        step: UInt64,
        generation: UInt32,
        after: Duration
    )
    /// A peer sent values that do not have the hash that it gave for them.
    case corrupted(worker: ReductionPlan.Worker, bucket: Int, step: UInt64)
    /// A later plan took the place of the one that was waited for.
    case superseded(step: UInt64, generation: UInt32)
    /// The plan cannot be followed here.
    case badPlan(String)
    /// A peer cannot be reached in the way that the transport asks for.
    case unreachable(worker: ReductionPlan.Worker, reason: String)
    /// This process may have no memory that others read; the call that says so.
    case noSharedMemory(String, code: Int32)
    /// A call of Linux failed.
    case system(String, code: Int32)
    case messaging(MessagingError)
    case closed

    package var description: String {
        switch self {
        case .peerLost(let worker, let how, let missing, let step, let after):
            return """
                Worker \(worker) was lost \(Self.seconds(after)) into the all-reduce of step \(step): \(how). \
                Still needed from it: \(missing).
                """
        case .timedOut(let missing, _, let step, let generation, let after):
            return """
                The all-reduce of step \(step) (generation \(generation)) did not finish in \(Self.seconds(after)): \
                \(missing.isEmpty ? "no worker is behind" : missing.joined(separator: "; ")).
                """
        case .corrupted(let worker, let bucket, let step):
            return """
                Worker \(worker) sent values of bucket \(bucket) in step \(step) that do not have the hash it gave for \
                them: they changed on the way. Check the memory and network of both machines.
                """
        case .superseded(let step, let generation):
            return "The all-reduce of step \(step) (generation \(generation)) was given up for a later plan."
        case .badPlan(let problem): return "The reduction plan cannot be followed: \(problem)."
        case .unreachable(let worker, let reason): return "Worker \(worker) cannot be reached: \(reason)."
        case .noSharedMemory(let call, let code):
            let limit = code == EFBIG ? " (the limit on the size of files, ulimit -f, holds for memory too)" : ""
            return "This process cannot get shared memory: \(call): \(MessagingError.reason(code))\(limit)."
        case .system(let what, let code): return "\(what): \(MessagingError.reason(code))."
        case .messaging(let error): return error.description
        case .closed: return "The all-reduce is closed."
        }
    }

    package var exitStatus: ExitStatus {
        switch self {
        case .peerLost, .timedOut, .corrupted, .unreachable, .noSharedMemory, .system: .temporary
        case .superseded, .badPlan, .closed: .internal
        case .messaging(let error): error.exitStatus
        }
    }

    private static func seconds(_ duration: Duration) -> String {
        duration.formatted(fractionalSeconds: 2)
    }
}

extension Duration {
    /// The duration in seconds.
    package var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }

    fileprivate func formatted(fractionalSeconds digits: Int) -> String {
        let scale = digits == 2 ? 100.0 : 1000.0
        return "\((inSeconds * scale).rounded() / scale) s"
    }
}
