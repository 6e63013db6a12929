import Sampling

/// A coordinator that takes over from one that has died: its members hold the run in their memory, and come back to it.
///
/// A step is committed where any member has applied it, or is applying it; those that hold its sums are told to apply it
/// too. The step after that is begun anew by all, with the same bits. What the journal tells of validation, and what the
/// checkpoints hold, is older than the members' state or equal to it.
extension CoordinatorMachine {
    /// Begins to wait for the members of the coordinator before.
    mutating func reattach(_ reattachment: Reattachment) {
        membership.version = reattachment.membership.version
        rounds = firstNumber
        nextNumber = reattachment.nextNumber
        let missing = Set(reattachment.membership.members.map(\.worker))
        stage = .reattaching(
            Reattaching(
                reattachment: reattachment,
                missing: missing,
                until: now + configuration.timing.reattaching
            )
        )
        log(
            .notice,
            "takes over from a coordinator that has died; waits \(configuration.timing.reattaching.inWords) for its "
                + "\(missing.count) \(missing.count == 1 ? "worker" : "workers") to come back"
        )
    }

    /// Takes a worker back that holds a seat, once it obeys this coordinator.
    ///
    /// - Returns: whether it was known; what is left is refused like any stranger.
    mutating func reattach(
        _ seat: Seat,
        _ hello: Hello,
        incarnation: UInt64,
        from peer: PeerID,
        _ waiting: Reattaching
    ) -> Bool {
        if seat.fencing > configuration.fencing {
            end(
                .stopped,
                "Worker \(seat.worker) on host \(hello.hostName) obeys a later coordinator of this run (incarnation "
                    + "\(seat.fencing), this one is \(configuration.fencing))."
            )
            return true
        }
        if waiting.reattachment.lost.contains(seat.worker) { return false }
        let isExpected = !seat.isMember || waiting.reattachment.incarnations[seat.worker] == incarnation
        if seat.fencing < configuration.fencing && isExpected && refusals[incarnation] == nil {
            // It may still obey the coordinator before; once it has heard this one, it says what it then holds.
            send(.welcome(welcome(for: seat.worker, resume: nil)), to: peer)
            return true
        }
        if let position = members.firstIndex(where: { $0.incarnation == incarnation }) {
            positions[members[position].peer] = nil
            members[position].peer = peer
            positions[peer] = position
            members[position].lastHeard = now
            return true
        }
        guard hello.protocolVersion == configuration.protocolVersion, refusals[incarnation] == nil,
            hello.programVersion == configuration.programVersion, positions[peer] == nil
        else { return false }
        var member = MemberState(number: seat.worker, peer: peer, incarnation: incarnation, hello: hello, now: now)
        member.seat = seat
        // The journal knows of members before they themselves do.
        guard seat.isMember || waiting.reattachment.incarnations[seat.worker] == incarnation else {
            // It was about to join; nothing of its state is known, so it will load the run's when its turn comes.
            let isTaken =
                waiting.reattachment.incarnations[seat.worker] != nil
                || joiners.contains { $0.number == seat.worker && $0.incarnation != incarnation }
            if isTaken { return false }
            if let index = joiners.firstIndex(where: { $0.incarnation == incarnation }) {
                joiners[index].peer = peer
                joiners[index].lastHeard = now
            } else {
                nextNumber = max(nextNumber, seat.worker + 1)
                joiners.append(member)
            }
            return true
        }
        guard waiting.reattachment.incarnations[seat.worker] == incarnation, waiting.missing.contains(seat.worker)
        else { return false }
        member.isReady = true
        member.completedSteps = seat.completedSteps
        member.enter(seat.isApplying ? .applying : .waiting, step: seat.completedSteps, at: now)
        members.append(member)
        members.sort { $0.number < $1.number }
        indexMembers()
        var waiting = waiting
        waiting.missing.remove(seat.worker)
        stage = .reattaching(waiting)
        log(.info, "worker \(seat.worker) on host \(hello.hostName) is back at step \(seat.completedSteps)")
        return true
    }

    /// Takes what a member says before the run goes on: it changes its seat, or was meant for the coordinator before.
    ///
    /// - Returns: whether that was all.
    mutating func receive(_ body: WorkerMessage.Body, whileReattaching position: Int) -> Bool {
        switch body {
        case .applied(let steps, _):
            guard let seat = members[position].seat, seat.isApplying, steps == seat.committedSteps else {
                ignoredMessages += 1
                return true
            }
            members[position].seat?.completedSteps = steps
            members[position].seat?.isApplying = false
            members[position].completedSteps = steps
            members[position].enter(.waiting, step: steps, at: now)
        case .reduced(let report): members[position].seat?.reports.append(report)
        case .leaving(let reason):
            members[position].isLeaving = true
            log(.notice, "\(names(of: [members[position].number])) asked to leave: \(reason)")
        case .ready, .validated, .checkpointPiece: ignoredMessages += 1
        case .hello, .heartbeat, .failure: return false
        }
        return true
    }

    /// Takes one off the list of those that may come back.
    mutating func noteExit(ofMissing incarnation: UInt64, _ cause: ExitCause, note: String) {
        guard case .reattaching(var waiting) = stage,
            let number = waiting.reattachment.incarnations.first(where: { $0.value == incarnation })?.key,
            waiting.missing.remove(number) != nil
        else { return }
        noteAbsence(of: number, &waiting, "its process \(cause).\(note)")
        stage = .reattaching(waiting)
    }

