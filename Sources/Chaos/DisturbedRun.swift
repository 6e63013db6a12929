import Configuration
import Coordination
import CoordinatorRuntime
import Foundation
import Glibc
import Launching
import Messaging
import Numerics
import Platform
import RunFolder

/// One run under faults, from its start to its last step.
///
/// Belongs to the thread that calls `run`.
final class DisturbedRun {
    let number: Int
    let directory: RunDirectory
    let seed: UInt64
    private(set) var events: [ChaosReport.Event] = []
    private(set) var resumes = 0

    private let chaos: ChaosRun
    private let reference: ChaosReport.Reference
    private let patience: Duration
    private let room: Int
    private let start: ContinuousClock.Instant
    private let end: ContinuousClock.Instant
    private let mostFaults: Int
    private let isInterrupted: ChaosInterruptFlag
    private let hasDisk: Bool

    private let processes = ChaosProcesses()
    private var draws: ChaosDraws
    private var tail: CommitTail
    private var launch: pid_t = 0
    private var disk: ChaosDisk?
    /// What has to be undone, and when: a pause, a full disk.
    private var undoings: [(at: ContinuousClock.Instant, undo: () -> Void)] = []
    /// Faults after which no step was committed yet: indices into `events`, with their moments on the clock of the metrics.
    private var open: [(event: Int, time: Double)] = []
    private var lastStep = -1
    private var lastProgress = ContinuousClock.now
    /// Commits since `launch` or `resume` was started last.
    private var commits = 0
    private var fruitlessResumes = 0
    private var next: (draw: ChaosDraw, due: ContinuousClock.Instant?)
    private var hasRefused = false

    var log: String { "\(directory.path).log" }

    init(
        chaos: ChaosRun,
        number: Int,
        directory: RunDirectory,
        reference: ChaosReport.Reference,
        faults: [ChaosFault],
        seed: UInt64,
        patience: Duration,
        room: Int,
        start: ContinuousClock.Instant,
        end: ContinuousClock.Instant,
        mostFaults: Int,
        isInterrupted: ChaosInterruptFlag
    ) {
        self.chaos = chaos
        self.number = number
        self.directory = directory
        self.reference = reference
        self.seed = seed
        self.patience = patience
        self.room = room
        self.start = start
        self.end = end
        self.mostFaults = mostFaults
        self.isInterrupted = isInterrupted
        hasDisk = faults.contains(.fullDisk)
        draws = ChaosDraws(faults, seed: seed)
        tail = CommitTail(directory.metrics)
        next = (draws.next(), nil)
    }

    /// Runs it to its last step and returns the hashes; throws `Failure` where it hangs or cannot go on.
    func run() throws -> (state: String, weights: String) {
        try chaos.removeRun(directory)
        defer { cleanUp() }
        if hasDisk { disk = try ChaosDisk(at: directory.checkpoints, bytes: room) }
        do { return try follow() } catch {
            // What is on the small disk goes with it.
            if let disk { try? FileManager.default.copyItem(atPath: disk.path, toPath: "\(disk.path)-kept") }
            throw error
        }
    }

    private func follow() throws -> (state: String, weights: String) {
        try begin(chaos.launchArguments(directory))
        while true {
            processes.wait(.milliseconds(10))
            if isInterrupted.isSet { throw ChaosInterruption() }
            let now = ContinuousClock.now
            let due = undoings.filter { $0.at <= now }
            undoings.removeAll { $0.at <= now }
            for one in due { one.undo() }
            look()
            if let end = processes.end(of: launch) {
                if let found = try ended(end) { return found }
                continue
            }
            // What chaos itself holds up does not count.
            if !undoings.isEmpty { lastProgress = max(lastProgress, now - patience / 2) }
            if now - lastProgress > patience {
                let status = try? RunStatus.read(directory)
                throw ChaosRun.Failure(
                    "It hangs: nothing was committed for \((now - lastProgress).inWords) after step \(lastStep)"
                        + (status?.waitsFor.map { ", while it waited for \($0)" } ?? "") + "."
                )
            }
            if let moment = next.due, now >= moment, now < end, commits > 0, events.count < mostFaults { disturb() }
        }
    }

