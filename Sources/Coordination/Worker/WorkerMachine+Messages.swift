import Reduction

extension WorkerMachine {
    mutating func receive(_ message: CoordinatorMessage) {
        guard message.fencing >= fencing else {
            ignoredMessages += 1
            return
        }
        let before = fencing
        fencing = message.fencing
        lastHeard = now
        if fencing > before && before > 0 { takenOver(from: before) }
        if let since = coordinatorGoneSince {
            log(.notice, "the coordinator is back after \((now - since).inWords)")
            coordinatorGoneSince = nil
        }
        switch message.body {
        case .welcome(let welcome): receive(welcome)
        case .refuse(let reason):
            // Of a worker that has failed the coordinator only repeats what it was told.
            if let exitBy {
                exit(exitBy.outcome.kind, exitBy.outcome.message)
            } else {
                exit(.refused, "The coordinator refused this worker. \(reason)")
            }
        case .membership(let membership):
            if membership.version > self.membership?.version ?? 0 { self.membership = membership }
        case .assign(let assignment): receive(assignment)
        case .commit(let commit): receive(commit)
        case .abandon(let step, let generation, let reason): abandon(step, generation: generation, reason: reason)
        case .validate(let request): receive(request)
        case .checkpoint(let request): receive(request)
        case .drain(let reason): log(.notice, "the run is draining: \(reason)")
        case .heartbeat: break
        case .finish(let finish): exit(.finished(finish.kind), finish.message)
        }
    }

    /// Another coordinator leads the run from here on; what its predecessor wanted is void, but for a commit.
    private mutating func takenOver(from predecessor: UInt64) {
        log(.notice, "the coordinator of incarnation \(fencing) has taken over from \(predecessor)")
        requests = []
        next = nil
        pendingValidations = 0
        // Nothing that the predecessor says can change any more what this worker holds: only now it is told.
        if exitBy == nil && number != nil { sayHello() }
    }

    private mutating func receive(_ welcome: Welcome) {
        if let number {
            guard welcome.job == job, welcome.worker == number, membership == nil, phase == .waiting else {
                ignoredMessages += 1
                return
            }
            guard let resume = welcome.resume, resume.completedSteps != completedSteps else {
                // Said twice, or by a coordinator that has taken over and has not heard it yet.
                if let lastReady { send(.ready(lastReady)) }
                return
            }
            // A worker that joins a run under way loads its data first, and the state when its turn comes.
            guard resume.completedSteps > completedSteps else {
                ignoredMessages += 1
                return
            }
            enter(.preparing, step: resume.completedSteps)
            actions.append(.restore(resume))
            return
        }
        number = welcome.worker
        job = welcome.job
        timing = welcome.timing
        enter(.preparing, step: welcome.resume?.completedSteps ?? 0)
        actions.append(.prepare(welcome))
    }

    private mutating func receive(_ assignment: Assignment) {
        guard number != nil, phase != .halted else {
            ignoredMessages += 1
            return
        }
        if let applying, assignment.step == applying + 1 {
            next = assignment
            return
        }
        guard assignment.step == completedSteps, applying == nil else {
            if assignment.step > completedSteps {
                failed(
                    "The coordinator assigned step \(assignment.step), but this worker stands at step "
                        + "\(completedSteps).",
                    suspect: nil
                )
            } else {
                ignoredMessages += 1
            }
            return
        }
        let current = work?.assignment ?? reported
        if let current, current.step == assignment.step {
            guard assignment.generation > current.generation else {
                ignoredMessages += 1
                return
            }
            if work != nil { actions.append(.abandonStep(step: current.step, generation: current.generation)) }
        }
        begin(assignment)
    }

    private mutating func receive(_ commit: Commit) {
        guard number != nil, commit.step >= completedSteps, commit.step != applying else {
            ignoredMessages += 1
            return
        }
        guard applying == nil, let reported, reported.step == commit.step else {
            failed("The coordinator committed step \(commit.step), whose sums this worker does not hold.", suspect: nil)
            return
        }
        applying = commit.step
        self.reported = nil
        next = exitBy == nil ? commit.next : nil
        enter(.applying, step: commit.step)
        actions.append(
            .apply(step: commit.step, commit.hyperparameters, wantsStateDigest: commit.wantsStateDigest)
        )
    }

