import Numerics
import Sampling

extension CoordinatorMachine {
    /// Whether the present state is durable.
    var isSaved: Bool {
        saved == SavedState(completedSteps: progress.completedSteps, transition: progress.transition)
    }

    /// Whether a checkpoint of the present state is due.
    ///
    /// - Parameter isAmongBest: whether it has just become one of the best that are kept.
    func isCheckpointDue(isAmongBest: Bool) -> Bool {
        let policy = configuration.checkpoints
        var isDue = owesCheckpoint || isAmongBest
        if let steps = policy.everySteps { isDue = isDue || progress.completedSteps % max(1, steps) == 0 }
        if let interval = policy.every { isDue = isDue || now - lastCheckpointAt >= interval }
        return isDue && !isSaved
    }

    /// Begins a checkpoint that is due, or remembers it where another is in flight.
    mutating func takeCheckpoint(isAmongBest: Bool) {
        if checkpoint != nil {
            owesCheckpoint = true
        } else {
            beginCheckpoint(isAmongBest ? .best : .interval)
        }
    }

    /// Asks members for their parts of the present state.
    mutating func beginCheckpoint(_ reason: CheckpointOrder.Reason) {
        // All hold the same state: whoever could not hand a share over is asked again when all others could not either.
        let least = members.map(\.failedShares).min() ?? 0
        let streaming = members.filter { $0.failedShares == least }.prefix(configuration.checkpoints.streams)
        checkpointsBegun += 1
        let tokens = RandomSequence(
            seed: configuration.tokenSeed,
            purpose: .checkpointTokens,
            position: UInt32(truncatingIfNeeded: checkpointsBegun)
        )
        let pieces = streaming.enumerated().map { index, member in
            CheckpointOrder.Piece(
                worker: member.number,
                peer: member.peer,
                share: CheckpointShare(
                    part: UInt32(index),
                    parts: UInt32(streaming.count),
                    token: UInt64(tokens.word(2 * index)) << 32 | UInt64(tokens.word(2 * index + 1))
                )
            )
        }
        let cursor = configuration.schedule.cursor(after: progress.completedSteps)
        let order = CheckpointOrder(
            progress: progress,
            epoch: cursor.epoch,
            stepInEpoch: cursor.stepInEpoch,
            pieces: pieces,
            reason: reason,
            isBest: progress.validatedAt == progress.completedSteps
                && progress.best?.transition == progress.transition
        )
        checkpoint = CheckpointInFlight(
            order: order,
            isStreamed: pieces.map { _ in false },
            since: now,
            lastProgress: now
        )
        owesCheckpoint = false
        lastCheckpointAt = now
        actions.append(.beginCheckpoint(order))
        for piece in pieces {
            send(
                .checkpoint(CheckpointRequest(completedSteps: order.completedSteps, share: piece.share)),
                to: piece.peer
            )
        }
    }

    mutating func receive(_ piece: CheckpointPiece, from position: Int) {
        guard var current = checkpoint, current.completedSteps == piece.completedSteps,
            let index = current.order.pieces.firstIndex(where: {
                $0.worker == members[position].number && $0.share == piece.share
            }), !current.isStreamed[index]
        else {
            ignoredMessages += 1
            return
        }
        if let failure = piece.failure {
            let reason = "\(names(of: [members[position].number])) cannot hand over its part: \(failure)"
            members[position].failedShares += 1
            actions.append(.abandonCheckpoint(completedSteps: current.completedSteps, reason: reason))
            checkpointFailed(current.completedSteps, reason: reason, isHandOver: true)
            return
        }
        current.isStreamed[index] = true
        current.lastProgress = now
        checkpoint = current
    }

    mutating func checkpointDurable(_ steps: UInt64, file: String) {
        guard let current = checkpoint, current.completedSteps == steps else {
            ignoredMessages += 1
            return
        }
        checkpoint = nil
        failedSaves = nil
        if case .pausing = stage { endPauseSoon() }
        // One that could not be asked this time may be well again by the next.
        for position in members.indices { members[position].failedShares = max(0, members[position].failedShares - 1) }
        let transition = current.order.progress.transition
        if saved?.completedSteps != steps { savedBefore = saved }
        saved = SavedState(completedSteps: steps, transition: transition, file: file)
        actions.append(.journal(.checkpoint(completedSteps: steps, transition: transition)))
        log(.info, "saved step \(steps)")
    }