    /// Says that a member of the coordinator before does not come back.
    private mutating func noteAbsence(of number: WorkerNumber, _ waiting: inout Reattaching, _ reason: String) {
        let fault = Fault(
            worker: number,
            hostName: waiting.reattachment.membership.members.first { $0.worker == number }?.hostName ?? "unknown",
            processID: 0,
            phase: .waiting,
            step: progress.completedSteps,
            inPhase: .zero,
            cause: .absent(reason)
        )
        log(.error, fault.sentence)
        actions.append(.journal(.lost(worker: number, sentence: fault.sentence)))
        waiting.faults.append(fault)
    }

    /// Goes on with the members that are back.
    mutating func concludeReattachment() {
        guard case .reattaching(var waiting) = stage else { return }
        for number in waiting.missing.sorted() {
            noteAbsence(of: number, &waiting, "it said nothing for \(configuration.timing.reattaching.inWords).")
        }
        let steps = members.compactMap(\.seat?.committedSteps).max()
        guard let steps, steps >= leastSteps(waiting.reattachment) else {
            loseReattachment(waiting)
            return
        }
        adopt(steps, waiting.reattachment)
        // Those that are too far behind to be told what they have missed.
        while let position = members.firstIndex(where: { !isWithin(reach: steps, $0) }) {
            let member = members[position]
            let fault = fault(
                of: member,
                .absent("it stands at step \(member.completedSteps), the others at \(steps).")
            )
            waiting.faults.append(fault)
            noteLoss(of: member, fault)
            remove(position)
        }
        actions.append(.journal(.began(fencing: configuration.fencing, completedSteps: steps)))
        announceMembers()
        log(
            .notice,
            "goes on at step \(steps) of \(configuration.schedule.totalSteps) with the \(members.count) "
                + "\(members.count == 1 ? "worker" : "workers") of the coordinator before, from their memory"
        )
        // Others may have been started for those that were taken for dead.
        while members.count + joiners.count > configuration.maximumWorkers, let last = joiners.last {
            let reason = "The run has its \(configuration.maximumWorkers) workers; start it with more to use this one."
            turnDown(joiners.count - 1, "\(last.hello.hostName) (process \(last.hello.processID)): \(reason)")
        }
        waitSince = now
        stage = .settling(comparing: false)
        recommit(before: steps)
        for position in members.indices { members[position].seat = nil }
        if members.count < configuration.minimumWorkers {
            let reason =
                waiting.faults.first?.sentence ?? "The coordinator that died had only \(members.count) workers left."
            pause(reason, waiting.faults.first)
        } else if members.allSatisfy({ $0.completedSteps == steps }) {
            proceedAfterTakeover()
        }
    }

    /// All members stand at the committed state: the best one so far is saved, where its coordinator died before it was.
    mutating func proceedAfterTakeover() {
        if configuration.checkpoints.onBest, !isSaved, checkpoint == nil, !isComplete, ending == nil,
            progress.validatedAt == progress.completedSteps, progress.best?.transition == progress.transition
        {
            beginCheckpoint(.best)
        }
        proceed()
    }

    /// The steps that are known to be done without asking any worker.
    private func leastSteps(_ reattachment: Reattachment) -> UInt64 {
        max(progress.completedSteps, reattachment.progress?.completedSteps ?? 0)
    }

    /// Takes over where the members stand; validation has moved as the journal tells.
    private mutating func adopt(_ steps: UInt64, _ reattachment: Reattachment) {
        if let journalled = reattachment.progress, journalled.transition >= progress.transition {
            progress = journalled
        }
        progress.completedSteps = steps
        let attempts = members.compactMap(\.seat).filter { $0.committedSteps == steps && !$0.isApplying }
        lastAttempt = (steps, max(firstNumber, attempts.map(\.generation).max() ?? 0))
    }

    /// Whether the member stands at `steps`, or can be told to apply the step before.
    private func isWithin(reach steps: UInt64, _ member: MemberState) -> Bool {
        guard let seat = member.seat else { return false }
        return seat.committedSteps == steps || (steps > 0 && seat.holdsSums(of: steps - 1) && !seat.isApplying)
    }

    /// Tells the members that hold the sums of the last committed step to apply them, and keeps its record.
    private mutating func recommit(before steps: UInt64) {
        guard steps > 0 else { return }
        let step = steps - 1
        let reports = members.compactMap { member in
            member.seat?.reports.first { $0.step == step }.map { (member.number, $0) }
        }
        guard let first = reports.first?.1 else { return }
        let location = configuration.schedule.location(of: step)
        var hyperparameters = policy.hyperparameters(of: step, at: location, schedule: progress.scheduleState)
        hyperparameters.skipsUpdate = reports.contains { $0.1.nonFinite != nil }
        let late = members.filter { $0.seat?.committedSteps == step }.map(\.peer)
        broadcast(
            .commit(Commit(step: step, hyperparameters: hyperparameters, wantsStateDigest: false, next: nil)),
            to: late
        )
        actions.append(
            .record(
                StepRecord(
                    step: step,
                    location: location,
                    generation: first.generation,
                    losses: first.losses,
                    gradientNorm: first.gradientNorm,
                    hyperparameters: hyperparameters,
                    duration: .zero,
                    workers: reports.map { StepRecord.WorkerTimings(worker: $0.0, timings: $0.1.timings) }
                )
            )
        )
    }

    /// Ends where nobody is back that could go on: the newest checkpoint is what is left.
    private mutating func loseReattachment(_ waiting: Reattaching) {
        let number = waiting.reattachment.membership.members.count
        end(
            .workerLost,
            "None of the \(number) workers of the coordinator that died has come back with a state that is newer than "
                + "what is saved.",
            fault: waiting.faults.first
        )
    }
}
