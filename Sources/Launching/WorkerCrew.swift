import Coordination
import Foundation
import Glibc
import Platform
import Synchronization

/// The processes of the workers that `launch` starts; who is started anew, and when, is its launcher's machine's.
///
/// Processes are started by one thread, which lives as long as the crew: the kernel ends them with it.
package final class WorkerCrew: Sendable {
    /// How a worker is started.
    package struct Options: Sendable {
        package var coordinator: String
        package var threads: Int
        package var logs: String
        /// What the command line of the worker of a seat says about its keys; keys themselves never stand there.
        package var security: @Sendable (_ seat: Int) -> [String]
        /// How workers are started on other hosts; nil where all are of this one.
        package var remote: RemoteWorkers?
        /// Says what is done, for the log.
        package var say: @Sendable (String) -> Void

        package init(
            coordinator: String,
            threads: Int,
            logs: String,
            security: @escaping @Sendable (_ seat: Int) -> [String] = { _ in [] },
            remote: RemoteWorkers? = nil,
            say: @escaping @Sendable (String) -> Void
        ) {
            self.coordinator = coordinator
            self.threads = threads
            self.logs = logs
            self.security = security
            self.remote = remote
            self.say = say
        }
    }

    private struct State: Sendable {
        /// Which seats are to be filled, and when.
        var due: [(seat: Int, at: ContinuousClock.Instant)] = []
        var isClosed = false
    }

    private let options: Options
    private let launcher: LauncherShell
    private let workers = LocalWorkers()
    private let spawner: SerialThread
    private let state = Mutex(State())
    private let condition = ThreadCondition()

    init(_ options: Options, _ launcher: LauncherShell) throws {
        self.options = options
        self.launcher = launcher
        spawner = try SerialThread(name: "pleura-spawn")
    }

    /// Starts `count` workers and keeps them at that number until `close`.
    ///
    /// Throws where one cannot be started.
    package func start(_ count: Int) throws {
        let failure = Mutex<(any Error)?>(nil)
        let done = CountDown(1)
        spawner.submit { [self] in
            do {
                for seat in 0..<count { try spawn(seat) }
            } catch { failure.withLock { $0 = error } }
            done.signal()
        }
        done.wait()
        if let error = failure.withLock({ $0 }) { throw error }
        spawner.submit { [self] in tend() }
    }

    /// Has a worker started at the seat when the delay is over.
    func fill(_ seat: Int, after delay: Duration) {
        state.withLock { $0.due.append((seat, .now + delay)) }
        condition.signal()
    }

    /// Ends the worker's process at once, where it still runs.
    func kill(incarnation: UInt64) { workers.kill(incarnation: incarnation) }

    /// Starts no more workers, waits for those there are to end by themselves, then ends what is left.
    package func close(after patience: Duration) {
        launcher.deliver(.closed)
        state.withLock { $0.isClosed = true }
        condition.signal()
        workers.stop(after: patience)
        spawner.close()
    }

    // MARK: The spawning thread

    /// Fills seats as they fall due, until the crew is closed.
    private func tend() {
        while true {
            let seen = condition.ticket
            let now = ContinuousClock.now
            let (seat, isClosed) = state.withLock { state -> (Int?, Bool) in
                guard let index = state.due.firstIndex(where: { $0.at <= now }) else { return (nil, state.isClosed) }
                return (state.due.remove(at: index).seat, state.isClosed)
            }
            if isClosed { return }
            guard let seat else {
                condition.wait(since: seen)
                continue
            }
            do { try spawn(seat) } catch {
                options.say("A worker could not be started anew: \(error)")
                launcher.deliver(.seatNotFilled(seat))
            }
        }
    }

    private func spawn(_ seat: Int) throws {
        let incarnation = UInt64.random(in: 1 ... .max)
        let log = "\(options.logs)/worker-\(seat).log"
        let start = FileSystem.exists(log) ? try FileSystem.size(of: log) : 0
        launcher.deliver(.seatFilled(seat, incarnation: incarnation))
        let remote = try options.remote?.launch(
            seat: seat,
            incarnation: incarnation,
            coordinator: options.coordinator,
            log: log
        )
        _ = try workers.start(
            program: remote?.program ?? .own,
            arguments: remote?.arguments ?? [
                "worker", "--coordinator", options.coordinator, "--threads", "\(options.threads)",
                "--incarnation", "\(incarnation)", "--parent", "\(getpid())",
            ] + options.security(seat),
            log: log,
            incarnation: incarnation,
            channel: remote?.channel
        ) { [launcher] child, ended in
            let cause = remote?.cause(ended) ?? ended
            launcher.deliver(
                .workerEnded(
                    LauncherMachine.WorkerEnd(
                        incarnation: child.incarnation,
                        process: child.process,
                        cause: cause,
                        note: remote?.note(cause, log: log) ?? LocalWorkers.note(log: log, from: start),
                        wasReached: remote?.wasReached ?? true
                    ),
                    seat: seat
                )
            )
        }
    }
}
