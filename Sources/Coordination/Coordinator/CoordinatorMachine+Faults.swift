extension CoordinatorMachine {
    // MARK: Evidence

    mutating func processExited(
        incarnation: UInt64,
        processID: Int32,
        cause: ExitCause,
        note: String,
        isReplaced: Bool
    ) {
        let note = note.isEmpty ? "" : " " + note
        if let index = joiners.firstIndex(where: { $0.incarnation == incarnation }) {
            turnDown(index, fault(of: joiners[index], .processExited(cause)).sentence + note)
            return
        }
        if let position = members.firstIndex(where: { $0.incarnation == incarnation }) {
            let fault = fault(of: members[position], .processExited(cause))
            if case .gathering = stage, !isReplaced {
                // A process of the launcher's that is not replaced by anybody: waiting on would be in vain.
                end(.workerLost, fault.sentence + note, fault: fault)
            } else {
                suspect(position, .processExited(cause))
            }
            return
        }
        if case .reattaching = stage {
            noteExit(ofMissing: incarnation, cause, note: note)
            return
        }
        // The launcher's own process, whatever key it has.
        let refused = refusals.first { $0.key.incarnation == incarnation }?.value
        guard case .gathering = stage, refused?.isSurplus != true else { return }
        if isReplaced {
            log(
                .warning,
                "A worker process (process \(processID)) \(cause) before the run began; another one is started.\(note)"
            )
            return
        }
        let refusal = refused.map { " It had been refused: \($0.reason)" } ?? ""
        end(
            .notStarted,
            "A worker process (process \(processID)) \(cause) before the run began.\(refusal)\(note)"
        )
    }

    mutating func receive(_ report: FailureReport, from position: Int) {
        // The reporter's own words about where it stood are newer than its last heartbeat.
        members[position].enter(report.phase, step: report.step, at: now)
        if let suspect = report.suspect, suspect != members[position].number {
            // One that is out already was reported by the others.
            guard let other = members.firstIndex(where: { $0.number == suspect }) else { return }
            self.suspect(other, .accused(by: members[position].number, message: report.message))
        } else {
            suspect(position, .reported(report.message))
        }
    }

    func fault(of member: MemberState, _ cause: Fault.Cause) -> Fault {
        Fault(
            worker: member.number,
            hostName: member.hello.hostName,
            processID: member.hello.processID,
            phase: member.phase,
            step: member.phaseStep,
            inPhase: now - member.phaseSince,
            cause: cause
        )
    }

    /// Takes evidence against a member: certain evidence decides at once, other evidence waits a moment for better.
    ///
    /// The members may be others afterwards.
    mutating func suspect(_ position: Int, _ cause: Fault.Cause) {
        let fault = fault(of: members[position], cause)
        switch stage {
        case .idle, .ended: break
        case .gathering:
            log(.warning, fault.sentence + " The run has not begun; another worker may take its place.")
            turnOut(members[position], fault.sentence)
            remove(position)
        case .reattaching(var waiting):
            noteLoss(of: members[position], fault)
            remove(position)
            waiting.faults.append(fault)
            stage = .reattaching(waiting)
        case .stepping, .settling, .validating, .holding, .saving, .admitting, .pausing:
            var blame = blame ?? Blame(evidence: [], decideBy: now + configuration.timing.blameWindow)
            blame.evidence.append(fault)
            self.blame = blame
            if cause.isCertain || now >= blame.decideBy { decide() }
        }
    }

    /// Names the culprit: the best evidence, then the most of it, then the youngest worker.
    mutating func decide() {
        guard let blame else { return }
        self.blame = nil
        let evidence = blame.evidence.filter { fault in members.contains { $0.number == fault.worker } }
        func weight(_ fault: Fault) -> (Int, Int, Int) {
            let voices = evidence.count { $0.worker == fault.worker }
            return (fault.cause.rank, -voices, -Int(fault.worker))
        }
        guard let culprit = evidence.min(by: { weight($0) < weight($1) }) else { return }
        var faults = [culprit]
        // Who is accused may be well; who is gone or silent is not.
        for fault in evidence where fault.cause.rank < Fault.Cause.stalled(.zero).rank {
            if !faults.contains(where: { $0.worker == fault.worker }) { faults.append(fault) }
        }
        expel(faults)
    }

    // MARK: Recovery

    /// Puts members out of the run, which goes on without them: a step in flight is shared among the others, and
    /// nothing that they have computed is computed again.
    mutating func expel(_ faults: [Fault]) {
        guard let first = faults.first else { return }
        let lost = Set(faults.map(\.worker))
        for fault in faults {
            if let member = members.first(where: { $0.number == fault.worker }) { noteLoss(of: member, fault) }
        }
        giveUpCheckpoint(of: lost, reason: first.sentence)
        let requests = members.filter { lost.contains($0.number) }.flatMap(\.requests).map(\.samples)
        members.removeAll { lost.contains($0.number) }
        indexMembers()
        if members.isEmpty {
            loseAll(first)
            return
        }
        announceMembers()
        if members.count < leastMembers {
            pause(first.sentence, first)
            return
        }
        log(.notice, "the run goes on with \(members.count) \(members.count == 1 ? "worker" : "workers")")
        switch stage {
        case .stepping(let step): repeatStep(step)
        case .validating(var validation):
            stage = .idle  // The counts must have one owner while they change.
            validation.returned += requests
            stage = .validating(validation)
            for position in members.indices where members[position].requests.isEmpty {
                requestValidation(from: position)
            }
        default: break
        }
    }

    /// Puts a member out, and says so.
    mutating func noteLoss(of member: MemberState, _ fault: Fault) {
        log(.error, fault.sentence)
        actions.append(.journal(.lost(worker: fault.worker, sentence: fault.sentence)))
        turnOut(member, fault.sentence)
    }

    /// Tells a worker that it is out, and the shell to forget it; remembers why.
    private mutating func turnOut(_ member: MemberState, _ reason: String) {
        // It may live: the run may be over before it would ask.
        send(.refuse(reason: reason), to: member.peer)
        refusals[member.sender] = Refusal(reason: reason, isSurplus: false)
        actions.append(.evict(member.number, member.peer, incarnation: member.incarnation, reason: reason))
    }

    /// Turns down a worker that was about to join.
    mutating func turnDown(_ index: Int, _ reason: String) {
        log(.warning, reason + " It had not joined the run yet.")
        turnOut(joiners[index], reason)
        joiners.remove(at: index)
    }

    /// Gives up a checkpoint that still needs a part of one of `lost`.
    private mutating func giveUpCheckpoint(of lost: Set<WorkerNumber>, reason: String) {
        guard let current = checkpoint else { return }
        let isWaiting = zip(current.order.pieces, current.isStreamed).contains { piece, isStreamed in
            !isStreamed && lost.contains(piece.worker)
        }
        guard isWaiting else { return }
        actions.append(.abandonCheckpoint(completedSteps: current.completedSteps, reason: reason))
        checkpoint = nil
        // It is taken again, of the state that the run has reached by then.
        owesCheckpoint = true
    }

    /// Tells everybody who the members are now.
    ///
    /// `beginning`: with this membership the coordinator begins, at so many completed steps. The journal then knows its
    /// members before it knows that it has begun: a successor that read of a beginning alone would refuse them all.
    mutating func announceMembers(beginning steps: UInt64? = nil) {
        membership = Membership(version: membership.version + 1, members: members.map(\.member))
        let incarnations = members.map(\.incarnation)
        actions.append(.journal(.membership(membership, incarnations: incarnations, keys: members.map(\.sender.key))))
        if let steps { actions.append(.journal(.began(fencing: configuration.fencing, completedSteps: steps))) }
        broadcast(.membership(membership))
    }

    /// The last member is gone.
    private mutating func loseAll(_ fault: Fault) {
        if isSaved && (isComplete || ending != nil) {
            // The run was about to end in order, and has lost nothing.
            endInOrder()
        } else {
            pause(fault.sentence, fault)
        }
    }

    // MARK: Too few workers

    /// Stops the step in flight: the members keep the state of the last commit, which is saved.
    ///
    /// A run that is about to end needs no further workers for that: it does not wait for any.
    mutating func pause(_ reason: String, _ fault: Fault?) {
        if case .stepping(let step) = stage {
            broadcast(
                .abandon(
                    step: step.assignment.step,
                    generation: step.assignment.generation,
                    reason: reason
                )
            )
        }
        if ending != nil, !members.isEmpty {
            if case .saving = stage { return }
            stage = .settling(comparing: false)
            waitSince = now
            if members.allSatisfy({ $0.completedSteps == progress.completedSteps }) { proceed() }
            return
        }
        stage = .pausing
        waitSince = now
        endPauseSoon()
        if lack == nil {
            lack = Pause(reason: reason, fault: fault, since: now, until: now + configuration.timing.pausing)
            log(
                .warning,
                "paused at step \(progress.completedSteps): \(members.count) of at least "
                    + "\(leastMembers) workers are left; waits "
                    + "\(configuration.timing.pausing.inWords) for others"
            )
        }
        continuePause()
    }

    /// Saves the state; goes on once there are workers enough, ends the run where nothing is left to wait for.
    mutating func continuePause() {
        guard case .pausing = stage, let lack,
            members.allSatisfy({ $0.completedSteps == progress.completedSteps })
        else { return }
        if checkpoint != nil { return }
        if !isSaved && progress.completedSteps > 0 {
            if members.isEmpty {
                end(.workerLost, lack.reason + " No worker is left.", fault: lack.fault)
                return
            }
            if now >= retryAt {
                beginCheckpoint(.pause)
                return
            }
        }
        if ending != nil || isComplete {
            if isSaved || progress.completedSteps == 0 { endInOrder() }
            return
        }
        if members.count + joiners.count(where: \.isReady) >= leastMembers { proceed() }
    }

    /// What was waited for in a pause may have taken longer than the pause: it ends soon, but no wait begins after its
    /// deadline.
    mutating func endPauseSoon() {
        guard let until = lack?.until else { return }
        let soon = now + configuration.timing.heartbeatInterval
        lack?.until = max(until, soon)
    }

    /// Until when others are waited for in a pause: a checkpoint that has failed is tried again before it is over.
    var endOfPause: Instant {
        let until = lack?.until ?? waitSince
        let timing = configuration.timing
        guard !isSaved, !members.isEmpty, let failed = failedSaves, failed.completedSteps == progress.completedSteps,
            failed.count == 1 || (failed.count < timing.lastSaves && retryAt - failed.since < timing.lastSaving)
        else { return until }
        return max(until, retryAt + timing.heartbeatInterval)
    }

    // MARK: Joining a run

    /// Whether workers that have loaded their data wait to be let in.
    var isAdmissionDue: Bool { now >= retryAt && joiners.contains(where: \.isReady) }

    /// Lets those in who have loaded the present state.
    mutating func continueAdmission() {
        guard case .admitting = stage else { return }
        let steps = progress.completedSteps
        guard joiners.contains(where: \.isReady), ending == nil else {
            finishAdmission([])
            return
        }
        if !isSaved && steps > 0 {
            if checkpoint == nil { beginCheckpoint(.join) }
            return
        }
        for index in joiners.indices where joiners[index].isReady && joiners[index].restoring != steps {
            if steps == 0 || saved == nil {
                joiners[index].restoring = steps
                continue
            }
            joiners[index].restoring = steps
            joiners[index].completedSteps = .max
            joiners[index].enter(.preparing, step: steps, at: now)
            let source = ResumeSource(
                completedSteps: steps,
                file: saved?.file ?? "",
                folder: configuration.checkpoints.folder
            )
            send(.welcome(welcome(for: joiners[index].number, resume: source)), to: joiners[index].peer)
        }
        let candidates = joiners.filter(\.isReady)
        if candidates.allSatisfy({ $0.restoring == steps && $0.completedSteps == steps }) {
            finishAdmission(candidates)
        }
    }

    /// Makes members of those that stand at the present state, then goes on.
    private mutating func finishAdmission(_ candidates: [MemberState]) {
        if !candidates.isEmpty {
            let numbers = Set(candidates.map(\.number))
            joiners.removeAll { numbers.contains($0.number) }
            members += candidates
            members.sort { $0.number < $1.number }
            indexMembers()
            announceMembers()
            log(
                .notice,
                "\(names(of: candidates.map(\.number))) joined at step \(progress.completedSteps): "
                    + "\(members.count) workers"
            )
        }
        if members.count >= leastMembers {
            lack = nil
        } else {
            endPauseSoon()
        }
        proceed()
    }

    /// Lets members go that have asked to.
    mutating func dismissLeavers() {
        let leavers = members.filter(\.isLeaving)
        guard !leavers.isEmpty else { return }
        let names = names(of: leavers.map(\.number))
        if members.count - leavers.count < leastMembers {
            // Others were lost since they asked.
            drain(reason: "\(names) asked to leave, and too few would be left")
            return
        }
        members.removeAll(where: \.isLeaving)
        giveUpCheckpoint(of: Set(leavers.map(\.number)), reason: "\(names) left the run.")
        indexMembers()
        for leaver in leavers {
            let message =
                "Worker \(leaver.number) left the run at step \(progress.completedSteps), as it was asked to; the "
                + "run goes on."
            refusals[leaver.sender] = Refusal(reason: message, isSurplus: true)
            send(.finish(Finish(kind: .drained, message: message)), to: leaver.peer)
        }
        log(.notice, "\(names) left at step \(progress.completedSteps): \(members.count) workers")
        announceMembers()
    }
}
