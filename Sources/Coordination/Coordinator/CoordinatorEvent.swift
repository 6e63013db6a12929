extension CoordinatorMachine {
    /// What happens to the coordinator.
    ///
    /// The shell delivers events one after the other, each with its moment.
    package enum Event: Hashable, Sendable {
        /// The first event: a fresh run, or one that goes on from a checkpoint.
        case start(resume: ResumePoint?)
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
        /// Stop at once.
        case stopRequested(reason: String)
        /// The timer has fired.
        case tick
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
