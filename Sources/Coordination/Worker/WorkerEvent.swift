extension WorkerMachine {
    /// What happens to the worker.
    ///
    /// The shell delivers events one after the other, each with its moment.
    package enum Event: Hashable, Sendable {
        /// The first event: the sockets are open.
        case started
        case message(CoordinatorMessage)
        /// `.prepare` is done.
        case prepared(Ready)
        /// A microbatch of `.beginStep` has run forward and backward.
        case microbatchComputed(step: UInt64, generation: UInt32, index: Int)
        /// All buckets of `.beginStep` are summed and gathered.
        indirect case reduced(ReducedReport)
        /// `.apply` is done; so many steps are applied now. The digest is that of the state now, where it was asked for.
        case applied(completedSteps: UInt64, stateDigest: Digest?)
        /// A `.validate` is done.
        case validated(ValidationResult)
        /// A `.streamSnapshot` is done, or has failed and says why.
        case snapshotStreamed(CheckpointPiece)
        /// What was asked for cannot be done: a sentence for users, and the peer whose fault it looks like.
        case failed(message: String, suspect: WorkerNumber?)
        /// The worker has been asked to end (SIGTERM); asked again, a second or more later, it ends at once.
        case leaveRequested(reason: String)
        /// The connection to the coordinator broke.
        case connectionLost
        /// The timer has fired; `progress` counts whatever the compute threads get done.
        case tick(progress: UInt64)
    }

    /// What the shell does on the worker's behalf, in the order of the list.
    package enum Action: Hashable, Sendable {
        case send(WorkerMessage)
        /// Deliver `.tick` at this moment or soon after; replaces the timer set before.
        case startTimer(Instant)
        /// Build the program and load data and state; ends in `.prepared` or `.failed`.
        indirect case prepare(Welcome)
        /// Load the state, everything else being there; ends in `.prepared`, whose digest is that of the part which
        /// `.applied` tells of, or `.failed`.
        case restore(ResumeSource)
        /// Compute the microbatches and reduce by the plan, each bucket as soon as it is full; ends in `.reduced` or
        /// `.failed`. Sums that the worker holds of an earlier generation of the same step stay right.
        case beginStep(StepWork)
        /// Stop reducing this attempt; no event is owed for it. Microbatches go on, and their sums are kept: an assignment
        /// of a higher generation asks for them.
        case abandonStep(step: UInt64, generation: UInt32)
        /// Apply the sums of the step to the weights; ends in `.applied`. The sums of the step before are no longer
        /// needed by anybody.
        case apply(step: UInt64, StepHyperparameters, wantsStateDigest: Bool)
        /// Count the samples of the request with the present weights; ends in `.validated` or `.failed`.
        case validate(ValidationRequest)
        /// Take a snapshot of the share now, before the actions that follow, and hand it over while training goes on;
        /// ends in `.snapshotStreamed`.
        case streamSnapshot(CheckpointRequest)
        case log(LogLevel, String)
        /// The worker's part is over; the last action.
        case exit(WorkerOutcome)
    }
}

/// One attempt at a step, as one worker sees it.
package struct StepWork: Hashable, Sendable {
    package var assignment: Assignment
    package var membership: Membership
    package var worker: WorkerNumber
    /// The microbatches to compute, ascending; empty where the worker only adds.
    package var microbatches: [Int]

    package init(assignment: Assignment, membership: Membership, worker: WorkerNumber, microbatches: [Int]) {
        self.assignment = assignment
        self.membership = membership
        self.worker = worker
        self.microbatches = microbatches
    }

    /// Where microbatch `index` stands in `microbatches`; nil where it is none of them.
    func position(of index: Int) -> Int? {
        var lower = 0
        var upper = microbatches.count
        while lower < upper {
            let middle = (lower + upper) / 2
            if microbatches[middle] < index { lower = middle + 1 } else { upper = middle }
        }
        return lower < microbatches.count && microbatches[lower] == index ? lower : nil
    }
}

/// How a worker's part in a run ended.
package struct WorkerOutcome: Hashable, Sendable {
    /// The kinds of ends.
    package enum Kind: Hashable, Sendable {
        /// The coordinator ended the run.
        case finished(RunOutcome.Kind)
        /// The coordinator did not take the worker.
        case refused
        /// No coordinator answered, or it was gone for longer than the grace period.
        case coordinatorLost
        /// The worker could not go on.
        case failed
        /// The worker was asked to end twice, or before it was part of a run.
        case left
    }

    package var kind: Kind
    /// What happened, as sentences for users.
    package var message: String

    package init(kind: Kind, message: String) {
        self.kind = kind
        self.message = message
    }
}
