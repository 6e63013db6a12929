extension CoordinatorMachine {
    /// What happens to the coordinator.
    ///
    /// The shell delivers events one after the other, each with its moment.
    package enum Event: Hashable, Sendable {
        /// The first event: a fresh run, or one that goes on from a checkpoint; or, where the coordinator before this one
        /// has died and its workers may still be there, from their memory.
        case start(resume: ResumePoint?, reattachment: Reattachment? = nil)
        case message(from: PeerID, WorkerMessage)
        case connectionLost(PeerID)
        /// A worker process that the launcher started has ended. The launcher gives each process its incarnation
        /// token, so that the process is known even where it never said hello. The note is a sentence about where to
        /// read more, for a process that never took part in a step. Where the launcher starts another one in its place,
        /// the process is `replaced`.
        case processExited(incarnation: UInt64, processID: Int32, ExitCause, note: String = "", replaced: Bool = false)
        /// The checkpoint has been verified, synced and renamed.
        /// `file` is its name, for workers that are to load it.
        case checkpointDurable(completedSteps: UInt64, file: String = "")
        /// The checkpoint cannot be written (a full disk); the run goes on.
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
    /// Workers that were put out; they never take part again.
    package var lost: Set<WorkerNumber>
    /// A number that no worker of the run has had.
    package var nextNumber: WorkerNumber
    /// The progress after the last round of validation since the state that the coordinator had begun with; nil where
    /// there was none.
    package var progress: RunProgress?

    package init(
        membership: Membership,
        incarnations: [WorkerNumber: UInt64],
        lost: Set<WorkerNumber> = [],
        nextNumber: WorkerNumber,
        progress: RunProgress?
    ) {
        self.membership = membership
        self.incarnations = incarnations
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
