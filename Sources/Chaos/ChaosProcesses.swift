import Coordination
import Glibc
import Launching
import Platform
import Synchronization

/// The processes that chaos has started, and how they ended.
final class ChaosProcesses: Sendable {
    private let workers = LocalWorkers()
    private let ends = Mutex<[pid_t: ExitCause]>([:])
    private let alive = Mutex<Set<pid_t>>([])
    private let ended = ThreadCondition()

    /// Starts this program as a process whose output goes to the end of `log`.
    func start(_ arguments: [String], log: String) throws -> pid_t {
        let child = try workers.start(program: .own, arguments: arguments, log: log, incarnation: 0) {
            [self] child, cause in
            ends.withLock { $0[child.process] = cause }
            _ = alive.withLock { $0.remove(child.process) }
            ended.broadcast()
        }
        alive.withLock { alive in
            // It may have ended already.
            if ends.withLock({ $0[child.process] }) == nil { alive.insert(child.process) }
        }
        return child.process
    }

    /// How a process ended; nil while it runs.
    func end(of process: pid_t) -> ExitCause? { ends.withLock { $0[process] } }

    /// Sleeps until a process has ended, or so long; what else is waited for stands in other processes' files, which send
    /// no event.
    func wait(_ limit: Duration) {
        let deadline = ContinuousClock.now + limit
        let seen = ended.ticket
        while ContinuousClock.now < deadline, ended.ticket == seen {
            usleep(useconds_t(clamping: min(10_000, (deadline - .now).inNanoseconds / 1_000)))
        }
    }

    /// Ends all at once, stopped ones too, and waits for their ends.
    func endAll() {
        for process in alive.withLock({ $0 }) { kill(process, SIGKILL) }
        workers.stop(after: .zero)
    }
}