    /// Removes what an intact run has left.
    func remove() { try? chaos.removeRun(directory) }

    private func cleanUp() {
        for one in undoings { one.undo() }
        undoings = []
        processes.endAll()
        disk?.unmount()
    }

    private func begin(_ arguments: [String]) throws {
        launch = try processes.start(arguments, log: log)
        lastProgress = .now
        commits = 0
        next.due = nil
    }

    /// Sees what was committed since the last look.
    private func look() {
        let found = tail.poll()
        guard let last = found.last else { return }
        lastStep = last.step
        lastProgress = .now
        commits += found.count
        fruitlessResumes = 0
        open.removeAll { one in
            guard let commit = found.first(where: { $0.time > one.time }) else { return false }
            events[one.event].recoverySeconds = commit.time - one.time
            chaos.say("  run \(number): step \(commit.step) \(text(commit.time - one.time)) s after it")
            return true
        }
        // The run has recovered, or has just begun.
        if open.isEmpty, next.due == nil { schedule() }
    }

    private func schedule() {
        // Anywhere in the next steps; a second at least, so that the run gets somewhere.
        let longest = max(1, 8 * reference.medianStepSeconds)
        next.due = .now + .nanoseconds(Int64(next.draw.gap * longest * 1e9))
    }

    // MARK: Ends

    /// What the end of `launch` means: the hashes where the run is complete; nil where it has been started again.
    private func ended(_ cause: ExitCause) throws -> (state: String, weights: String)? {
        look()
        let checkpoint = try chaos.hashes(of: directory)
        switch cause {
        case .exited(0), .exited(75), .signal(SIGKILL): break
        default:
            throw ChaosRun.Failure("`pleura launch` \(cause). \(LocalWorkers.note(log: log, from: 0))")
        }
        if let checkpoint, checkpoint.step >= reference.steps, cause == .exited(0) {
            return (checkpoint.state, checkpoint.weights)
        }
        if isInterrupted.isSet { throw ChaosInterruption() }
        fruitlessResumes += 1
        guard fruitlessResumes <= 5 else {
            throw ChaosRun.Failure(
                "It was started again five times and has committed nothing. "
                    + LocalWorkers.note(log: log, from: 0)
            )
        }
        resumes += 1
        chaos.say("  run \(number): `launch` \(cause) before the last step; resumed")
        try begin(checkpoint == nil ? chaos.launchArguments(directory) : ["resume", directory.path])
        return nil
    }

    // MARK: Faults

    /// Does the fault that was drawn, where it is possible now, and draws the next one.
    private func disturb() {
        let draw = next.draw
        let status = try? RunStatus.read(directory)
        let isAlone = open.isEmpty && undoings.isEmpty
        let detail = status.flatMap { inflict(draw, on: $0) }
        // After the signal: what is committed later than this was committed with the fault there.
        let time = RunRecorder.time
        guard let detail else {
            // Another one in its place, in a moment: who is there changes.
            next = (draws.next(), .now + .milliseconds(100))
            return
        }
        for one in open { events[one.event].isAlone = false }
        events.append(
            ChaosReport.Event(
                run: number,
                fault: draw.fault,
                at: (ContinuousClock.now - start).seconds,
                step: lastStep,
                detail: detail,
                isAlone: isAlone,
                recoverySeconds: nil
            )
        )
        open.append((events.count - 1, time))
        chaos.say(
            "\(text((ContinuousClock.now - start).seconds)) s, run \(number), step \(lastStep): \(draw.fault.words): \(detail)"
        )
        next = (draws.next(), nil)
        if next.draw.isHasty { next.due = .now + .nanoseconds(Int64(next.draw.gap * 0.3e9)) }
    }

