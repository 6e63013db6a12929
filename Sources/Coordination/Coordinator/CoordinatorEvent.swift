extension CoordinatorMachine {
    /// What happens to the coordinator.
    ///
    /// The shell delivers events one after the other, each with its moment.
    package enum Event: Hashable, Sendable {
        /// The first event: a fresh run, or one that goes on from a checkpoint; or, where the coordinator before this one
        /// has died and its workers may still be there, from their memory.
        indirect case start(resume: ResumePoint?, reattachment: Reattachment? = nil)
        /// `key` is the name of the key that the peer's connection was made with, as the transport has verified it; empty
        /// in a run without keys.
        case message(from: PeerID, key: String = "", WorkerMessage)
        /// The run's own journal tells of a coordinator with a higher incarnation than this one's: the answer to
        /// `.confirmSuccession`, where there is one.
        case succeeded(fencing: UInt64)
        case connectionLost(PeerID)
        /// A worker process that the launcher started has ended. The launcher gives each process its incarnation
        /// token, so that the process is known even where it never said hello. The note is a sentence about where to
        /// read more, for a process that never took part in a step. Where the launcher starts another one in its place,
        /// the process is `replaced`.
        case processExited(incarnation: UInt64, processID: Int32, ExitCause, note: String = "", replaced: Bool = false)
        /// The checkpoint has been verified, synced and renamed.
        /// `file` is its name, for workers that are to load it.
        case checkpointDurable(completedSteps: UInt64, file: String = "")
        /// The checkpoint cannot be written (a full disk); the run goes on. The last one of a run is taken again.
        case checkpointFailed(completedSteps: UInt64, reason: String)
        /// Finish the step, save, end (the first Ctrl-C). A second one, `CoordinatorTiming.secondRequest` or more after
        /// the first, stops at once.
        case drainRequested(reason: String)
        /// Let a worker go between two steps, as if it had asked to leave itself.
        case workerDrainRequested(WorkerNumber, reason: String)
        /// Stop at once.
        case stopRequested(reason: String)
        /// The timer has fired.
        case tick
    }
}

/// What the journal tells of a coordinator that has died: whom it had as members, and how far validation had come.
package struct Reattachment: Hashable, Sendable {
    /// The last membership.
    package var membership: Membership
    /// The members' processes, by their numbers.
    package var incarnations: [WorkerNumber: UInt64]
    /// The names of the keys that the members' connections were made with; empty ones in a run without keys.
    package var keys: [WorkerNumber: String]
    /// Workers that were put out; they never take part again.
    package var lost: Set<WorkerNumber>
    /// A number that no worker of the run has had.
    package var nextNumber: WorkerNumber
    /// The progress after the last round of validation since the state that the coordinator had begun with; nil where
    /// there was none.
    package var progress: RunProgress?
    /// The steps whose commits the coordinators before have recorded. A commit is recorded before it is sent, so no more
    /// than these have been sent; nil where no record is left.
    package var recordedSteps: UInt64?

    package init(
        membership: Membership,
        incarnations: [WorkerNumber: UInt64],
        keys: [WorkerNumber: String] = [:],
        lost: Set<WorkerNumber> = [],
        nextNumber: WorkerNumber,
        progress: RunProgress?,
        recordedSteps: UInt64? = nil
    ) {
        self.membership = membership
        self.incarnations = incarnations
        self.keys = keys
        self.recordedSteps = recordedSteps
        self.lost = lost
        self.nextNumber = nextNumber
        self.progress = progress
    }
}

/// The checkpoint that a run goes on from.
package struct ResumePoint: Hashable, Sendable {
    package var progress: RunProgress
    /// The checkpoint's file name.
    package var file: String

    package init(progress: RunProgress, file: String) {
        self.progress = progress
        self.file = file
    }
}
