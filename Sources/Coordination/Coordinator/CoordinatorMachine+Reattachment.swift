import Sampling

/// A coordinator that takes over from one that has died: its members hold the run in their memory, and come back to it.
///
/// A step is committed where any member has applied it, or is applying it; those that hold its sums are told to apply it
/// too. The step after that is begun anew by all, with the same bits. What the journal tells of validation, and what the
/// checkpoints hold, is older than the members' state or equal to it.
///
/// A name is not a proof: a seat is that of the process and the key that the journal names, and of nobody else. What one
/// member tells of its steps is held against what the others tell and what has been recorded, see `judge`.
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
    /// - Returns: why it is refused, or nil.
    mutating func reattach(
        _ seat: Seat,
        _ hello: Hello,
        of sender: Sender,
        from peer: PeerID,
        _ waiting: Reattaching
    ) -> Refusal? {
        let known = waiting.reattachment
        if known.lost.contains(seat.worker) { return tooLate(seat) }
        guard known.incarnations[seat.worker] == sender.incarnation else {
            // A member of another process: one that was put out before, or a stranger.
            if seat.isMember || known.incarnations[seat.worker] != nil { return tooLate(seat) }
            return reattachJoiner(seat, hello, of: sender, from: peer, waiting)
        }
        if let key = known.keys[seat.worker] ?? (sender.key.isEmpty ? nil : ""), key != sender.key {
            return Refusal(
                reason:
                    "Worker \(seat.worker) of this run has the key \(key.isEmpty ? "of nobody" : key), this process "
                    + "has \(sender.key.isEmpty ? "none" : sender.key). Only who has joined as a worker may come back as it.",
                isSurplus: false
            )
        }
        guard seat.committedSteps <= configuration.schedule.totalSteps else {
            return Refusal(
                reason: "It says that it stands at step \(seat.committedSteps) of a run of "
                    + "\(configuration.schedule.totalSteps). Start the worker anew.",
                isSurplus: false
            )
        }
        if seat.fencing > configuration.fencing {
            note(follower: seat, hello, waiting)
            return nil
        }
        if seat.fencing < configuration.fencing {
            // It may still obey the coordinator before; once it has heard this one, it says what it then holds.
            send(.welcome(welcome(for: seat.worker, resume: nil)), to: peer)
            return nil
        }
        if let position = members.firstIndex(where: { $0.sender == sender }) {
            guard positions[peer] == nil || positions[peer] == position else { return tooLate(seat) }
            positions[members[position].peer] = nil
            members[position].peer = peer
            positions[peer] = position
            members[position].lastHeard = now
            return nil
        }
        guard positions[peer] == nil, waiting.missing.contains(seat.worker) else { return tooLate(seat) }
        var member = MemberState(number: seat.worker, peer: peer, sender: sender, hello: hello, now: now)
        member.seat = seat
        member.isReady = true
        member.completedSteps = seat.completedSteps
        member.enter(seat.isApplying ? .applying : .waiting, step: seat.completedSteps, at: now)
        members.append(member)
        members.sort { $0.number < $1.number }
        indexMembers()
        var waiting = waiting
        waiting.missing.remove(seat.worker)
        waiting.followers[seat.worker] = nil
        stage = .reattaching(waiting)
        log(.info, "worker \(seat.worker) on host \(hello.hostName) is back at step \(seat.completedSteps)")
        return nil
    }

    /// Takes a worker that was about to join: nothing of its state is known, so it loads the run's when its turn comes.
    private mutating func reattachJoiner(
        _ seat: Seat,
        _ hello: Hello,
        of sender: Sender,
        from peer: PeerID,
        _ waiting: Reattaching
    ) -> Refusal? {
        // It is told of this coordinator in any case; one that obeys a later one does not listen.
        guard seat.fencing >= configuration.fencing else {
            send(.welcome(welcome(for: seat.worker, resume: nil)), to: peer)
            return nil
        }
        var wasKnown = false
        if let index = joiners.firstIndex(where: { $0.sender == sender }) {
            if joiners[index].number == seat.worker {
                joiners[index].peer = peer
                joiners[index].lastHeard = now
                return nil
            }
            // Its first hello came late, and it was given a number beside the one that it has had since.
            joiners.remove(at: index)
            wasKnown = true
        }
        // Numbers are given one after the other, so none is far ahead of those that the journal knows.
        let isTaken = joiners.contains { $0.number == seat.worker || $0.peer == peer } || positions[peer] != nil
        let isPossible = seat.worker < waiting.reattachment.nextNumber.addingReportingOverflow(1 << 16).partialValue
        if isTaken || !isPossible || seat.fencing > configuration.fencing { return tooLate(seat) }
        guard joiners.count < configuration.maximumWorkers else {
            return Refusal(
                reason: "The run has its \(configuration.maximumWorkers) workers; start it with more to use this one.",
                isSurplus: true
            )
        }
        var member = MemberState(number: seat.worker, peer: peer, sender: sender, hello: hello, now: now)
        member.seat = seat
        nextNumber = max(nextNumber, seat.worker + 1)
        joiners.append(member)
        // It has not listened to a welcome under another number, and tells now what it has loaded.
        if wasKnown { send(.welcome(welcome(for: seat.worker, resume: nil)), to: peer) }
        return nil
    }

    // MARK: Succession

    /// A member says that it obeys a later coordinator. This one ends where that is more than one member's word: most of
    /// the run's members say so, or the journal does, in which every coordinator that leads has written its incarnation.
    private mutating func note(follower seat: Seat, _ hello: Hello, _ waiting: Reattaching) {
        var waiting = waiting
        let isNew = waiting.followers.updateValue(seat.fencing, forKey: seat.worker) == nil
        stage = .reattaching(waiting)
        if 2 * waiting.followers.count > waiting.reattachment.membership.members.count {
            endSucceeded(
                by: seat.fencing,
                "\(waiting.followers.count) of its \(waiting.reattachment.membership.members.count) workers, the last of "
                    + "them worker \(seat.worker) on host \(hello.hostName), obey it"
            )
        } else if isNew {
            log(
                .warning,
                "worker \(seat.worker) on host \(hello.hostName) says that it obeys a later coordinator (incarnation "
                    + "\(seat.fencing), this one is \(configuration.fencing)); the others and the journal are asked"
            )
            actions.append(.confirmSuccession)
        }
    }

    /// The journal knows of a later coordinator.
    mutating func succeeded(by fencing: UInt64) {
        guard fencing > configuration.fencing, case .reattaching = stage else { return }
        endSucceeded(by: fencing, "the run's journal says so")
    }

    private mutating func endSucceeded(by fencing: UInt64, _ proof: String) {
        end(
            .stopped,
            "A later coordinator leads this run (incarnation \(fencing), this one is \(configuration.fencing)): \(proof)."
        )
    }

    // MARK: What they say

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
        case .reduced(let report):
            guard let seat = members[position].seat, !seat.isApplying, report.step == seat.completedSteps else {
                ignoredMessages += 1
                return true
            }
            // Of this step and the one before, as the worker itself keeps them.
            let before = seat.reports.filter { $0.step + 1 == report.step }
            members[position].seat?.reports = Array(before.suffix(1)) + [report]
        case .leaving(let reason):
            members[position].isLeaving = true
            log(.notice, "\(names(of: [members[position].number])) asked to leave: \(reason)")
        case .ready, .validated, .checkpointPiece: ignoredMessages += 1
        case .failure(let report) where report.suspect.map({ $0 != members[position].number }) ?? false:
            // Of the dead coordinator's step. Where it still holds, the next step shows it, and is judged by all.
            ignoredMessages += 1
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
            if let fencing = waiting.followers[number] {
                let reason =
                    "it says that it obeys a coordinator of incarnation \(fencing), of which nobody else knows."
                noteAbsence(of: number, &waiting, reason)
            } else {
                noteAbsence(of: number, &waiting, "it said nothing for \(configuration.timing.reattaching.inWords).")
            }
        }
        guard let steps = judge(&waiting), steps >= leastSteps(waiting.reattachment) else {
            loseReattachment(waiting)
            return
        }
        adopt(steps, waiting.reattachment)
        announceMembers(beginning: steps)
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
        if members.count < leastMembers {
            let reason =
                waiting.faults.first?.sentence ?? "The coordinator that died had only \(members.count) workers left."
            pause(reason, waiting.faults.first)
        } else if members.allSatisfy({ $0.completedSteps == steps }) {
            proceedAfterTakeover()
        }
    }

    /// All members stand at the committed state: one of the best is saved, where its coordinator died before it was.
    mutating func proceedAfterTakeover() {
        if configuration.checkpoints.best > 0, !isSaved, checkpoint == nil, !isComplete, ending == nil,
            progress.isAtBest
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
        // All coordinators before have counted below this one's numbers, or a little above where those begin anew.
        let highest = firstNumber + 0xFFFF
        lastAttempt = (steps, max(firstNumber, min(highest, attempts.map(\.generation).max() ?? 0)))
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
        // A run that stops at such sums has committed none.
        hyperparameters.skipsUpdate =
            configuration.onNonFinite == .skip && reports.contains { $0.1.nonFinite != nil }
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
        let late = members.filter { $0.seat?.committedSteps == step }.map(\.peer)
        broadcast(
            .commit(Commit(step: step, hyperparameters: hyperparameters, wantsStateDigest: false, next: nil)),
            to: late
        )
    }

    /// Ends where nobody is back that could go on: the newest checkpoint is what is left.
    private mutating func loseReattachment(_ waiting: Reattaching) {
        let number = waiting.reattachment.membership.members.count
        if let disagreement = waiting.disagreement {
            end(
                .workerLost,
                disagreement
                    + " Nobody can say who is right, so neither is trusted: the newest checkpoint is what is left.",
                fault: waiting.faults.first
            )
            return
        }
        end(
            .workerLost,
            "None of the \(number) workers of the coordinator that died has come back with a state that is newer than "
                + "what is saved.",
            fault: waiting.faults.first
        )
    }
}
