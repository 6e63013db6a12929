import Coordination
import CoordinatorRuntime
import Diagnostics
import Foundation
import Glibc
import Platform
import RunFolder
import Storage
import Synchronization

/// What leads a run: in this process, or in one that this process watches.
protocol RunCoordinator: Sendable {
    /// Where workers connect, with real port numbers.
    var endpoint: String { get }
    /// Leads the run to its end; blocks the calling thread.
    func run() throws -> RunOutcome
    /// Tells it what the launcher has seen, or was asked.
    func tell(_ order: LauncherMachine.Order)
    /// A sentence of the launcher's, for the log.
    func say(_ sentence: String)
    func close()
}

extension CoordinatorShell: RunCoordinator {
    func tell(_ order: LauncherMachine.Order) {
        switch order {
        case .drain(let reason): drain(reason: reason)
        case .workerEnded(let end, let isReplaced):
            workerExited(
                incarnation: end.incarnation,
                process: end.process,
                end.cause,
                note: end.note,
                isReplaced: isReplaced
            )
        }
    }
}

/// Why a coordinator in a process of its own could not lead: its own words.
struct CoordinatorFailure: ReportableError {
    var description: String
    var exitStatus: ExitStatus
}

/// A coordinator in a child process: where it is killed, crashes, or stands still, another one takes over, as the launcher's
/// machine decides.
///
/// The workers wait for it and go on from their memory; what it leaves on disk is read by the next one. Create and run it
/// from one thread, which lives as long as the run: the kernel ends the coordinator with it.
final class SupervisedCoordinator: RunCoordinator {
    struct Options: Sendable {
        var order: CoordinatorOrder
        /// Hears what the coordinator says of the run, but for how it ended: `run` returns that.
        var hears: @Sendable (RunEvent) -> Void
    }

    private enum Event: Sendable {
        case said(RunEvent, process: pid_t)
        case ended(ExitCause, process: pid_t)
        case stopped(Bool, process: pid_t)
    }

    private struct Child: Sendable {
        var process: pid_t
        var link: LineChannel
    }

    let endpoint: String
    private let options: Options
    private let launcher: LauncherShell
    private let events: EventQueue<Event>
    private let leader = Mutex<Child?>(nil)
    private let endpoints: RunEndpoints

    /// Starts the coordinator; workers may connect from now on.
    init(_ options: Options, _ launcher: LauncherShell) throws {
        self.options = options
        self.launcher = launcher
        events = try EventQueue()
        let child = try Self.spawn(options.order, events)
        var listening: RunEndpoints?
        var failure: CoordinatorFailure?
        while listening == nil {
            for event in events.take(milliseconds: -1) {
                switch event {
                case .said(.listening(let endpoints), _): listening = endpoints
                case .said(.failed(let message, let status), _):
                    failure = CoordinatorFailure(
                        description: message,
                        exitStatus: ExitStatus(rawValue: status) ?? .internal
                    )
                case .ended(let cause, let process):
                    throw failure
                        ?? CoordinatorFailure(
                            description: "The coordinator (process \(process)) \(cause) before it could begin.",
                            exitStatus: .temporary
                        )
                case .said, .stopped: break
                }
            }
        }
        let known = listening ?? RunEndpoints(control: "", bulk: "")
        endpoints = known
        endpoint = known.control
        try known.write(RunDirectory(options.order.directory))
        leader.withLock { $0 = child }
        launcher.deliver(.coordinatorStarted(process: child.process, fencing: options.order.fencing))
    }

    func tell(_ order: LauncherMachine.Order) {
        let message: ToCoordinator
        switch order {
        case .drain(let reason): message = .drain(reason: reason)
        case .workerEnded(let end, let isReplaced):
            message = .exited(
                WorkerExit(
                    incarnation: end.incarnation,
                    process: end.process,
                    end.cause,
                    note: end.note,
                    isReplaced: isReplaced
                )
            )
        }
        // Where none leads, the machine has the next one told.
        _ = leader.withLock { $0?.link.send(message) }
    }

    func say(_ sentence: String) {
        let isSaid = leader.withLock { $0?.link.send(ToCoordinator.say(sentence)) ?? false }
        if !isSaid { StandardStream.error.say(sentence + "\n") }
    }

    func close() {
        // It has ended by itself, or is not wanted any more.
        let child = leader.withLock { child in
            defer { child = nil }
            return child
        }
        if let child { kill(child.process, SIGKILL) }
    }

    // MARK: Watching

    func run() throws -> RunOutcome {
        while true {
            leader.withLock { $0 }?.link.flush()
            for event in events.take(milliseconds: 500) {
                if let outcome = try obey(take(event)) { return outcome }
            }
            if let outcome = try obey(launcher.deliver(.tick)) { return outcome }
        }
    }

