import Reduction
import Sampling

extension CoordinatorMachine {
    // MARK: Steps

    /// The first attempt at `step` by all members.
    ///
    /// - Parameter isSaving: whether a checkpoint of the state before `step` is being taken, so that this state is
    ///   compared in any case.
    mutating func assignment(ofStep step: UInt64, isSaving: Bool) -> Assignment {
        let leafCount = configuration.schedule.location(of: step).batch.microbatchCount
        let interval = configuration.stateDigestInterval
        let generation = lastAttempt.map { $0.step == step ? $0.generation + 1 : 0 } ?? 0
        let plan = WorkSplit.plan(
            step: step,
            generation: generation,
            leafCount: leafCount,
            members: membership.members,
            runs: speeds.runs(leafCount: leafCount, members: membership.members)
        )
        return Assignment(
            plan: plan,
            membership: membership.version,
            wantsStateDigest: interval > 0 && (isSaving || step % interval == 0),
            audits: audits(of: plan)
        )
    }

    mutating func begin(_ assignment: Assignment, since: Instant? = nil) {
        for position in members.indices where members[position].hasReported { members[position].report = nil }
        lastAttempt = (assignment.step, assignment.generation)
        waitSince = now
        stage = .stepping(StepInFlight(assignment: assignment, missing: members.count, since: since ?? now))
    }

    /// The next attempt at a step in flight, by the members that are left; with other audits where they are given.
    mutating func repeatStep(_ step: StepInFlight, audits: [Assignment.Audit]? = nil) {
        let plan = WorkSplit.replan(
            step.assignment.plan,
            generation: step.assignment.generation + 1,
            members: membership.members
        )
        let assignment = Assignment(
            plan: plan,
            membership: membership.version,
            wantsStateDigest: step.assignment.wantsStateDigest,
            audits: audits ?? self.audits(step.assignment.audits, for: plan)
        )
        broadcast(.assign(assignment))
        begin(assignment, since: step.since)
    }

    mutating func receive(_ report: ReducedReport, from position: Int) {
        guard case .stepping(var step) = stage, report.step >= step.assignment.step,
            report.step > step.assignment.step || report.generation >= step.assignment.generation,
            !members[position].hasReported
        else {
            ignoredMessages += 1
            return
        }
        guard report.step == step.assignment.step, report.generation == step.assignment.generation else {
            suspect(
                position,
                .violation(
                    "it reported step \(report.step), generation \(report.generation), during step "
                        + "\(step.assignment.step), generation \(step.assignment.generation)."
                )
            )
            return
        }
        members[position].enter(.reduced, step: report.step, at: now)
        // Sums can only stand on the state before the step, so the last commit has been applied.
        members[position].completedSteps = report.step
        members[position].report = report
        step.missing -= 1
        stage = .stepping(step)
        if step.missing == 0 { conclude(step) }
    }

    mutating func applied(_ steps: UInt64, _ digest: Digest?, by position: Int) {
        guard steps <= progress.completedSteps else {
            suspect(
                position,
                .violation("it applied step \(steps), but \(progress.completedSteps) steps are committed.")
            )
            return
        }
        guard steps >= members[position].completedSteps else {
            // Said twice, or overtaken: its digest is that of a state that is past.
            ignoredMessages += 1
            return
        }
        members[position].completedSteps = steps
        members[position].stateDigest = digest
        if case .pausing = stage, !members.indices.contains(where: isLaggard) { endPauseSoon() }
        if case .stepping(let step) = stage, step.assignment.step == steps {
            if !members[position].hasReported { members[position].enter(.computing, step: steps, at: now) }
        } else {
            members[position].enter(.waiting, step: steps, at: now)
        }
    }

    /// Commits the step, all members having reported, or ends the run.
    private mutating func conclude(_ step: StepInFlight) {
        let number = step.assignment.step
        var reports: [MemberReport] = []
        reports.reserveCapacity(members.count)
        for position in members.indices {
            if let report = members[position].report {
                reports.append(MemberReport(worker: members[position].number, report: report))
            }
        }
        if step.assignment.wantsStateDigest {
            let digests = reports.compactMap { said in said.report.stateDigest.map { (said.worker, $0) } }
            if digests.count < reports.count,
                let position = members.firstIndex(where: { $0.report?.stateDigest == nil })
            {
                suspect(position, .violation("it reported step \(number) without the digest of its state."))
                return
            }
            if disagree(digests, about: .state("before step \(number)")) { return }
        }
        if disagree(reports.map { ($0.worker, $0.report.sumsDigest) }, about: .sums(step: number)) { return }
        let isFinite = reports.allSatisfy { $0.report.nonFinite == nil }
        // What is not a number has many bit patterns, and processors choose differently.
        if isFinite && !passesAudits(step, reports) { return }
        let location = configuration.schedule.location(of: number)
        var hyperparameters = policy.hyperparameters(
            of: number,
            at: location,
            schedule: progress.scheduleState
        )
        if !isFinite, let said = culprit(ofNonFinite: reports), let what = said.report.nonFinite {
            let sentence = "A sum of step \(number) is not finite (\(names(of: [said.worker])) reports: \(what))."
            if configuration.onNonFinite == .stop {
                end(
                    .diverged,
                    sentence + " Lower optimizer.learning_rate, set optimizer.clip_norm, or let training.on_nonfinite "
                        + "skip such steps."
                )
                return
            }
            log(.warning, sentence + " The step leaves the weights alone.")
            hyperparameters.skipsUpdate = true
        }
        commit(step, location: location, hyperparameters: hyperparameters, reports: reports)
    }

