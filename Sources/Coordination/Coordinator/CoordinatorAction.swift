package import Sampling

extension CoordinatorMachine {
    /// What the shell does on the coordinator's behalf, in the order of the list.
    package enum Action: Hashable, Sendable {
        case send(PeerID, CoordinatorMessage)
        /// To several peers at once, so that the message is encoded once.
        case broadcast([PeerID], CoordinatorMessage)
        /// Deliver `.tick` at this moment or soon after; replaces the timer set before.
        case startTimer(Instant)
        /// Open a checkpoint file and take the workers' pieces; ends in `.checkpointDurable` or `.checkpointFailed`.
        case beginCheckpoint(CheckpointOrder)
        /// Throw away the checkpoint of these steps; no event is owed for it any more.
        case abandonCheckpoint(completedSteps: UInt64, reason: String)
        /// Delete a durable checkpoint: its state turned out to be wrong.
        case discardCheckpoint(completedSteps: UInt64, reason: String)
        /// A step has been committed.
        case record(StepRecord)
        /// A round of validation has been concluded.
        case recordValidation(ValidationRecord)
        /// Append to the journal, durably before the actions that follow.
        case journal(JournalEntry)
        /// The worker is no longer part of the run: forget its connection. What it says next comes from a new peer, and
        /// is answered with the reason. A process of the launcher's is ended: it may be stopped or stuck.
        case evict(WorkerNumber, PeerID, incarnation: UInt64, reason: String)
        /// A member says that it obeys a later coordinator of this run: look whether the run's journal knows of one, and
        /// deliver `.succeeded` if so. One that leads has written itself there, and nobody else can.
        case confirmSuccession
        case log(LogLevel, String)
        /// A process was told that it may not take part. Strangers can cause any number of these: shown to the user now and
        /// then, with their count.
        case refused(String)
        /// The run is over; the last action. Workers have been told.
        case end(RunOutcome)
    }
}

/// A checkpoint to write.
package struct CheckpointOrder: Hashable, Sendable {
    /// Why a checkpoint is taken.
    package enum Reason: UInt8, Hashable, Sendable {
        case interval
        case best
        /// The run ends in order.
        case end
        /// The run has fewer workers than its minimum, and waits for others.
        case pause
        /// Workers that join load it.
        case join
    }

    /// The run's progress at the checkpoint; `completedSteps` names it.
    package var progress: RunProgress
    /// The epoch and the step in it that come next.
    package var epoch: Int
    package var stepInEpoch: Int
    /// Which worker hands over which part.
    package var pieces: [Piece]
    package var reason: Reason
    /// Whether the last round of validation, at this very state, is the best so far.
    package var isBest: Bool

    package init(
        progress: RunProgress,
        epoch: Int,
        stepInEpoch: Int,
        pieces: [Piece],
        reason: Reason,
        isBest: Bool
    ) {
        self.progress = progress
        self.epoch = epoch
        self.stepInEpoch = stepInEpoch
        self.pieces = pieces
        self.reason = reason
        self.isBest = isBest
    }

    package var completedSteps: UInt64 { progress.completedSteps }

    /// A worker's part.
    package struct Piece: Hashable, Sendable {
        package var worker: WorkerNumber
        package var peer: PeerID
        package var share: CheckpointShare

        package init(worker: WorkerNumber, peer: PeerID, share: CheckpointShare) {
            self.worker = worker
            self.peer = peer
            self.share = share
        }
    }
}

/// What is known of a committed step.
package struct StepRecord: Hashable, Sendable {
    package var step: UInt64
    package var location: StepLocation
    package var generation: UInt32
    package var losses: [Float]
    package var gradientNorm: Double
    package var hyperparameters: StepHyperparameters
    /// From the assignment to the commit.
    package var duration: Duration
    /// Each worker's time, in the order of the workers' numbers.
    package var workers: [WorkerTimings]

    package init(
        step: UInt64,
        location: StepLocation,
        generation: UInt32,
        losses: [Float],
        gradientNorm: Double,
        hyperparameters: StepHyperparameters,
        duration: Duration,
        workers: [WorkerTimings]
    ) {
        self.step = step
        self.location = location
        self.generation = generation
        self.losses = losses
        self.gradientNorm = gradientNorm
        self.hyperparameters = hyperparameters
        self.duration = duration
        self.workers = workers
    }

    /// One worker's time in the step.
    package struct WorkerTimings: Hashable, Sendable {
        package var worker: WorkerNumber
        package var timings: StepTimings

        package init(worker: WorkerNumber, timings: StepTimings) {
            self.worker = worker
            self.timings = timings
        }
    }
}

/// What is known of a round of validation.
package struct ValidationRecord: Hashable, Sendable {
    package var progress: RunProgress
    package var score: ValidationScore
    package var isBest: Bool
    package var duration: Duration
    /// The counts of all samples, in sample order.
    package var counts: [UInt32]

    package init(
        progress: RunProgress,
        score: ValidationScore,
        isBest: Bool,
        duration: Duration,
        counts: [UInt32]
    ) {
        self.progress = progress
        self.score = score
        self.isBest = isBest
        self.duration = duration
        self.counts = counts
    }
}

/// A line of the journal: what a restarted coordinator must know.
///
/// Steps are not journalled.
package enum JournalEntry: Hashable, Sendable {
    /// A coordinator has taken over; what was noted of later steps is void.
    case began(fencing: UInt64, completedSteps: UInt64)
    /// The members, and in the same order their processes and the names of their keys.
    case membership(Membership, incarnations: [UInt64], keys: [String])
    /// Validation, schedule, best and early stopping have moved together, as transition number
    /// `progress.transition`.
    case transition(RunProgress)
    case checkpoint(completedSteps: UInt64, transition: UInt64)
    case lost(worker: WorkerNumber, sentence: String)
    case ended(RunOutcome)
}