    /// Throws away the checkpoint of the present state, about which the members disagree.
    ///
    /// A checkpoint is taken while the next step is computed; that step's reports are what verifies it.
    mutating func discardDivergedCheckpoint() {
        if let current = checkpoint, current.completedSteps == progress.completedSteps {
            actions.append(
                .abandonCheckpoint(
                    completedSteps: current.completedSteps,
                    reason: "the workers disagree about this state."
                )
            )
            checkpoint = nil
            owesCheckpoint = true
        }
        guard let saved, saved.completedSteps == progress.completedSteps, saved != resumedFrom else { return }
        actions.append(
            .discardCheckpoint(
                completedSteps: saved.completedSteps,
                reason: "the workers disagree about this state."
            )
        )
        self.saved = savedBefore
    }

    /// A checkpoint has failed, by a worker that could not hand its share over or by the disk.
    ///
    /// One that the run waits for is taken again, as long as a worker lives that holds the state: at once where only a
    /// connection broke, then after pauses that grow. Others wait for their next occasion: a share that was not handed
    /// over is asked for again after the next step, and a disk is tried when the next checkpoint is due.
    mutating func checkpointFailed(_ steps: UInt64, reason: String, isHandOver: Bool = false) {
        guard let current = checkpoint, current.completedSteps == steps else {
            ignoredMessages += 1
            return
        }
        checkpoint = nil
        let failure = "step \(steps) could not be saved: \(reason)"
        switch stage {
        case .saving where current.order.reason == .end:
            let failed = noteFailedSave(current)
            let timing = configuration.timing
            guard failed.count == 1 || (failed.count < timing.lastSaves && now - failed.since < timing.lastSaving)
            else {
                end(
                    .notSaved,
                    "The last state (step \(steps)) could not be saved in \(failed.count) attempts within "
                        + "\((now - failed.since).inWords): \(reason)"
                )
                return
            }
            let pause = pause(after: failed, isHandOver: isHandOver)
            retryAt = now + pause
            log(
                .warning,
                "\(failure) This is the last checkpoint: attempt \(failed.count + 1) of \(timing.lastSaves) begins "
                    + (pause > .zero ? "in \(pause.inWords)." : "now.")
            )
        case .admitting where !isSaved, .pausing where !isSaved:
            let pause = pause(after: noteFailedSave(current), isHandOver: isHandOver)
            retryAt = now + pause
            endPauseSoon()
            log(
                .warning,
                failure + (pause > .zero ? " It is tried again in \(pause.inWords)." : " It is tried again now.")
            )
            if case .admitting = stage { proceed() }
        default:
            // Training goes on.
            if isHandOver, members.contains(where: { $0.failedShares < Self.sharesAskedFor }) {
                owesCheckpoint = true
                log(.warning, failure + " The next step is saved in its place.")
            } else {
                log(.warning, failure + " The next checkpoint comes when it is due.")
            }
        }
    }

    /// How often in a row a member that could not hand over its share is asked for one outside of the checkpoints' turn.
    private static var sharesAskedFor: Int { 3 }

    private mutating func noteFailedSave(_ current: CheckpointInFlight) -> FailedSaves {
        var failed = FailedSaves(completedSteps: current.completedSteps, count: 0, since: current.since)
        if let before = failedSaves, before.completedSteps == current.completedSteps { failed = before }
        failed.count += 1
        failedSaves = failed
        return failed
    }

    /// How long to wait before another attempt: not at all where a connection broke for the first time.
    private func pause(after failed: FailedSaves, isHandOver: Bool) -> Duration {
        if isHandOver && failed.count == 1 { return .zero }
        let pause = configuration.timing.saveRetry * (1 << min(8, failed.count - 1))
        return min(pause, configuration.timing.admissionRetry)
    }

    /// Saves the present state once nothing else is in flight, then ends the run.
    mutating func continueSaving() {
        if isSaved {
            endInOrder()
        } else if checkpoint == nil {
            if progress.completedSteps == 0 {
                end(.drained, "The run was drained before its first step was complete.")
            } else if failedSaves?.completedSteps != progress.completedSteps || now >= retryAt {
                beginCheckpoint(.end)
            }
        }
    }

    /// Gives up a checkpoint that does not get on.
    mutating func checkCheckpointDeadline() {
        guard let current = checkpoint else { return }
        let limit = current.isComplete ? configuration.timing.saving : configuration.timing.streaming
        guard now > current.lastProgress + limit else { return }
        let missing = zip(current.order.pieces, current.isStreamed).filter { !$0.1 }.map(\.0.worker)
        for position in members.indices where missing.contains(members[position].number) {
            members[position].failedShares += 1
        }
        let reason =
            missing.isEmpty
            ? "the disk has not finished for \(limit.inWords)."
            : "\(names(of: missing)) has handed over nothing for \(limit.inWords)."
        actions.append(.abandonCheckpoint(completedSteps: current.completedSteps, reason: reason))
        checkpointFailed(current.completedSteps, reason: reason)
    }
}