    /// Hands an event to the launcher's machine, or to whom else it is for.
    private func take(_ event: Event) -> [LauncherMachine.Action] {
        switch event {
        case .stopped(let isStopped, let process):
            return launcher.deliver(.coordinatorStopped(isStopped, process: process))
        case .ended(let cause, let process):
            leader.withLock { if $0?.process == process { $0 = nil } }
            return launcher.deliver(.coordinatorEnded(cause, process: process))
        case .said(let message, let process):
            // Of one that was succeeded nothing is heard.
            guard leader.withLock({ $0?.process == process }) else { return [] }
            options.hears(message)
            var word: LauncherMachine.Word?
            switch message {
            case .planned, .listening: break
            case .evicted(let incarnation): return launcher.deliver(.evicted(incarnation: incarnation))
            case .began: word = .began
            case .stepped(let step): word = .alive(completedSteps: step.completedSteps)
            case .alive(let steps): word = .alive(completedSteps: steps)
            case .ended(let ended): word = ended.outcome.map { .ended($0) }
            case .failed(let message, let status): word = .failed(message, status: status)
            }
            return word.map { launcher.deliver(.coordinatorSaid($0, process: process)) } ?? []
        }
    }

    /// Does what is left to the thread that leads the run; returns or throws how the run ended, where it has.
    private func obey(_ actions: [LauncherMachine.Action]) throws -> RunOutcome? {
        for action in actions {
            switch action {
            case .killCoordinator(let process): kill(process, SIGKILL)
            case .startCoordinator(let fencing, let delay): try succeed(above: fencing, after: delay)
            case .end(.outcome(let outcome)): return outcome
            case .end(.failure(let message, let status)):
                throw CoordinatorFailure(
                    description: message,
                    exitStatus: ExitStatus(rawValue: status) ?? .internal
                )
            case .end(.lost(var outcome)):
                let newest = try? RunDirectory(options.order.directory).store.list().last?.step
                outcome.savedSteps = newest.map { UInt64($0) }
                return outcome
            case .startWorker, .killWorker, .tell, .say, .warn: break  // The shell has done it.
            }
        }
        return nil
    }

    /// Starts the successor of a coordinator that has died.
    private func succeed(above fencing: UInt64, after delay: Duration) throws {
        let until = ContinuousClock.now + delay
        while ContinuousClock.now < until {
            // What the dead one had said last is heard; nobody else can be there.
            _ = events.take(milliseconds: Int32(clamping: Int((until - .now).seconds * 1000) + 1))
        }
        let history = (try? RunHistory(RunDirectory(options.order.directory))) ?? RunHistory()
        var order = options.order
        order.fencing = history.nextFencing(above: fencing)
        order.bind = endpoints.control
        order.bulkBind = endpoints.bulk
        order.reattaches = true
        let child = try Self.spawn(order, events)
        leader.withLock { $0 = child }
        launcher.deliver(.coordinatorStarted(process: child.process, fencing: order.fencing))
    }

    // MARK: The child

    /// Starts a coordinator with one end of a pair of sockets as its standard input, gives it its order, and watches it.
    private static func spawn(_ order: CoordinatorOrder, _ events: EventQueue<Event>) throws -> Child {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw SystemError.call("a connection to the coordinator", code: errno)
        }
        let link = LineChannel(ends[0])
        defer { Glibc.close(ends[1]) }
        // A group of its own: Ctrl-C is for the launcher, which drains.
        let process = try ChildProcess.spawn(.own, ["coordinate"], hasOwnGroup: true) { actions in
            posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        }
        link.send(ToCoordinator.order(order))
        let child = process
        let reader = try OwnedThread(name: "pleura-link") {
            link.receive(RunEvent.self) { events.push(.said($0, process: child)) }
        }
        // Its end is told after its last words.
        let watcher = try OwnedThread(name: "pleura-watch") {
            var status: Int32 = 0
            var end = ChildProcess.End.unknown
            while true {
                let found = waitpid(child, &status, WUNTRACED | WCONTINUED)
                if found < 0 && errno == EINTR { continue }
                if found == child, status & 0xFF == 0x7F {
                    events.push(.stopped(true, process: child))
                } else if found == child, status == 0xFFFF {
                    events.push(.stopped(false, process: child))
                } else {
                    end = found == child ? ChildProcess.end(status) : .unknown
                    break
                }
            }
            reader.join()
            events.push(.ended(ExitCause(end), process: child))
        }
        watcher.detach()
        return Child(process: process, link: link)
    }
}