    /// The report that names the first microbatch whose gradient is not finite, or one that says that a sum is not.
    private func culprit(ofNonFinite reports: [MemberReport]) -> MemberReport? {
        func place(_ said: MemberReport) -> (UInt32, WorkerNumber) {
            (said.report.nonFiniteMicrobatch ?? .max, said.worker)
        }
        return reports.filter { $0.report.nonFinite != nil }.min { place($0) < place($1) }
    }

    private mutating func commit(
        _ step: StepInFlight,
        location: StepLocation,
        hyperparameters: StepHyperparameters,
        reports: [MemberReport]
    ) {
        progress.completedSteps += 1
        observe(reports)
        let isInterrupted =
            ending != nil || isComplete || isValidationPending || isAdmissionDue || members.contains(where: \.isLeaving)
        let isSaving = !isInterrupted && isCheckpointDue(isAmongBest: false)
        let next = isInterrupted ? nil : assignment(ofStep: progress.completedSteps, isSaving: isSaving)
        let wantsStateDigest = isInterrupted && configuration.stateDigestInterval > 0
        // Recorded before it is said: a coordinator that takes over then knows which steps can be committed, whatever it
        // is told.
        actions.append(
            .record(
                StepRecord(
                    step: step.assignment.step,
                    location: location,
                    generation: step.assignment.generation,
                    losses: reports.first?.report.losses ?? [],
                    gradientNorm: reports.first?.report.gradientNorm ?? 0,
                    hyperparameters: hyperparameters,
                    duration: now - step.since,
                    workers: reports.map { StepRecord.WorkerTimings(worker: $0.worker, timings: $0.report.timings) }
                )
            )
        )
        broadcast(
            .commit(
                Commit(
                    step: step.assignment.step,
                    hyperparameters: hyperparameters,
                    wantsStateDigest: wantsStateDigest,
                    next: next
                )
            )
        )
        if let next {
            begin(next)
            if isSaving { takeCheckpoint(isAmongBest: false) }
        } else {
            // Checkpoints at this state come after validation, so that they hold what it moves.
            for position in members.indices { members[position].stateDigest = nil }
            stage = .settling(comparing: true)
        }
    }

    // MARK: Validation

    mutating func beginValidation() {
        let validation = configuration.validation
        // Not the transition's number: a round may be begun twice, and answers to the first attempt come late.
        rounds += 1
        waitSince = now
        stage = .validating(
            ValidationInFlight(
                round: rounds,
                next: 0,
                received: 0,
                counts: [UInt32](
                    repeating: 0,
                    count: Int(validation.sampleCount) * validation.countsPerSample
                ),
                since: now
            )
        )
        for position in members.indices { members[position].requests = [] }
        // Two requests each: the second is there when the first is done.
        for _ in 0..<2 {
            for position in members.indices { requestValidation(from: position) }
        }
    }

    mutating func requestValidation(from position: Int) {
        guard case .validating(var validation) = stage,
            validation.next < configuration.validation.sampleCount || !validation.returned.isEmpty
        else { return }
        stage = .idle  // The counts must have one owner while they change.
        let samples: Range<UInt32>
        if let returned = validation.returned.popLast() {
            samples = returned
        } else {
            let end = min(
                configuration.validation.sampleCount,
                validation.next + configuration.validation.samplesPerRequest
            )
            samples = validation.next..<end
            validation.next = end
        }
        let request = ValidationRequest(
            round: validation.round,
            completedSteps: progress.completedSteps,
            samples: samples
        )
        stage = .validating(validation)
        members[position].requests.append(request)
        send(.validate(request), to: members[position].peer)
    }

    mutating func receive(_ result: ValidationResult, from position: Int) {
        guard case .validating(var validation) = stage, result.round == validation.round else {
            ignoredMessages += 1
            return
        }
        let width = configuration.validation.countsPerSample
        guard let request = members[position].requests.firstIndex(where: { $0.samples == result.samples }) else {
            // Said twice: its counts have been taken.
            ignoredMessages += 1
            return
        }
        guard result.counts.count == result.samples.count * width else {
            suspect(
                position,
                .violation(
                    "it returned \(result.counts.count) counts for \(result.samples.count) samples of \(width) each."
                )
            )
            return
        }
        members[position].requests.remove(at: request)
        members[position].enter(.validating, step: progress.completedSteps, at: now)
        stage = .idle  // The counts must have one owner while they change.
        let first = Int(result.samples.lowerBound) * width
        for (offset, count) in result.counts.enumerated() { validation.counts[first + offset] = count }
        validation.received += UInt32(result.samples.count)
        stage = .validating(validation)
        if validation.received == configuration.validation.sampleCount {
            conclude(validation)
        } else {
            requestValidation(from: position)
        }
    }

    private mutating func conclude(_ validation: ValidationInFlight) {
        let score = policy.score(
            validation.counts,
            countsPerSample: configuration.validation.countsPerSample
        )
        let count = configuration.checkpoints.best
        let place = progress.conclude(
            score,
            policy: policy,
            patience: configuration.earlyStopPatience,
            keeping: count
        )
        actions.append(.journal(.transition(progress)))
        actions.append(
            .recordValidation(
                ValidationRecord(
                    progress: progress,
                    score: score,
                    isBest: place == 0,
                    duration: now - validation.since,
                    counts: validation.counts
                )
            )
        )
        let isAmongBest = count > 0 && place != nil
        let isSaving = !isComplete && ending == nil && isCheckpointDue(isAmongBest: isAmongBest)
        if isSaving, isAmongBest, checkpoint != nil {
            // The checkpoint must be of this very state: the next step would move it on.
            stage = .holding
            return
        }
        if isSaving { takeCheckpoint(isAmongBest: isAmongBest) }
        proceed()
    }
}
