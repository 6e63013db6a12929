/// What the coordinator waits for.
package struct Wait: Hashable, Sendable {
    /// Who is waited for, where and in what, without times.
    package var sentence: String
    package var since: Instant
    package var deadline: Instant
}

extension CoordinatorMachine {
    /// Until when it waits at present: the deadline of `wait`, without the costs of its sentence.
    ///
    /// O(members).
    package var waitDeadline: Instant? {
        switch stage {
        case .idle, .ended: return nil
        case .gathering:
            if members.count < configuration.expectedWorkers { return waitSince + configuration.timing.joining }
            return earliestProgress(in: members) { !$0.isReady } + configuration.timing.preparing
        case .reattaching(let waiting): return waiting.until
        case .stepping, .settling, .validating:
            guard let last = furthestBehind else { return nil }
            var earliest: Instant?
            for position in members.indices
            where isLaggard(position) && members[position].phase == last.phase
                && members[position].phaseStep == last.step
            {
                let own = max(waitSince, members[position].lastProgress)
                earliest = min(earliest ?? own, own)
            }
            return earliest.map { $0 + configuration.timing.limit(of: last.phase) }
        case .holding, .saving:
            return (checkpoint?.lastProgress ?? waitSince)
                + (checkpoint?.isComplete == false ? configuration.timing.streaming : configuration.timing.saving)
        case .admitting:
            if let checkpoint { return deadline(of: checkpoint) }
            let steps = progress.completedSteps
            return earliestProgress(in: joiners) { $0.isReady && $0.completedSteps != steps }
                + configuration.timing.preparing
        case .pausing:
            if let checkpoint { return deadline(of: checkpoint) }
            if let late = members.indices.first(where: isLaggard) { return stallDeadline(of: members[late]) }
            return endOfPause
        }
    }

    /// When the first of those of `workers` that are chosen got on last, or the wait began where that is later.
    private func earliestProgress(in workers: [MemberState], where isChosen: (MemberState) -> Bool) -> Instant {
        var earliest: Instant?
        for worker in workers where isChosen(worker) {
            let own = max(waitSince, worker.lastProgress)
            earliest = min(earliest ?? own, own)
        }
        return earliest ?? waitSince
    }

    /// What the coordinator waits for at present; nil before the start and after the end.
    package var wait: Wait? {
        switch stage {
        case .idle, .ended: return nil
        case .gathering:
            let expected = configuration.expectedWorkers
            if members.count < expected {
                return Wait(
                    sentence: "\(expected - members.count) of \(expected) workers to join",
                    since: waitSince,
                    deadline: waitSince + configuration.timing.joining
                )
            }
            let missing = members.filter { !$0.isReady }
            return Wait(
                sentence: "\(names(of: missing.map(\.number))) to load data and state "
                    + "(\(expected - missing.count) of \(expected) are ready)",
                since: waitSince,
                deadline: (missing.map { max(waitSince, $0.lastProgress) }.min() ?? waitSince)
                    + configuration.timing.preparing
            )
        case .reattaching(let waiting):
            let missing = waiting.reattachment.membership.members.filter { waiting.missing.contains($0.worker) }
            let names = missing.map { "worker \($0.worker) on host \($0.hostName)" }.joined(separator: " and ")
            return Wait(
                sentence: "\(names) to come back after the coordinator's restart",
                since: waitSince,
                deadline: waiting.until
            )
        case .stepping, .settling, .validating:
            let missing = bottleneck
            guard let first = missing.first else { return nil }
            let of = "\(members.count - members.indices.count(where: isLaggard)) of \(members.count)"
            return Wait(
                sentence: "\(names(of: missing.map(\.number))), \(first.phase) at step \(first.phaseStep) "
                    + "(\(of) are done)",
                since: waitSince,
                deadline: missing.map(stallDeadline).min() ?? waitSince
            )
        case .holding, .saving:
            let steps = checkpoint?.completedSteps ?? progress.completedSteps
            return Wait(
                sentence: "the checkpoint of step \(steps)",
                since: waitSince,
                deadline: (checkpoint?.lastProgress ?? waitSince)
                    + (checkpoint?.isComplete == false ? configuration.timing.streaming : configuration.timing.saving)
            )
        case .admitting:
            if let checkpoint {
                return Wait(
                    sentence: "the checkpoint of step \(checkpoint.completedSteps), which workers that join load",
                    since: waitSince,
                    deadline: deadline(of: checkpoint)
                )
            }
            let missing = joiners.filter { $0.isReady && $0.completedSteps != progress.completedSteps }
            return Wait(
                sentence: "\(names(of: missing.map(\.number))) to load the state at step \(progress.completedSteps)",
                since: waitSince,
                deadline: (missing.map { max(waitSince, $0.lastProgress) }.min() ?? waitSince)
                    + configuration.timing.preparing
            )
        case .pausing:
            if let checkpoint {
                return Wait(
                    sentence: "the checkpoint of step \(checkpoint.completedSteps), in a pause",
                    since: waitSince,
                    deadline: deadline(of: checkpoint)
                )
            }
            if let late = members.filter({ $0.completedSteps != progress.completedSteps }).first {
                return Wait(
                    sentence: "\(names(of: [late.number])), \(late.phase) at step \(late.phaseStep), in a pause",
                    since: waitSince,
                    deadline: stallDeadline(of: late)
                )
            }
            return Wait(
                sentence: "\(leastMembers - members.count) more workers to join "
                    + "(\(members.count) of at least \(leastMembers) are here)",
                since: lack?.since ?? waitSince,
                deadline: endOfPause
            )
        }
    }