    /// Does a fault and says whom it hit; nil where that is not possible now.
    private func inflict(_ draw: ChaosDraw, on status: RunStatus) -> String? {
        let here = ProcessInfo.processInfo.hostName
        let alive = status.workers.filter { $0.host == here && ProcessTable.isOwn($0.process) }
        let members = alive.filter(\.isMember)
        var random = FuzzRandom(seed: draw.choice)
        let shuffled = members.shuffled(using: &random)
        func names(_ workers: [RunStatus.Worker]) -> String {
            workers.map { "worker \($0.worker) (process \($0.process))" }.joined(separator: ", ")
        }
        func send(_ signal: Int32, to workers: [RunStatus.Worker]) -> String? {
            guard !workers.isEmpty else { return nil }
            for worker in workers { kill(worker.process, signal) }
            return names(workers)
        }
        switch draw.fault {
        case .kill:
            // A joiner too, if it is its turn.
            return send(SIGKILL, to: Array(alive.shuffled(using: &random).prefix(1)))
        case .killSeveral:
            guard members.count > 2 else { return nil }
            return send(SIGKILL, to: Array(shuffled.prefix(2 + random.below(members.count - 2))))
        case .killAllButOne:
            guard members.count > 1 else { return nil }
            return send(SIGKILL, to: Array(shuffled.dropFirst()))
        case .killAll: return send(SIGKILL, to: alive)
        case .pause:
            guard let victim = shuffled.first, let name = send(SIGSTOP, to: [victim]) else { return nil }
            resume(victim.process, after: draw.seconds)
            return "\(name) for \(text(draw.seconds)) s"
        case .stop: return send(SIGSTOP, to: Array(shuffled.prefix(1)))
        case .leave:
            guard members.count > 1 else { return nil }
            return send(SIGTERM, to: Array(shuffled.prefix(1)))
        case .join: return join(status)
        case .fullDisk:
            guard let disk, (try? disk.fill()) != nil else { return nil }
            undoings.append((.now + .nanoseconds(Int64(draw.seconds * 1e9)), { disk.release() }))
            return "\(disk.path) for \(text(draw.seconds)) s"
        case .killLaunch:
            kill(launch, SIGKILL)
            return "process \(launch)"
        case .killCoordinator, .pauseCoordinator, .stopCoordinator, .killCoordinatorAndWorker:
            return inflict(draw, onCoordinatorOf: status, shuffled.first)
        }
    }

    private func inflict(_ draw: ChaosDraw, onCoordinatorOf status: RunStatus, _ worker: RunStatus.Worker?) -> String? {
        let coordinator = status.coordinator
        guard coordinator != launch, ProcessTable.isOwn(coordinator) else { return nil }
        switch draw.fault {
        case .killCoordinatorAndWorker:
            guard let worker else { return nil }
            kill(coordinator, SIGKILL)
            kill(worker.process, SIGKILL)
            return "process \(coordinator), worker \(worker.worker) (process \(worker.process))"
        case .pauseCoordinator:
            kill(coordinator, SIGSTOP)
            resume(coordinator, after: draw.seconds)
            return "process \(coordinator) for \(text(draw.seconds)) s"
        case .stopCoordinator: kill(coordinator, SIGSTOP)
        default: kill(coordinator, SIGKILL)
        }
        return "process \(coordinator)"
    }

    private func resume(_ process: pid_t, after seconds: Double) {
        undoings.append(
            (
                .now + .nanoseconds(Int64(seconds * 1e9)),
                // It may have been put out and ended meanwhile.
                { if ProcessTable.isOwn(process) { kill(process, SIGCONT) } }
            )
        )
    }

    private func join(_ status: RunStatus) -> String? {
        let workers = chaos.configuration.workers
        let most = workers.maximum == 0 ? workers.count + 2 : workers.maximum
        guard let endpoint = status.endpoint, status.workers.count < most else { return nil }
        var arguments = [
            "worker", "--coordinator", Endpoint.reachable(endpoint, at: "127.0.0.1"), "--threads",
            workers.threads.count.map(String.init) ?? "1",
            "--parent", "\(getpid())",
        ]
        let security = chaos.configuration.security
        if !security.keys.isEmpty { arguments += ["--keys", FileSystem.absolute(security.keys)] }
        if security.mode == .none { arguments += ["--security", "none"] }
        guard let process = try? processes.start(arguments, log: log) else { return nil }
        return "process \(process)"
    }
}