    private mutating func abandon(_ step: UInt64, generation: UInt32, reason: String) {
        if let next, next.step == step, next.generation <= generation { self.next = nil }
        guard let work, work.assignment.step == step, work.assignment.generation <= generation else { return }
        self.work = nil
        enter(.waiting, step: completedSteps)
        log(.warning, "gave up step \(step): \(reason)")
        actions.append(.abandonStep(step: step, generation: work.assignment.generation))
    }

    private mutating func receive(_ request: ValidationRequest) {
        guard number != nil, phase != .halted else {
            ignoredMessages += 1
            return
        }
        guard request.completedSteps == completedSteps, applying == nil, work == nil, reported == nil else {
            if request.completedSteps <= completedSteps {
                // Said twice: its round is over.
                ignoredMessages += 1
                return
            }
            failed(
                "The coordinator asked for validation at step \(request.completedSteps), but this worker stands at "
                    + "step \(completedSteps).",
                suspect: nil
            )
            return
        }
        pendingValidations += 1
        enter(.validating, step: completedSteps)
        actions.append(.validate(request))
    }

    private mutating func receive(_ request: CheckpointRequest) {
        // A halted worker still hands its state over: that is what it halts for.
        guard number != nil, phase > .preparing else {
            ignoredMessages += 1
            return
        }
        if let applying, request.completedSteps == applying + 1 {
            requests.append(request)
        } else if request.completedSteps < completedSteps, request.completedSteps == handedOver {
            // Said twice: that state has been handed over.
            ignoredMessages += 1
        } else {
            stream(request)
        }
    }

    // MARK: Ticks

    mutating func coordinatorGone(since: Instant) {
        guard number != nil, coordinatorGoneSince == nil else { return }
        coordinatorGoneSince = since
        log(
            .warning,
            "the coordinator at \(configuration.coordinator) is gone; this worker waits "
                + "\(timing.gracePeriod.inWords) for it, then exits"
        )
    }

    mutating func tick(_ count: UInt64) {
        progress &+= count &- lastCount
        lastCount = count
        // A process that itself stood still has not read what the coordinator said meanwhile.
        if let timer, now - timer > timing.heartbeatInterval * 2 {
            // What has been read since is no older than now, and must not look younger.
            let pause = now - timer
            lastHeard = min(now, lastHeard + pause)
            startedAt = min(now, startedAt + pause)
            coordinatorGoneSince = coordinatorGoneSince.map { min(now, $0 + pause) }
        }
        if let exitBy, now >= exitBy.instant {
            exit(exitBy.outcome.kind, exitBy.outcome.message)
            return
        }
        guard number != nil else {
            if now - startedAt >= configuration.joining {
                exit(
                    .coordinatorLost,
                    "No coordinator answered at \(configuration.coordinator) for \((now - startedAt).inWords). Check "
                        + "that it runs and can be reached, then start this worker again."
                )
            } else {
                sayHello()
            }
            return
        }
        send(
            .heartbeat(
                Heartbeat(phase: phase, step: phaseStep, progress: progress, inPhase: now - phaseSince)
            )
        )
        if now - lastHeard > timing.coordinatorSilence { coordinatorGone(since: lastHeard) }
        // A hello over a connection that broke just then is lost with it.
        if coordinatorGoneSince != nil && exitBy == nil { sayHello() }
        if let since = coordinatorGoneSince, now - since >= timing.gracePeriod {
            exit(
                .coordinatorLost,
                "The coordinator at \(configuration.coordinator) has been gone for \((now - since).inWords), longer "
                    + "than the grace period. This worker was \(phase) at step \(phaseStep); resume the run."
            )
        }
    }

    mutating func armTimer(renew: Bool) {
        var next = renew ? nil : timer
        if next == nil { next = now + timing.heartbeatInterval }
        if let exitBy { next = next.map { min($0, exitBy.instant) } }
        guard let next, renew || next != timer else { return }
        timer = next
        actions.append(.startTimer(next))
    }
}
