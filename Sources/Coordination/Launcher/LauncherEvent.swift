extension LauncherMachine {
    /// What happens to the launcher.
    ///
    /// The shell delivers events one after the other, each with its moment.
    package enum Event: Hashable, Sendable {
        /// A worker is about to be started at the seat.
        case seatFilled(Int, incarnation: UInt64)
        /// None could be started there.
        case seatNotFilled(Int)
        /// The process at the seat has ended.
        case workerEnded(WorkerEnd, seat: Int)
        /// The coordinator has put a worker out of the run.
        case evicted(incarnation: UInt64)
        /// The run is over: no seat is filled any more.
        case closed
        /// A coordinator runs in a process of its own: the first one, or the one that `.startCoordinator` asked for.
        case coordinatorStarted(process: Int32, fencing: UInt64)
        case coordinatorSaid(Word, process: Int32)
        /// Its process was stopped (SIGSTOP), or goes on.
        case coordinatorStopped(Bool, process: Int32)
        /// Its process has ended; what it said before has been delivered.
        case coordinatorEnded(ExitCause, process: Int32)
        /// Somebody asks the run to end (Ctrl-C).
        case drainRequested(reason: String)
        /// Half a second has passed, or something has happened.
        case tick
    }

    /// The end of a worker's process.
    package struct WorkerEnd: Hashable, Sendable {
        package var incarnation: UInt64
        package var process: Int32
        package var cause: ExitCause
        /// Where to read more.
        package var note: String
        /// Whether its host was reached.
        package var wasReached: Bool

        package init(incarnation: UInt64, process: Int32, cause: ExitCause, note: String = "", wasReached: Bool = true)
        {
            self.incarnation = incarnation
            self.process = process
            self.cause = cause
            self.note = note
            self.wasReached = wasReached
        }
    }

    /// What a coordinator tells of itself.
    package enum Word: Hashable, Sendable {
        /// The run has begun.
        case began
        /// Its loop gets on.
        case alive(completedSteps: UInt64)
        /// The run has ended; its last word.
        case ended(RunOutcome)
        /// It could not lead, for a reason that another one would find too; its last word.
        case failed(String, status: Int32)
    }

    /// What the shell does on the launcher's behalf, in the order of the list.
    package enum Action: Hashable, Sendable {
        /// Start a worker at the seat; begins with `.seatFilled`, or ends in `.seatNotFilled`.
        case startWorker(seat: Int, after: Duration)
        /// End the process of that incarnation, where it runs.
        case killWorker(incarnation: UInt64)
        /// Start a coordinator that goes on from the memory of the workers, with an incarnation above this one and above
        /// those that the journal knows; ends in `.coordinatorStarted`.
        case startCoordinator(above: UInt64, after: Duration)
        case killCoordinator(process: Int32)
        /// Tell the coordinator that leads; where none does, the next one is told.
        case tell(Order)
        /// A sentence for the coordinator's log.
        case say(String)
        /// A warning for the user, who may hear of no coordinator at the moment.
        case warn(String)
        /// The run is over.
        case end(End)
    }

    /// What a coordinator must hear.
    package enum Order: Hashable, Sendable {
        case workerEnded(WorkerEnd, isReplaced: Bool)
        case drain(reason: String)
    }

    /// How a run ends for its launcher.
    package enum End: Hashable, Sendable {
        /// As its coordinator said.
        case outcome(RunOutcome)
        /// Its coordinator could not lead.
        case failure(String, status: Int32)
        /// Without a coordinator; which state is saved, the disk tells.
        case lost(RunOutcome)
    }
}
