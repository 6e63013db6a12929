import Reduction
import Sampling

/// The coordinator as a pure state machine: events in, actions out; no socket, clock, task, file or log inside.
///
/// The shell owns the only copy, delivers one event at a time and runs the returned actions in order. Equal sequences
/// of events give equal sequences of actions.
///
///     reattaching ─members are back─► settling …
///     gathering ─all ready─► stepping ─commit─► stepping … ─► settling ─► validating ─► [holding] ─► stepping …
///                             │    ▲                            │    │
///           too few are left  ▼    │ enough       workers join  ▼    ▼ all steps done, or drain
///                           pausing ◄─────────────────── admitting  saving ─► ended
///
/// A step is committed when all members have reported equal digests of its sums; `commit(t)` carries `assign(t + 1)`
/// unless validation, a joiner, the end or a drain stands between. A worker that is lost is put out and the step in
/// flight begins another generation: what the others hold of it stays, what the lost one owned is shared among them.
/// Workers that join load their data beside the run; then, between two steps, all stand still while they load the
/// state from a checkpoint that is taken for them. With fewer members than its minimum the run saves its state and
/// waits. A coordinator that takes over from one that has died first waits for its members, which hold the run in their
/// memory. Every wait has a deadline; it is found at the ticks, which come at least every heartbeat interval.
package struct CoordinatorMachine: Sendable {
    package let configuration: CoordinatorConfiguration
    let policy: any TrainingPolicy

    /// What the run has reached.
    package internal(set) var progress: RunProgress
    /// Messages that were ignored because nobody of that name is part of the run, or because they came too late.
    package internal(set) var ignoredMessages: UInt64 = 0

    var stage = Stage.idle
    /// The members in ascending order of their numbers.
    var members: [MemberState] = []
    /// Workers that are about to join a run under way.
    var joiners: [MemberState] = []
    /// Positions in `members`.
    var positions: [PeerID: Int] = [:]
    var nextNumber: WorkerNumber = 0
    var membership = Membership(version: 0, members: [])
    /// Why workers were turned away, by who they are: what somebody says under another key is nothing to them.
    var refusals: [Sender: Refusal] = [:]
    var resumeSource: ResumeSource?
    /// How fast the members are, and who is slow.
    var speeds = WorkerSpeeds()
    /// Evidence of a fault that is waited on.
    var blame: Blame?
    /// Since when the run has had fewer workers than its minimum.
    var lack: Pause?
    /// The attempt that was begun last.
    var lastAttempt: (step: UInt64, generation: UInt32)?
    /// Before this moment no checkpoint is begun for workers that join, or in a pause: one has failed.
    var retryAt = Instant(nanoseconds: 0)
    /// Rounds of validation that were begun.
    var rounds: UInt32 = 0

    /// Why the run is to end in order, where it is.
    var ending: Ending?
    /// When this coordinator itself was first asked to end.
    var drainRequestedAt: Instant?
    var checkpoint: CheckpointInFlight?
    /// Checkpoints that this coordinator has begun, those that failed among them.
    var checkpointsBegun: UInt64 = 0
    /// Attempts at saving the present state that have failed, where the run waits for it.
    var failedSaves: FailedSaves?
    /// A checkpoint was due while another was in flight.
    var owesCheckpoint = false
    var lastCheckpointAt = Instant(nanoseconds: 0)
    /// The newest durable state.
    var saved: SavedState?
    /// The one before: what is left where the newest turns out to hold a diverged state.
    var savedBefore: SavedState?
    var resumedFrom: SavedState?

    var now = Instant(nanoseconds: .min)
    var timer: Instant?
    var waitKey: WaitKey?
    var waitSince = Instant(nanoseconds: 0)
    var noticed = ""
    var actions: [Action] = []

    /// A coordinator that has seen no event; the first is `.start`.
    package init(configuration: CoordinatorConfiguration, policy: any TrainingPolicy) {
        self.configuration = configuration
        self.policy = policy
        self.progress = .fresh(scheduleState: policy.initialScheduleState)
    }

    /// Takes one event at moment `time` and returns what to do.
    ///
    /// After `.end` it returns nothing.
    package mutating func handle(_ event: Event, at time: Instant) -> [Action] {
        if case .ended = stage { return [] }
        // A clock that steps back must not turn deadlines into the far future.
        now = max(now, time)
        switch event {
        case .start(let resume, let reattachment): start(from: resume, reattachment)
        case .message(let peer, let key, let message):
            receive(message, from: peer, Sender(incarnation: message.incarnation, key: key))
        case .succeeded(let fencing): succeeded(by: fencing)
        case .connectionLost(let peer):
            if let position = positions[peer] {
                suspect(position, .connectionLost)
            } else if let index = joiners.firstIndex(where: { $0.peer == peer }) {
                turnDown(index, fault(of: joiners[index], .connectionLost).sentence)
            }
        case .processExited(let incarnation, let processID, let cause, let note, let isReplaced):
            processExited(
                incarnation: incarnation,
                processID: processID,
                cause: cause,
                note: note,
                isReplaced: isReplaced
            )
        case .checkpointDurable(let steps, let file): checkpointDurable(steps, file: file)
        case .checkpointFailed(let steps, let reason): checkpointFailed(steps, reason: reason)
        case .drainRequested(let reason): drainRequested(reason: reason)
        case .workerDrainRequested(let worker, let reason): drain(worker, reason: reason)
        case .stopRequested(let reason): stop(reason: reason)
        case .tick: tick()
        }
        advance()
        armTimer(renew: event == .tick)
        let result = actions
        actions = []
        return result
    }

    // MARK: Course of the run

    private mutating func start(from resume: ResumePoint?, _ reattachment: Reattachment?) {
        guard case .idle = stage else { return }
        stage = .gathering
        waitSince = now
        lastCheckpointAt = now
        if let resume {
            progress = resume.progress
            progress.reconsider(patience: configuration.earlyStopPatience)
            saved = SavedState(
                completedSteps: progress.completedSteps,
                transition: progress.transition,
                file: resume.file
            )
            resumedFrom = saved
            resumeSource = ResumeSource(
                completedSteps: progress.completedSteps,
                file: resume.file,
                folder: configuration.checkpoints.folder
            )
        }
        if let reattachment, !reattachment.membership.members.isEmpty {
            reattach(reattachment)
            return
        }
        if isComplete {
            end(.completed, "The run is already complete: \(progress.completedSteps) steps are done and saved.")
            return
        }
        log(.info, "waiting for \(configuration.expectedWorkers) workers")
    }

    /// Whether nothing is left to compute.
    var isComplete: Bool {
        progress.stoppedEarly
            || (progress.completedSteps >= configuration.schedule.totalSteps && !isValidationPending)
    }

    /// The fewest members that the run goes on with: those of its minimum as long as steps are left to compute. Whoever is
    /// left then validates the last state and saves it.
    var leastMembers: Int {
        progress.stoppedEarly || progress.completedSteps >= configuration.schedule.totalSteps
            ? 1 : configuration.minimumWorkers
    }

    /// Whether a round of validation is due at the present state and has not been run.
    var isValidationPending: Bool {
        progress.validatedAt != progress.completedSteps
            && configuration.validation.isDue(after: progress.completedSteps, of: configuration.schedule)
    }

    /// Where this coordinator begins to count what earlier ones have counted too: answers that were meant for them come
    /// with lower numbers.
    var firstNumber: UInt32 { UInt32(truncatingIfNeeded: configuration.fencing & 0x3FFF) << 16 }

    /// Moves on as far as what is known allows.
    private mutating func advance() {
        switch stage {
        case .gathering:
            if members.count == configuration.expectedWorkers && members.allSatisfy(\.isReady) { begin() }
        case .reattaching(let waiting):
            if waiting.missing.isEmpty { concludeReattachment() }
        case .settling(let isComparing):
            if members.allSatisfy({ $0.completedSteps == progress.completedSteps }) {
                if isComparing { settle() } else { proceedAfterTakeover() }
            }
        case .holding:
            if checkpoint == nil {
                takeCheckpoint(isAmongBest: true)
                proceed()
            }
        case .saving: continueSaving()
        case .admitting: continueAdmission()
        case .pausing: continuePause()
        case .idle, .stepping, .validating, .ended: break
        }
    }

    /// Chooses what comes next, all members being at the committed state.
    mutating func proceed() {
        if ending != nil || isComplete {
            stage = .saving
            continueSaving()
            return
        }
        dismissLeavers()
        if ending != nil {
            stage = .saving
            continueSaving()
        } else if members.count < leastMembers && !isAdmissionDue {
            stage = .pausing
        } else if isAdmissionDue && (members.isEmpty || !isValidationPending) {
            stage = .admitting
            continueAdmission()
        } else if isValidationPending {
            beginValidation()
        } else {
            let isSaving = checkpoint?.completedSteps == progress.completedSteps || isSaved
            let assignment = assignment(ofStep: progress.completedSteps, isSaving: isSaving)
            broadcast(.assign(assignment))
            begin(assignment)
        }
    }

    /// Compares the members' states after a commit that nothing follows at once, then goes on.
    private mutating func settle() {
        if configuration.stateDigestInterval > 0 {
            let digests = members.compactMap { member in member.stateDigest.map { (member.number, $0) } }
            if digests.count < members.count, let position = members.firstIndex(where: { $0.stateDigest == nil }) {
                suspect(
                    position,
                    .violation("it applied step \(progress.completedSteps - 1) without the digest of its state.")
                )
                return
            }
            if disagree(digests, about: .state("at step \(progress.completedSteps)")) {
                // Those that are left agree.
                if case .settling = stage { settle() }
                return
            }
        }
        proceed()
    }

    /// The first request drains the run; a later one stops it at once.
    ///
    /// Two that come together are one: a service manager signals every process of the run, a terminal its whole group,
    /// and `timeout` its child and then the group.
    private mutating func drainRequested(reason: String) {
        guard let first = drainRequestedAt else {
            drainRequestedAt = now
            drain(reason: reason)
            return
        }
        if now - first >= configuration.timing.secondRequest {
            stop(reason: "It was asked to stop for the second time: \(reason).")
        }
    }

    mutating func drain(reason: String) {
        guard ending == nil else { return }
        ending = Ending(kind: .drained, reason: reason)
        log(.notice, "draining: \(reason)")
        switch stage {
        case .idle, .gathering:
            end(.drained, "The run was asked to end before it began: \(reason).")
        case .reattaching: break  // The state is saved once it is there.
        case .validating:
            // The round is run again when the run is resumed: nothing of it has counted.
            broadcast(.drain(reason: reason))
            stage = .saving
        case .holding:
            // The last checkpoint is that of the very state whose checkpoint waits.
            broadcast(.drain(reason: reason))
            stage = .saving
        case .pausing where !members.isEmpty:
            broadcast(.drain(reason: reason))
            stage = .settling(comparing: false)
        case .stepping, .settling, .saving, .admitting, .pausing:
            broadcast(.drain(reason: reason))
        case .ended: break
        }
    }

    /// Somebody asks that a worker leaves.
    private mutating func drain(_ worker: WorkerNumber, reason: String) {
        if let position = members.firstIndex(where: { $0.number == worker }) {
            if !members[position].isLeaving { leave(position, reason: reason) }
        } else if let index = joiners.firstIndex(where: { $0.number == worker }) {
            turnDown(index, "\(names(of: [worker])) was asked to leave: \(reason).")
        } else {
            log(.warning, "worker \(worker) was asked to leave (\(reason)), and there is none of that number")
        }
    }

    /// A worker that asks to leave is let go between two steps; where too few would be left, the run is drained.
    mutating func leave(_ position: Int, reason: String) {
        members[position].isLeaving = true
        let member = members[position]
        let who = "worker \(member.number) on host \(member.hello.hostName) asked to leave: \(reason)"
        if case .gathering = stage {
            drain(reason: who)
        } else if members.count(where: { !$0.isLeaving }) < leastMembers {
            drain(reason: who)
        } else {
            log(.notice, who)
        }
    }

    private mutating func stop(reason: String) {
        end(.stopped, "The run was stopped at once: \(reason)")
    }

    /// Ends the run in order, everything being saved.
    mutating func endInOrder() {
        let steps = progress.completedSteps
        if isComplete {
            let early = progress.stoppedEarly ? " (validation got no better)" : ""
            end(.completed, "The run is complete: \(steps) steps are done and saved\(early).")
        } else {
            end(.drained, "The run was drained after \(steps) steps: \(ending?.reason ?? "asked to").")
        }
    }

    /// Ends the run: tells the workers, then the shell.
    mutating func end(_ kind: RunOutcome.Kind, _ message: String, fault: Fault? = nil) {
        if let checkpoint {
            actions.append(.abandonCheckpoint(completedSteps: checkpoint.completedSteps, reason: message))
            self.checkpoint = nil
        }
        var sentences = message
        if kind != .completed { sentences += " " + resumeSentence }
        let outcome = RunOutcome(
            kind: kind,
            message: sentences,
            completedSteps: progress.completedSteps,
            savedSteps: saved?.completedSteps,
            fault: fault
        )
        actions.append(.journal(.ended(outcome)))
        broadcast(.finish(Finish(kind: kind, message: sentences)), to: (members + joiners).map(\.peer))
        actions.append(.end(outcome))
        stage = .ended(outcome)
    }

    private var resumeSentence: String {
        let committed = "\(progress.completedSteps) steps are committed"
        guard let saved else { return "\(committed), none is saved: a new run starts from the beginning." }
        if saved.completedSteps == progress.completedSteps {
            return "\(committed) and saved: resume the run to go on from there."
        }
        return "\(committed), \(saved.completedSteps) are saved: resume the run to go on from step "
            + "\(saved.completedSteps), with the same results."
    }

    // MARK: Small helpers

    func message(_ body: CoordinatorMessage.Body) -> CoordinatorMessage {
        CoordinatorMessage(fencing: configuration.fencing, body: body)
    }

    mutating func send(_ body: CoordinatorMessage.Body, to peer: PeerID) {
        actions.append(.send(peer, message(body)))
    }

    /// To all members.
    mutating func broadcast(_ body: CoordinatorMessage.Body) { broadcast(body, to: members.map(\.peer)) }

    mutating func broadcast(_ body: CoordinatorMessage.Body, to peers: [PeerID]) {
        if !peers.isEmpty { actions.append(.broadcast(peers, message(body))) }
    }

    mutating func log(_ level: LogLevel, _ sentence: String) {
        actions.append(.log(level, sentence))
    }
}
