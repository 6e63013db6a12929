package import Coordination
import Foundation
import Glibc
import Platform
import Synchronization

/// The workers that `launch` starts: keeps them at their number, starting one anew that has died.
///
/// Processes are started by one thread, which lives as long as the crew: the kernel ends them with it.
package final class WorkerCrew: Sendable {
    /// How a worker is started, and who hears of its end.
    package struct Options: Sendable {
        package var coordinator: String
        package var threads: Int
        package var logs: String
        /// What the command line of the worker of a seat says about its keys; keys themselves never stand there.
        package var security: @Sendable (_ seat: Int) -> [String]
        /// How workers are started on other hosts; nil where all are of this one.
        package var remote: RemoteWorkers?
        /// How many workers may be started in the place of dead ones.
        package var respawns: Int
        /// Says what is done, for the log.
        package var say: @Sendable (String) -> Void
        /// A process has ended; whether another one takes its place.
        package var onExit: @Sendable (LocalWorkers.Child, ExitCause, _ note: String, _ isReplaced: Bool) -> Void

        package init(
            coordinator: String,
            threads: Int,
            logs: String,
            security: @escaping @Sendable (_ seat: Int) -> [String] = { _ in [] },
            remote: RemoteWorkers? = nil,
            respawns: Int,
            say: @escaping @Sendable (String) -> Void,
            onExit: @escaping @Sendable (LocalWorkers.Child, ExitCause, _ note: String, _ isReplaced: Bool) -> Void
        ) {
            self.coordinator = coordinator
            self.threads = threads
            self.logs = logs
            self.security = security
            self.remote = remote
            self.respawns = respawns
            self.say = say
            self.onExit = onExit
        }
    }

    private struct Seat: Sendable {
        var started = ContinuousClock.now
        /// Deaths of this seat's workers, one soon after the other.
        var deaths = 0
        /// Whether its host was ever reached, and may be again.
        var wasReached = false
        /// The process that sits there, and whether it was put out of the run.
        var incarnation: UInt64 = 0
        var isPutOut = false
        /// How often the seat's workers were put out.
        var evictions = 0
    }

    private struct State: Sendable {
        var seats: [Seat] = []
        /// Which seats are to be filled, and when.
        var due: [(seat: Int, at: ContinuousClock.Instant)] = []
        var respawned = 0
        var isClosed = false
    }

    private let options: Options
    private let workers = LocalWorkers()
    private let spawner: SerialThread
    private let state = Mutex(State())
    private let condition = ThreadCondition()

    package init(_ options: Options) throws {
        self.options = options
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
                for seat in 0..<count {
                    state.withLock { $0.seats.append(Seat()) }
                    try spawn(seat)
                }
            } catch { failure.withLock { $0 = error } }
            done.signal()
        }
        done.wait()
        if let error = failure.withLock({ $0 }) { throw error }
        spawner.submit { [self] in tend() }
    }

    /// Ends a worker that was put out of the run: it may be stopped, and would never end by itself.
    package func end(incarnation: UInt64) {
        state.withLock { state in
            guard let seat = state.seats.firstIndex(where: { $0.incarnation == incarnation }) else { return }
            state.seats[seat].isPutOut = true
        }
        workers.kill(incarnation: incarnation)
    }

    /// Starts no more workers, waits for those there are to end by themselves, then ends what is left.
    package func close(after patience: Duration) {
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
                retire(seat)
            }
        }
    }

    private func spawn(_ seat: Int) throws {
        let incarnation = UInt64.random(in: 1 ... .max)
        let log = "\(options.logs)/worker-\(seat).log"
        let start = FileSystem.exists(log) ? try FileSystem.size(of: log) : 0
        state.withLock { state in
            state.seats[seat].started = .now
            state.seats[seat].incarnation = incarnation
            state.seats[seat].isPutOut = false
        }
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
        ) { [self] child, ended in
            let cause = remote?.cause(ended) ?? ended
            let note = remote?.note(cause, log: log) ?? LocalWorkers.note(log: log, from: start)
            let wasReached = remote?.wasReached ?? true
            if wasReached { state.withLock { $0.seats[seat].wasReached = true } }
            let isReplaced =
                isWorthAnother(cause, seat) && retire(seat, counts: wasReached || cause != RemoteWorkers.unreachable)
            options.onExit(child, cause, note, isReplaced)
        }
    }

    /// Whether a worker that ended so may do better the next time: one that was killed, or that says so after a while;
    /// not one that left as asked, that cannot even begin, or whose data or configuration is wrong.
    ///
    /// A host that was reached before is tried again while it cannot be.
    private func isWorthAnother(_ cause: ExitCause, _ seat: Int) -> Bool {
        let (isOld, wasReached) = state.withLock { state in
            (.now - state.seats[seat].started > .seconds(5), state.seats[seat].wasReached)
        }
        switch cause {
        case .signal: return true
        case RemoteWorkers.unreachable: return options.remote != nil && wasReached
        case .exited(let status): return status == 75 && isOld
        }
    }

    /// Has the seat filled again, the later the more often its workers die; false where no more are to be started.
    ///
    /// `counts`: whether it is one of the respawns. A host that cannot be reached is tried until the run ends.
    @discardableResult
    private func retire(_ seat: Int, counts: Bool = true) -> Bool {
        let isRemote = options.remote != nil
        let delay = state.withLock { state -> Duration? in
            guard !state.isClosed, state.respawned < options.respawns else { return nil }
            if counts { state.respawned += 1 }
            if isRemote, state.seats[seat].isPutOut {
                // The network between hosts may be broken still: each return costs all the others a wait.
                state.seats[seat].evictions += 1
                let delay = Duration.seconds(min(300, 5 << min(6, state.seats[seat].evictions - 1)))
                state.due.append((seat, .now + delay))
                return delay
            }
            let lived = ContinuousClock.now - state.seats[seat].started
            state.seats[seat].deaths = lived > .seconds(10) ? 0 : state.seats[seat].deaths + 1
            let deaths = state.seats[seat].deaths
            let delay: Duration = deaths <= 1 ? .zero : .seconds(min(30, 1 << (deaths - 2)))
            state.due.append((seat, .now + delay))
            return delay
        }
        guard let delay else { return false }
        if delay > .zero { options.say("a worker is started anew in \(delay.inWords)") }
        condition.signal()
        return true
    }
}
