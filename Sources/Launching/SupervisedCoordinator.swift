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
    func drain(reason: String)
    func workerExited(incarnation: UInt64, process: Int32, _ cause: ExitCause, note: String, isReplaced: Bool)
    /// A sentence of the launcher's, for the log.
    func say(_ sentence: String)
    func close()
}

extension CoordinatorShell: RunCoordinator {}

/// Why a coordinator in a process of its own could not lead: its own words.
struct CoordinatorFailure: ReportableError {
    var description: String
    var exitStatus: ExitStatus
}

/// A coordinator in a child process: where it is killed, crashes, or stands still, another one takes over.
///
/// The workers wait for it and go on from their memory; what it leaves on disk is read by the next one. Create and run it
/// from one thread, which lives as long as the run: the kernel ends the coordinator with it.
final class SupervisedCoordinator: RunCoordinator {
    struct Options: Sendable {
        var order: CoordinatorOrder
        /// The steps of the checkpoint that the run goes on from.
        var savedSteps: UInt64?
        /// How long a coordinator may be stopped (SIGSTOP) before another one takes over.
        var silence: Duration
        /// How long its loop may stand still.
        var standstill: Duration
        var onEviction: @Sendable (UInt64) -> Void
        var onPeak: @Sendable (Int) -> Void
    }

    private enum Event: Sendable {
        case said(FromCoordinator, process: pid_t)
        case ended(ExitCause, process: pid_t)
        case stopped(Bool, process: pid_t)
    }

    private struct Child: Sendable {
        var process: pid_t
        var link: LineChannel
    }

    private struct State: Sendable {
        var child: Child?
        /// What every coordinator of the run must hear.
        var history: [ToCoordinator] = []
    }

    /// Requests to end: the first, and the first of those that come a second or more later.
    private struct Requests: Sendable {
        var first: ContinuousClock.Instant?
        var second: ContinuousClock.Instant?
    }

    /// A later request to end counts as a second one, as the coordinator's machine has it.
    private static let secondRequest = Duration.seconds(1)
    /// How long a coordinator may take to stop at once; then it does not hear, and is ended.
    private static let stopPatience = Duration.seconds(5)
    /// A longer time between two looks is this process's own standing still, as by Ctrl-Z, and not the coordinator's.
    private static let longestLook = Duration.seconds(3)
    /// Deaths, one after the other without a step between, after which the run ends.
    private static let maximumBarrenDeaths = 4

    let endpoint: String
    private let options: Options
    private let events: EventQueue<Event>
    private let state = Mutex(State())
    private let requests = Mutex(Requests())
    private let begun = Atomic<Bool>(false)
    private let first: pid_t
    private let endpoints: RunEndpoints

    /// Whether the run has begun: its workers hold it in their memory.
    var hasBegun: Bool { begun.load(ordering: .acquiring) }

