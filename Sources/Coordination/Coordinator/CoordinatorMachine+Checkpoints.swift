import Sampling

extension CoordinatorMachine {
    /// Whether the present state is durable.
    var isSaved: Bool {
        saved == SavedState(completedSteps: progress.completedSteps, transition: progress.transition)
    }

    /// Whether a checkpoint of the present state is due.
    func isCheckpointDue(isBest: Bool) -> Bool {
        let policy = configuration.checkpoints
        var isDue = owesCheckpoint || (isBest && policy.onBest)
        if let steps = policy.everySteps { isDue = isDue || progress.completedSteps % max(1, steps) == 0 }
        if let interval = policy.every { isDue = isDue || now - lastCheckpointAt >= interval }
        return isDue && !isSaved
    }

    /// Begins a checkpoint that is due, or remembers it where another is in flight.
    mutating func takeCheckpoint(isBest: Bool) {
        if checkpoint != nil {
            owesCheckpoint = true
        } else {
            beginCheckpoint(isBest && configuration.checkpoints.onBest ? .best : .interval)
        }
    }

    /// Asks members for their parts of the present state.
    mutating func beginCheckpoint(_ reason: CheckpointOrder.Reason) {
        let streaming = members.prefix(configuration.checkpoints.streams)
        let pieces = streaming.enumerated().map { index, member in
            CheckpointOrder.Piece(
                worker: member.number,
                peer: member.peer,
                share: CheckpointShare(part: UInt32(index), parts: UInt32(streaming.count))
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
            actions.append(.abandonCheckpoint(completedSteps: current.completedSteps, reason: reason))
            checkpointFailed(current.completedSteps, reason: reason)
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

    mutating func checkpointFailed(_ steps: UInt64, reason: String) {
        guard let current = checkpoint, current.completedSteps == steps else {
            ignoredMessages += 1
            return
        }
        checkpoint = nil
        log(.warning, "step \(steps) could not be saved: \(reason)")
        switch stage {
        case .saving where current.order.reason == .end:
            end(.notSaved, "The last state (step \(steps)) could not be saved: \(reason)")
        case .admitting where !isSaved, .pausing where !isSaved:
            retryAt = now + configuration.timing.admissionRetry
            if case .admitting = stage { proceed() }
        default:
            break  // Training goes on; the next checkpoint comes when it is due.
        }
    }

    /// Saves the present state once nothing else is in flight, then ends the run.
    mutating func continueSaving() {
        if isSaved {
            endInOrder()
        } else if checkpoint == nil {
            if progress.completedSteps == 0 {
                end(.drained, "The run was drained before its first step was complete.")
            } else {
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
        let reason =
            missing.isEmpty
            ? "the disk has not finished for \(limit.inWords)."
            : "\(names(of: missing)) has handed over nothing for \(limit.inWords)."
        actions.append(.abandonCheckpoint(completedSteps: current.completedSteps, reason: reason))
        checkpointFailed(current.completedSteps, reason: reason)
    }
}