    private func deadline(of checkpoint: CheckpointInFlight) -> Instant {
        checkpoint.lastProgress
            + (checkpoint.isComplete ? configuration.timing.saving : configuration.timing.streaming)
    }

    /// Whether the member has not done what the stage waits for.
    func isLaggard(_ position: Int) -> Bool {
        switch stage {
        case .stepping: !members[position].hasReported
        case .settling, .pausing: members[position].completedSteps != progress.completedSteps
        case .validating: !members[position].requests.isEmpty
        default: false
        }
    }

    /// How far the laggards are that are furthest behind.
    private var furthestBehind: (step: UInt64, phase: WorkerPhase)? {
        var last: (step: UInt64, phase: WorkerPhase)?
        for position in members.indices where isLaggard(position) {
            let own = (step: members[position].phaseStep, phase: members[position].phase)
            if let least = last, (least.step, least.phase) <= (own.step, own.phase) { continue }
            last = own
        }
        return last
    }

    /// The laggards that are furthest behind: the others stand still because of these, and are not to blame.
    private var bottleneck: [MemberState] {
        guard let last = furthestBehind else { return [] }
        return members.indices.filter {
            isLaggard($0) && members[$0].phase == last.phase && members[$0].phaseStep == last.step
        }.map { members[$0] }
    }

    /// When a member that is waited for counts as standing still.
    private func stallDeadline(of member: MemberState) -> Instant {
        max(waitSince, member.lastProgress) + configuration.timing.limit(of: member.phase)
    }

    private var currentWaitKey: WaitKey? {
        switch stage {
        case .idle, .ended: nil
        case .gathering: members.count < configuration.expectedWorkers ? .joining : .preparing
        case .reattaching: .reattaching
        case .stepping(let step):
            furthestBehind.map {
                .step(step.assignment.step, step.assignment.generation, behind: $0.step, $0.phase)
            }
        case .settling: .settling(progress.completedSteps)
        case .validating(let validation): .validation(validation.round)
        case .holding: .holding(progress.completedSteps)
        case .saving: .saving(progress.completedSteps)
        case .admitting: .admitting(checkpoint == nil ? progress.completedSteps : .max)
        case .pausing: .pausing
        }
    }

    // MARK: Ticks

    /// Gives a sign of life and looks at every deadline.
    ///
    /// O(members).
    mutating func tick() {
        broadcast(.heartbeat, to: (members + joiners).map(\.peer))
        forgiveOwnPause()
        checkSilence()
        // The stage may have changed with each of these, so each looks for itself.
        if let blame, now >= blame.decideBy { decide() }
        checkCheckpointDeadline()
        checkWait()
    }

    /// Moves all waits by the time for which this process itself stood still (a paused machine, a stopped process).
    ///
    /// What the workers said meanwhile has not been read yet, so their silence is not theirs.
    private mutating func forgiveOwnPause() {
        guard let timer else { return }
        let pause = now - timer
        guard pause > configuration.timing.heartbeatInterval * 2 else { return }
        log(.notice, "the coordinator itself stood still for \(pause.inWords)")
        // What has been read since is no older than now, and must not look younger.
        let now = now
        func moved(_ moment: Instant) -> Instant { min(now, moment + pause) }
        for position in members.indices {
            members[position].lastHeard = moved(members[position].lastHeard)
            members[position].lastProgress = moved(members[position].lastProgress)
        }
        for index in joiners.indices {
            joiners[index].lastHeard = moved(joiners[index].lastHeard)
            joiners[index].lastProgress = moved(joiners[index].lastProgress)
        }
        if var lack {
            lack.until = min(now + configuration.timing.pausing, lack.until + pause)
            self.lack = lack
        }
        if case .reattaching(var waiting) = stage {
            waiting.until = min(now + configuration.timing.reattaching, waiting.until + pause)
            stage = .reattaching(waiting)
        }
        waitSince = moved(waitSince)
        if let progress = checkpoint?.lastProgress { checkpoint?.lastProgress = moved(progress) }
    }