    /// Starts the coordinator; workers may connect from now on.
    init(_ options: Options) throws {
        self.options = options
        events = try EventQueue()
        let child = try Self.spawn(options.order, events)
        first = child.process
        var listening: RunEndpoints?
        var failure: CoordinatorFailure?
        while listening == nil {
            for event in events.take(milliseconds: -1) {
                switch event {
                case .said(.listening(let control, let bulk), _):
                    listening = RunEndpoints(control: control, bulk: bulk)
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
        state.withLock { $0.child = child }
    }

    func drain(reason: String) {
        tell(.drain(reason: reason))
        requests.withLock { requests in
            guard let first = requests.first else {
                requests.first = .now
                return
            }
            if .now - first >= Self.secondRequest { requests.second = requests.second ?? .now }
        }
    }

    func workerExited(incarnation: UInt64, process: Int32, _ cause: ExitCause, note: String, isReplaced: Bool) {
        tell(
            .exited(
                WorkerExit(incarnation: incarnation, process: process, cause, note: note, isReplaced: isReplaced)
            )
        )
    }

    func say(_ sentence: String) {
        let isSaid = state.withLock { $0.child?.link.send(ToCoordinator.say(sentence)) ?? false }
        if !isSaid { StandardStream.error.say(sentence + "\n") }
    }

    func close() {
        // It has ended by itself, or is not wanted any more.
        let child = state.withLock { state in
            defer { state.child = nil }
            return state.child
        }
        if let child { kill(child.process, SIGKILL) }
    }

    private func tell(_ message: ToCoordinator) {
        state.withLock { state in
            state.history.append(message)
            state.child?.link.send(message)
        }
    }

    // MARK: Watching

    /// What is known of the coordinator that leads at present.
    private struct Watch {
        var process: pid_t
        var fencing: UInt64
        var completedSteps: UInt64 = 0
        var lastBeat = ContinuousClock.now
        var stoppedSince: ContinuousClock.Instant?
        var outcome: RunOutcome?
        var failure: CoordinatorFailure?
        /// Deaths since the last step.
        var barrenDeaths = 0
        /// Whether it was ended because it did not stop when it was told to.
        var isGivenUp = false
    }

    func run() throws -> RunOutcome {
        var watch = Watch(process: first, fencing: options.order.fencing)
        var lastLook = ContinuousClock.now
        while true {
            if .now - lastLook > Self.longestLook {
                watch.lastBeat = .now
                if watch.stoppedSince != nil { watch.stoppedSince = .now }
            }
            lastLook = .now
            state.withLock { $0.child }?.link.flush()
            for event in events.take(milliseconds: 500) {
                switch event {
                case .said(let message, let process) where process == watch.process: take(message, &watch)
                case .stopped(let isStopped, let process) where process == watch.process:
                    watch.stoppedSince = isStopped ? .now : nil
                    watch.lastBeat = .now
                case .ended(let cause, let process) where process == watch.process:
                    state.withLock { $0.child = nil }
                    if let outcome = watch.outcome { return outcome }
                    if let failure = watch.failure { throw failure }
                    if watch.isGivenUp { return lost(givenUp(watch), watch, kind: .stopped) }
                    if let outcome = try succeed(cause, &watch) { return outcome }
                case .said, .stopped, .ended: break  // Of one that was succeeded.
                }
            }
            checkDeadlines(&watch)
        }
    }

    private func take(_ message: FromCoordinator, _ watch: inout Watch) {
        watch.lastBeat = .now
        switch message {
        case .listening: break
        case .began: begun.store(true, ordering: .releasing)
        case .evicted(let incarnation): options.onEviction(incarnation)
        case .peak(let bytes): options.onPeak(bytes)
        case .alive(let steps):
            if steps > watch.completedSteps { watch.barrenDeaths = 0 }
            watch.completedSteps = max(watch.completedSteps, steps)
        case .ended(let ended): watch.outcome = ended.outcome
        case .failed(let message, let status):
            watch.failure = CoordinatorFailure(
                description: message,
                exitStatus: ExitStatus(rawValue: status) ?? .internal
            )
        }
    }

    /// Ends a coordinator that is stopped or stuck; its end is then an event like any other.
    private func checkDeadlines(_ watch: inout Watch) {
        if let second = requests.withLock({ $0.second }), .now - second > Self.stopPatience, !watch.isGivenUp {
            // Even with its last words said it may hang, on a disk for one.
            watch.isGivenUp = true
            kill(watch.process, SIGKILL)
            return
        }
        guard watch.outcome == nil, watch.failure == nil else { return }
        let reason: String
        if let since = watch.stoppedSince {
            guard .now - since > options.silence else { return }
            reason = "has been stopped for \((ContinuousClock.now - since).inWords)"
        } else {
            guard hasBegun, .now - watch.lastBeat > options.standstill else { return }
            reason = "has stood still for \((ContinuousClock.now - watch.lastBeat).inWords)"
        }
        StandardStream.error.say(
            "warning: The coordinator (process \(watch.process)) \(reason) at step \(watch.completedSteps); it is ended, "
                + "and another one takes over.\n"
        )
        watch.stoppedSince = nil
        watch.lastBeat = .now
        kill(watch.process, SIGKILL)
    }

    /// Starts the successor of a coordinator that has died.
    ///
    /// - Returns: nil where it leads now; how the run ended where there is none.
    private func succeed(_ cause: ExitCause, _ watch: inout Watch) throws -> RunOutcome? {
        let who = "The coordinator (process \(watch.process)) \(cause)"
        guard hasBegun || options.order.reattaches else {
            return lost("\(who) before the run began.", watch)
        }
        watch.barrenDeaths += 1
        guard watch.barrenDeaths <= Self.maximumBarrenDeaths else {
            return lost("\(who), the \(watch.barrenDeaths)th one without a step between.", watch)
        }
        let delay: Duration = watch.barrenDeaths <= 1 ? .zero : .seconds(1 << (watch.barrenDeaths - 2))
        let place = watch.completedSteps > 0 ? " after step \(watch.completedSteps)" : ""
        StandardStream.error.say(
            "warning: \(who)\(place); another one takes over\(delay > .zero ? " in \(delay.inWords)" : "").\n"
        )
        let until = ContinuousClock.now + delay
        while ContinuousClock.now < until {
            // What the dead one had said last is heard; nobody else can be there.
            _ = events.take(milliseconds: Int32(clamping: Int((until - .now).seconds * 1000) + 1))
        }
        let directory = RunDirectory(options.order.directory)
        let known = (try? RunHistory(directory).fencing) ?? 0
        var order = options.order
        order.fencing = max(known, watch.fencing) + 1
        order.bind = endpoints.control
        order.bulkBind = endpoints.bulk
        order.reattaches = true
        let child = try Self.spawn(order, events)
        state.withLock { state in
            state.child = child
            for message in state.history { child.link.send(message) }
        }
        watch.process = child.process
        watch.fencing = order.fencing
        watch.lastBeat = .now
        watch.stoppedSince = nil
        return nil
    }

    private func givenUp(_ watch: Watch) -> String {
        "The run was asked to stop at once; its coordinator (process \(watch.process)) did not within "
            + "\(Self.stopPatience.inWords) and was ended."
    }

    private func lost(_ sentence: String, _ watch: Watch, kind: RunOutcome.Kind = .workerLost) -> RunOutcome {
        let newest = try? RunDirectory(options.order.directory).store.list().last?.step
        return RunOutcome(
            kind: kind,
            message: sentence,
            completedSteps: max(watch.completedSteps, options.savedSteps ?? 0),
            savedSteps: newest.map { UInt64($0) }
        )
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
            link.receive(FromCoordinator.self) { events.push(.said($0, process: child)) }
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
