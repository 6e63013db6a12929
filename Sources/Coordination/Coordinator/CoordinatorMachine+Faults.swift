extension CoordinatorMachine {
    // MARK: Evidence

    mutating func processExited(incarnation: UInt64, processID: Int32, cause: ExitCause, note: String) {
        let note = note.isEmpty ? "" : " " + note
        if let position = members.firstIndex(where: { $0.incarnation == incarnation }) {
            if case .gathering = stage {
                // A process of the launcher's is not replaced by anybody: waiting on would be in vain.
                let fault = fault(of: position, .processExited(cause))
                end(.workerLost, fault.sentence + note, fault: fault)
            } else {
                suspect(position, .processExited(cause))
            }
            return
        }
        guard case .gathering = stage, refusals[incarnation]?.isSurplus != true else { return }
        let refusal = refusals[incarnation].map { " It had been refused: \($0.reason)" } ?? ""
        end(
            .notStarted,
            "A worker process (process \(processID)) \(cause) before the run began.\(refusal)\(note)"
        )
    }

    mutating func receive(_ report: FailureReport, from position: Int) {
        // The reporter's own words about where it stood are newer than its last heartbeat.
        members[position].enter(report.phase, step: report.step, at: now)
        if let suspect = report.suspect, suspect != members[position].number,
            let other = members.firstIndex(where: { $0.number == suspect })
        {
            self.suspect(other, .accused(by: members[position].number, message: report.message))
        } else {
            suspect(position, .reported(report.message))
        }
    }

    private func fault(of position: Int, _ cause: Fault.Cause) -> Fault {
        let member = members[position]
        return Fault(
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
    mutating func suspect(_ position: Int, _ cause: Fault.Cause) {
        let fault = fault(of: position, cause)
        switch stage {
        case .idle, .ended: break
        case .gathering:
            let member = members[position]
            log(.warning, fault.sentence + " The run has not begun; another worker may take its place.")
            actions.append(.evict(member.number, member.peer, reason: fault.sentence))
            refusals[member.incarnation] = Refusal(reason: fault.sentence, isSurplus: false)
            remove(position)
        case .stepping, .settling, .validating, .holding, .saving:
            if case .stepping(let step) = stage {
                broadcast(
                    .abandon(
                        step: step.assignment.step,
                        generation: step.assignment.generation,
                        reason: fault.sentence
                    )
                )
            }
            blame(Blame(evidence: [fault], decideBy: now + configuration.timing.blameWindow))
        case .blaming(var blame):
            blame.evidence.append(fault)
            self.blame(blame)
        case .rescuing:
            if cause.rank < Fault.Cause.stalled(.zero).rank { lose(position, fault) }
        }
    }

    private mutating func blame(_ blame: Blame) {
        stage = .blaming(blame)
        if blame.evidence.contains(where: \.cause.isCertain) || now >= blame.decideBy { decide(blame) }
    }

    /// Names the culprit: the best evidence, then the most of it, then the youngest worker.
    mutating func decide(_ blame: Blame) {
        func weight(_ fault: Fault) -> (Int, Int, Int) {
            let voices = blame.evidence.count { $0.worker == fault.worker }
            return (fault.cause.rank, -voices, -Int(fault.worker))
        }
        guard let culprit = blame.evidence.min(by: { weight($0) < weight($1) }) else { return }
        var sentence = culprit.sentence
        let others = Set(
            blame.evidence.filter { $0.cause.rank < Fault.Cause.stalled(.zero).rank }.map(\.worker)
        ).subtracting([culprit.worker]).sorted()
        if !others.isEmpty { sentence += " Lost with it: \(names(of: others))." }
        stage = .rescuing(
            Rescue(fault: culprit, sentence: sentence, until: now + configuration.timing.rescue)
        )
        for (position, member) in members.enumerated() where !member.isLost {
            if member.number == culprit.worker {
                lose(position, culprit)
            } else if others.contains(member.number),
                let fault = blame.evidence.first(where: { $0.worker == member.number })
            {
                lose(position, fault)
            }
        }
    }

    /// Puts a member out of the run.
    private mutating func lose(_ position: Int, _ fault: Fault) {
        guard !members[position].isLost else { return }
        members[position].isLost = true
        refusals[members[position].incarnation] = Refusal(reason: fault.sentence, isSurplus: false)
        log(.error, fault.sentence)
        actions.append(.journal(.lost(worker: fault.worker, sentence: fault.sentence)))
        actions.append(.evict(fault.worker, members[position].peer, reason: fault.sentence))
    }

    // MARK: Rescue

    /// Saves the last committed state from the survivors, as far as time allows, then ends the run.
    mutating func continueRescue(_ rescue: Rescue) {
        if isSaved || now >= rescue.until || progress.completedSteps == 0 {
            conclude(rescue)
            return
        }
        if let current = checkpoint {
            let lost = Set(members.filter(\.isLost).map(\.number))
            let isWaiting = zip(current.order.pieces, current.isStreamed).contains { piece, isStreamed in
                !isStreamed && lost.contains(piece.worker)
            }
            let isOld = current.order.progress != progress
            // An older checkpoint that only the disk still works on is let finish: it may be all there will be.
            guard isWaiting || (isOld && !current.isComplete) else { return }
            actions.append(
                .abandonCheckpoint(completedSteps: current.completedSteps, reason: rescue.sentence)
            )
            checkpoint = nil
        }
        if members.contains(where: { !$0.isLost }) {
            beginCheckpoint(.rescue)
        } else {
            conclude(rescue)
        }
    }

    mutating func conclude(_ rescue: Rescue) {
        if isSaved && (isComplete || ending != nil) {
            // The run was about to end in order, and has lost nothing.
            endInOrder()
        } else {
            end(.workerLost, rescue.sentence, fault: rescue.fault)
        }
    }
}