    private mutating func checkSilence() {
        let limit = configuration.timing.workerSilence
        while let position = members.firstIndex(where: { now > $0.lastHeard + limit && !isSuspected($0.number) }) {
            suspect(position, .silent(now - members[position].lastHeard))
            if case .ended = stage { return }
        }
        while let index = joiners.firstIndex(where: { now > $0.lastHeard + limit }) {
            turnDown(index, fault(of: joiners[index], .silent(now - joiners[index].lastHeard)).sentence)
        }
        // Only those that load their data; the state's load is waited for by all, and has its own deadline.
        while let index = joiners.firstIndex(where: {
            !$0.isReady && now > $0.lastProgress + configuration.timing.preparing
        }) {
            turnDown(index, fault(of: joiners[index], .stalled(now - joiners[index].lastProgress)).sentence)
        }
    }

    private func isSuspected(_ worker: WorkerNumber) -> Bool {
        blame?.evidence.contains { fault in
            guard case .silent = fault.cause else { return false }
            return fault.worker == worker
        } ?? false
    }

    private mutating func checkWait() {
        let key = currentWaitKey
        if key != waitKey {
            waitKey = key
            waitSince = now
        }
        // The sentence is long where the members are many, and nearly always nobody wants it.
        guard let deadline = waitDeadline,
            now > deadline || now - waitSince >= configuration.timing.notice || lack != nil,
            let wait
        else { return }
        if now > wait.deadline {
            expire(wait)
        } else if now - wait.since >= configuration.timing.notice && wait.sentence != noticed {
            noticed = wait.sentence
            log(
                .notice,
                "waiting for \(wait.sentence) for \((now - wait.since).inWords); gives up in "
                    + (wait.deadline - now).inWords
            )
        }
    }

    private mutating func expire(_ wait: Wait) {
        let lasted = now - wait.since
        switch stage {
        case .gathering where members.count(where: \.isReady) >= configuration.minimumWorkers:
            log(
                .warning,
                "waited for \(wait.sentence) for \(lasted.inWords); the run begins with "
                    + "\(members.count(where: \.isReady)) workers, others may join later"
            )
            joiners += members.filter { !$0.isReady }
            members.removeAll { !$0.isReady }
            indexMembers()
            begin()
        case .gathering where members.count < configuration.expectedWorkers:
            end(.notStarted, "Waited for \(wait.sentence) for \(lasted.inWords). Start the missing workers.")
        case .gathering:
            guard let position = members.firstIndex(where: { !$0.isReady }) else { return }
            let fault = fault(of: members[position], .stalled(now - members[position].lastProgress))
            end(.notStarted, fault.sentence, fault: fault)
        case .reattaching: concludeReattachment()
        case .admitting where checkpoint == nil:
            while let index = joiners.firstIndex(where: {
                $0.isReady && $0.completedSteps != progress.completedSteps
                    && now > max(waitSince, $0.lastProgress) + configuration.timing.preparing
            }) {
                turnDown(index, fault(of: joiners[index], .stalled(now - joiners[index].lastProgress)).sentence)
            }
        case .pausing where checkpoint == nil && bottleneck.isEmpty:
            guard let lack else { return }
            end(
                .workerLost,
                lack.reason + " Waited for \(wait.sentence) for \(lasted.inWords).",
                fault: lack.fault
            )
        case .pausing where checkpoint != nil: break  // Its deadline has been looked at before.
        case .stepping, .settling, .validating, .pausing:
            let late = bottleneck.filter { now > stallDeadline(of: $0) }.map(\.number)
            if let position = members.firstIndex(where: { late.contains($0.number) }) {
                suspect(position, .stalled(now - max(waitSince, members[position].lastProgress)))
            }
        case .idle, .holding, .saving, .admitting, .ended:
            break  // Their deadlines have been looked at before.
        }
    }

    /// Sets the timer: a heartbeat interval ahead, or earlier where a deadline is near.
    mutating func armTimer(renew: Bool) {
        var next = renew ? nil : timer
        if next == nil { next = now + configuration.timing.heartbeatInterval }
        switch stage {
        case .idle, .ended: return
        default: break
        }
        if let blame { next = next.map { min($0, blame.decideBy) } }
        guard let next, renew || next != timer else { return }
        timer = next
        actions.append(.startTimer(next))
    }
}
