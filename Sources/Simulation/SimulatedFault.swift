package import Coordination

/// Something that goes wrong, or that somebody asks for, in a simulated session.
package enum SimulatedFault: Hashable, Sendable, CustomStringConvertible {
    /// How the coordinator comes to know that a worker is gone.
    package enum Notice: Hashable, Sendable, CaseIterable {
        /// The launcher sees the process end.
        case processExit
        /// The connection breaks.
        case connection
        /// The connection breaks, and the launcher sees the process end a moment later.
        case connectionThenExit
        /// Nothing tells: only its heartbeats stop.
        case silence
    }

    /// Directions that a partition cuts.
    package enum Link: Hashable, Sendable, CaseIterable {
        case both
        case toWorker
        case toCoordinator
    }

    /// What a member may tell a coordinator that takes over, and what is not so.
    package enum Lie: Hashable, Sendable, CaseIterable {
        /// That it has applied one step more than it has, or a thousand.
        case ahead
        case farAhead
        /// That it stands two steps behind, or has no sums of the step that it has not applied.
        case behind
        case withoutSums
        /// That the sums were others.
        case wrongSums
        /// That attempts were as many as can be counted.
        case manyAttempts
        /// That it obeys a later coordinator.
        case laterCoordinator
        /// That it was about to join under a number that nobody has.
        case joiner
        /// That it is another member, as which it asks to leave.
        case otherSeat
    }

    /// A process of a session.
    package enum Process: Hashable, Sendable, CustomStringConvertible {
        case coordinator
        case worker(Int)

        package var description: String {
            switch self {
            case .coordinator: "the coordinator"
            case .worker(let index): "worker \(index)"
            }
        }
    }

    /// kill -9 of a worker; peers notice, or not.
    case crash(worker: Int, Notice, peersNotice: Bool)
    /// SIGSTOP of a worker, and SIGCONT after the duration.
    case freeze(worker: Int, Duration)
    /// A worker finds an error of its own.
    case failure(worker: Int)
    /// A worker's state changes under it.
    case corruptState(worker: Int)
    /// A worker's sums change under it, in the next step that it reduces.
    case corruptSums(worker: Int)
    /// A worker is asked to end by SIGTERM.
    case leave(worker: Int)
    /// Messages of a worker and the coordinator take up to 200 ms for the duration.
    case slowLink(worker: Int, Duration)
    /// Nothing passes between a worker and the coordinator for the duration: in both directions, or in one. What was
    /// sent arrives afterwards, or, where the connection `breaks`, never.
    case partition(worker: Int, Link, Duration, breaks: Bool)
    /// Messages of a worker and the coordinator come twice for the duration, the second one up to two seconds late.
    case duplication(worker: Int, Duration)
    /// Messages of a worker and the coordinator overtake each other for the duration, as those of a broken connection
    /// and of its successor can.
    case reordering(worker: Int, Duration)
    /// Two workers cannot reach each other from now on, but the coordinator: each accuses the other.
    case unreachable(worker: Int, other: Int)
    /// kill -9 of the coordinator.
    case coordinatorCrash
    /// kill -9 of the coordinator after some more of its actions, in the middle of what it was doing; another one takes
    /// over after the duration. One that was only stopped `wakes` later, and gives orders that nobody may obey.
    case takeover(afterActions: Int, Duration, wakes: Bool)
    /// A process stands still for the duration, and its clock with it (a virtual machine that is suspended) or not.
    case suspension(Process, Duration, clockStops: Bool)
    /// A process's clock runs fast or slow from now on, by parts of a million.
    case clockDrift(Process, ppm: Int)
    /// A process's clock jumps forward.
    case clockJump(Process, Duration)
    /// A worker lies to every coordinator that takes over from now on.
    case liar(worker: Int, Lie)
    /// To coordinators that take over from now on comes what workers said to those before: once more over their own
    /// connections, and over a stranger's.
    case replays
    /// Workers of another job, whose coordinator counts higher, come to coordinators that take over from now on.
    case foreignJob
    /// A worker's bulk connection breaks under each share of a checkpoint that it hands over within the duration.
    case brokenStreams(worker: Int, Duration)
    case drain
    case stop
    /// Every checkpoint that is written within the duration fails.
    case fullDisk(Duration)
    /// Every checkpoint that is written and every state that is loaded within the duration takes up to `latency` more.
    case slowDisk(Duration, latency: Duration)

    package var description: String {
        switch self {
        case .crash(let worker, let notice, let peersNotice):
            "kill worker \(worker), seen by \(notice)\(peersNotice ? " and by its peers" : "")"
        case .freeze(let worker, let duration): "stop worker \(worker) for \(duration)"
        case .failure(let worker): "worker \(worker) fails"
        case .corruptState(let worker): "change the state of worker \(worker)"
        case .corruptSums(let worker): "change the next sums of worker \(worker)"
        case .leave(let worker): "ask worker \(worker) to leave"
        case .slowLink(let worker, let duration): "slow messages of worker \(worker) for \(duration)"
        case .partition(let worker, let link, let duration, let breaks):
            "\(breaks ? "lose" : "hold") messages of worker \(worker), \(link), for \(duration)"
        case .duplication(let worker, let duration): "double messages of worker \(worker) for \(duration)"
        case .reordering(let worker, let duration): "mix messages of worker \(worker) for \(duration)"
        case .unreachable(let worker, let other): "cut worker \(worker) off from worker \(other)"
        case .coordinatorCrash: "kill the coordinator"
        case .takeover(let actions, let duration, let wakes):
            "\(wakes ? "stop" : "kill") the coordinator after \(actions) more actions, another takes over after \(duration)"
                + (wakes ? " before it goes on" : "")
        case .suspension(let process, let duration, let clockStops):
            "\(clockStops ? "suspend" : "stop") \(process) for \(duration)"
        case .clockDrift(let process, let ppm): "the clock of \(process) drifts by \(ppm) ppm"
        case .clockJump(let process, let duration): "the clock of \(process) jumps by \(duration)"
        case .liar(let worker, let lie): "worker \(worker) lies in takeovers: \(lie)"
        case .replays: "say again in takeovers what was said before"
        case .foreignJob: "workers of another job come in takeovers"
        case .brokenStreams(let worker, let duration): "break the shares of worker \(worker) for \(duration)"
        case .drain: "drain"
        case .stop: "stop at once"
        case .fullDisk(let duration): "the disk is full for \(duration)"
        case .slowDisk(let duration, let latency): "the disk takes up to \(latency) more for \(duration)"
        }
    }

    /// The worker that it hits.
    var worker: Int? {
        switch self {
        case .crash(let worker, _, _), .freeze(let worker, _), .failure(let worker), .corruptState(let worker),
            .corruptSums(let worker), .leave(let worker), .slowLink(let worker, _),
            .partition(let worker, _, _, _), .unreachable(let worker, _), .duplication(let worker, _),
            .reordering(let worker, _), .suspension(.worker(let worker), _, _), .clockDrift(.worker(let worker), _),
            .clockJump(.worker(let worker), _), .liar(let worker, _), .brokenStreams(let worker, _):
            worker
        case .coordinatorCrash, .takeover, .suspension, .clockDrift, .clockJump, .drain, .stop, .fullDisk, .slowDisk,
            .replays, .foreignJob:
            nil
        }
    }

    /// Whether it does something in takeovers only.
    var isOfTakeovers: Bool {
        switch self {
        case .liar, .replays, .foreignJob: true
        default: false
        }
    }
}

