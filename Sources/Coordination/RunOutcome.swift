/// How a run ended.
package struct RunOutcome: Hashable, Sendable {
    /// The kinds of ends.
    ///
    /// Raw values are part of the protocol.
    package enum Kind: UInt8, Hashable, Sendable, CaseIterable {
        /// All steps are done, or the run stopped early because validation got no better.
        case completed = 1
        /// The run was asked to stop, finished its step and saved it.
        case drained = 2
        /// The run was asked to stop at once.
        case stopped = 3
        /// A worker was lost, stood still or reported a failure.
        case workerLost = 4
        /// Workers disagree about state or sums, or sums are not finite.
        case diverged = 5
        /// The workers that the run needs did not come.
        case notStarted = 6
        /// The last state could not be saved.
        case notSaved = 7
    }

    package var kind: Kind
    /// What happened, as sentences for users.
    package var message: String
    /// Steps that were committed, over the whole run.
    package var completedSteps: UInt64
    /// The newest state that is safe on disk, which a resumed run goes on from; nil where there is none.
    package var savedSteps: UInt64?
    /// What ended the run where nobody asked for it.
    package var fault: Fault?

    package init(
        kind: Kind,
        message: String,
        completedSteps: UInt64,
        savedSteps: UInt64?,
        fault: Fault? = nil
    ) {
        self.kind = kind
        self.message = message
        self.completedSteps = completedSteps
        self.savedSteps = savedSteps
        self.fault = fault
    }
}

/// What went wrong with one worker.
package struct Fault: Hashable, Sendable {
    /// What is known about the cause.
    package enum Cause: Hashable, Sendable {
        case processExited(ExitCause)
        /// The worker itself said so.
        case reported(String)
        /// The worker did something that the protocol does not allow.
        case violation(String)
        case connectionLost
        case silent(Duration)
        case stalled(Duration)
        /// It did not come back to a coordinator that took over.
        case absent(String)
        /// Another worker cannot reach it.
        case accused(by: WorkerNumber, message: String)

        /// Whether the cause is certain, so that no better evidence is worth waiting for.
        var isCertain: Bool {
            switch self {
            case .processExited, .reported, .violation, .stalled, .absent: true
            case .connectionLost, .silent, .accused: false
            }
        }

        /// Better evidence has a lower rank.
        var rank: Int {
            switch self {
            case .processExited: 0
            case .reported: 1
            case .violation: 2
            case .connectionLost: 3
            case .silent: 4
            case .stalled: 5
            case .absent: 6
            case .accused: 7
            }
        }
    }

    package var worker: WorkerNumber
    package var hostName: String
    package var processID: Int32
    /// What the worker was last known to do, in which step, and for how long.
    package var phase: WorkerPhase
    package var step: UInt64
    package var inPhase: Duration
    package var cause: Cause

    package init(
        worker: WorkerNumber,
        hostName: String,
        processID: Int32,
        phase: WorkerPhase,
        step: UInt64,
        inPhase: Duration,
        cause: Cause
    ) {
        self.worker = worker
        self.hostName = hostName
        self.processID = processID
        self.phase = phase
        self.step = step
        self.inPhase = inPhase
        self.cause = cause
    }

    /// The fault as one sentence that names worker, host, phase, step and cause, and how long the phase had lasted.
    package var sentence: String {
        let who = "Worker \(worker) on host \(hostName) (process \(processID))"
        let place = phase <= .preparing ? "while \(phase)" : "while \(phase) at step \(step)"
        let lasted = "\(inPhase.inWords) into that phase"
        return switch cause {
        case .processExited(let exit): "\(who) \(exit) \(place), \(lasted)."
        case .reported(let message): "\(who) failed \(place), \(lasted): \(message)"
        case .violation(let message): "\(who) broke the protocol \(place), \(lasted): \(message)"
        case .connectionLost: "\(who) was lost \(place), \(lasted): its connection broke."
        case .silent(let duration):
            "\(who) was lost \(place), \(lasted): it has given no sign of life for \(duration.inWords)."
        case .stalled(let duration): "\(who) stands still \(place): no progress for \(duration.inWords)."
        case .absent(let reason):
            "Worker \(worker) on host \(hostName) did not come back after the coordinator's restart: \(reason)"
        case .accused(let accuser, let message):
            "\(who) was lost \(place), \(lasted): worker \(accuser) cannot reach it: \(message)"
        }
    }
}