/// What a fault really did, for the count of what a range of seeds has tried.
package enum SimulatedEffect: String, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    case crash = "worker killed"
    case freeze = "worker stopped"
    case suspendedWorker = "worker suspended with its clock"
    case failure = "worker failed by itself"
    case leave = "worker asked to leave"
    case wrongState = "state changed under a worker"
    case wrongSums = "sums changed under a worker"
    case slowMessages = "messages slow"
    case heldMessages = "messages held by a partition"
    case lostMessages = "messages lost with a connection"
    case duplicates = "messages doubled"
    case overtaking = "messages overtaken"
    case unreachable = "peers out of reach of each other"
    case workerDrift = "worker's clock drifts"
    case workerJump = "worker's clock jumps"
    case coordinatorCrash = "coordinator killed"
    case takeover = "coordinator killed, another one takes over"
    case coordinatorStop = "coordinator stopped"
    case coordinatorSuspension = "coordinator suspended with its clock"
    case coordinatorDrift = "coordinator's clock drifts"
    case coordinatorJump = "coordinator's clock jumps"
    case lie = "seat that lies in a takeover"
    case forgedSeat = "seat claimed under another's key"
    case replayedSeat = "seat told again in a later takeover"
    case foreignSeat = "seat of another job"
    case brokenStream = "share of a checkpoint lost with its connection"
    case slowSave = "checkpoint slow to save"
    case failedSave = "checkpoint lost to a full disk"
    case slowLoad = "state slow to load"
    case drain = "drain"
    case stop = "stop at once"

    package var description: String { rawValue }
}

/// A fault and its moment, counted from the start of the session.
package struct TimedFault: Hashable, Sendable {
    package var at: Duration
    package var fault: SimulatedFault

    package init(_ fault: SimulatedFault, at: Duration) {
        self.at = at
        self.fault = fault
    }
}

/// An invariant that did not hold.
package struct SimulationFailure: Error, CustomStringConvertible {
    package var seed: UInt64
    package var invariant: String
    package var at: Instant
    /// What happened last, oldest first; only where the session was traced.
    package var trace: [String]
    /// What plays it again, where it is one of `Simulation`'s.
    package var schedule: SimulatedCase?

    package var description: String {
        (["seed \(seed), at \(at.nanoseconds / 1000) µs: \(invariant)"] + (schedule.map { ["schedule \($0)"] } ?? [])
            + trace).joined(separator: "\n")
    }
}
