import Coordination
import Reduction
import Sampling

extension SimulatedWorld {
    func deliver(_ event: WorkerMachine.Event, to index: Int) throws(SimulationFailure) {
        let worker = workers[index]
        guard worker.isAlive else { return }
        var event = event
        if let until = worker.frozenUntil {
            if now < until {
                tookEffect(.freeze, index)
                tookEffect(.suspendedWorker, index)
                queue.add(.worker(index, event), at: until)
                return
            }
            worker.frozenUntil = nil
        }
        switch event {
        case .started: worker.hasStarted = true
        case .applied(let steps, _):
            let weights = worker.weights
            try require(
                weights == run.reference[Int(steps)].weights || culprits.contains(index),
                "worker \(index) has other weights than the undisturbed run after \(steps) steps"
            )
        case .microbatchComputed(let step, _, let leaf):
            guard worker.step == step else { return }
            worker.isUnderWay[leaf] = false
            worker.leaves[leaf] = run.gradient(leaf, ofStep: step, weights: worker.weights)
            guard let work = worker.work else { return }
            // It counts for the attempt that is under way by now.
            event = .microbatchComputed(step: step, generation: work.assignment.generation, index: leaf)
        case .reduced(let report):
            guard let work = worker.work, work.assignment.step == report.step,
                work.assignment.generation == report.generation
            else { return }
            worker.work = nil
        default: break
        }
        let time = worker.clock.reading(at: now)
        for action in worker.machine.handle(event, at: time) { try perform(action, by: index) }
        if case .microbatchComputed(let step, let generation, _) = event {
            try publishIfComplete(step: step, generation: generation, by: index)
        }
    }

    private func perform(_ action: WorkerMachine.Action, by index: Int) throws(SimulationFailure) {
        if session.tracing { note("  worker \(index): \(action)") }
        switch action {
        case .send(let message):
            guard isCoordinatorAlive else { return }
            let told = toldToSuccessor(message, by: index)
            let key = SimulatedWorker.key(of: index)
            let happening = Happening.coordinator(.message(from: workers[index].peer, key: key, told))
            var link = linksToCoordinator[index]
            transmit(happening, over: &link, of: index)
            linksToCoordinator[index] = link
        case .startTimer(let instant): setTimer(instant, of: index)
        case .prepare(let welcome): try load(welcome.resume, index)
        case .restore(let source): try load(source, index)
        case .beginStep(let work): try begin(work, index)
        case .abandonStep(let step, let generation):
            if let work = workers[index].work, work.assignment.step == step,
                work.assignment.generation == generation
            {
                workers[index].work = nil
            }
        case .apply(let step, let hyperparameters, let wantsDigest):
            try apply(step, hyperparameters, wantsDigest: wantsDigest, index)
        case .validate(let request): validate(request, index)
        case .streamSnapshot(let request): try stream(request, index)
        case .log: break
        case .exit(let outcome):
            workers[index].outcome = outcome
            workers[index].isAlive = false
            let status: Int32
            if case .finished = outcome.kind { status = 0 } else { status = 75 }
            noticeExit(of: index, .exited(status), after: random.duration(.zero ... .milliseconds(5)))
        }
    }

    /// The timer fires when the worker's clock reads `reading`.
    func setTimer(_ reading: Instant, of index: Int) {
        let moment = max(now, workers[index].clock.moment(of: reading))
        workers[index].timer = SimulatedTimer(reading: reading, moment: moment)
        queue.add(.workerTimer(index), at: moment)
    }

    /// The launcher sees a process end, a moment later.
    func noticeExit(of index: Int, _ cause: ExitCause, after delay: Duration) {
        queue.add(.processEnded(index, cause), at: now + delay)
    }

    private func load(_ resume: ResumeSource?, _ index: Int) throws(SimulationFailure) {
        var steps: UInt64 = 0
        if let resume {
            guard let saved = disk.saved[resume.completedSteps] else {
                try require(false, "worker \(index) was sent to a checkpoint that does not exist")
                return
            }
            steps = resume.completedSteps
            workers[index].weights = saved.weights
        } else {
            workers[index].weights = .initial(seed: run.seed)
        }
        var latency = random.duration(.milliseconds(1) ... .milliseconds(60))
        if let more = diskDelay() {
            latency += more
            tookEffect(.slowLoad)
            // It is then put out: it seems to stand still.
            if more > session.timing.preparing / 2 { culprits.insert(index) }
        }
        queue.add(
            .worker(
                index,
                .prepared(
                    Ready(
                        completedSteps: steps,
                        stateDigest: digest(index, steps),
                        datasetDigest: "data",
                        networkDigest: "network"
                    )
                )
            ),
            at: now + latency
        )
    }

    private func digest(_ index: Int, _ steps: UInt64) -> Digest {
        Digest(high: workers[index].weights.bits, low: steps)
    }

    private func begin(_ work: StepWork, _ index: Int) throws(SimulationFailure) {
        let worker = workers[index]
        let assignment = work.assignment
        if soundAssignment != assignment {
            try require(assignment.plan.defect == nil, "a plan is wrong: \(assignment.plan.defect ?? "")")
            soundAssignment = assignment
        }
        try require(
            worker.machine.completedSteps == assignment.step,
            "worker \(index) begins step \(assignment.step) at another state"
        )
        try require(
            assignment.plan.tree.leafCount == run.schedule.location(of: assignment.step).batch.microbatchCount,
            "step \(assignment.step) has another number of microbatches"
        )
        worker.work = work
        if worker.step != assignment.step {
            worker.step = assignment.step
            worker.leaves = Array(repeating: nil, count: assignment.plan.tree.leafCount)
            worker.isUnderWay = Array(repeating: false, count: assignment.plan.tree.leafCount)
        }
        worker.sum = nil
        // Each thread runs one microbatch after the other; those of an earlier attempt go on.
        let threads = worker.threads
        var busy = [Instant](repeating: now, count: threads)
        for (order, leaf) in work.microbatches.enumerated() {
            if worker.leaves[leaf] != nil {
                queue.add(
                    .worker(
                        index,
                        .microbatchComputed(step: assignment.step, generation: assignment.generation, index: leaf)
                    ),
                    at: now
                )
                continue
            }
            if worker.isUnderWay[leaf] { continue }
            worker.isUnderWay[leaf] = true
            busy[order % threads] = busy[order % threads] + random.duration(.milliseconds(1) ... .milliseconds(6))
            queue.add(
                .worker(
                    index,
                    .microbatchComputed(step: assignment.step, generation: assignment.generation, index: leaf)
                ),
                at: busy[order % threads]
            )
        }
        if work.microbatches.isEmpty {
            try publishIfComplete(step: assignment.step, generation: assignment.generation, by: index)
        }
    }

    /// Hands the worker's nodes to its peers when its last microbatch is done; sums where they all have.
    private func publishIfComplete(
        step: UInt64,
        generation: UInt32,
        by index: Int
    ) throws(SimulationFailure) {
        guard let work = workers[index].work, work.assignment.step == step,
            work.assignment.generation == generation
        else { return }
        let plan = work.assignment.plan
        let leaves = workers[index].leaves
        guard work.microbatches.allSatisfy({ leaves[$0] != nil }) else { return }
        let attempt = attempt(at: step, generation)
        if !published[attempt].workers.contains(work.worker) { published[attempt].workers.append(work.worker) }
        published[attempt].nodes.removeAll { $0.contribution.owner == work.worker }
        for contribution in plan.contributions where contribution.owner == work.worker {
            let value = SymbolicValue.fold(contribution.node, of: plan.tree) { leaves[$0] ?? SymbolicValue(0) }
            published[attempt].nodes.append((contribution, value))
        }
        guard plan.members.allSatisfy(published[attempt].workers.contains) else { return }
        var held: [SymbolicValue] = []
        for contribution in plan.contributions {
            guard let value = published[attempt].value(of: contribution) else {
                try require(false, "a peer does not hold node \(contribution.node)")
                return
            }
            held.append(value)
        }
        guard let sum = plan.tree.additions(over: plan.contributions.map(\.node), into: plan.tree.root) else {
            try require(false, "the plan of step \(step) cannot be summed")
            return
        }
        for addition in sum.steps { held[addition.destination] = held[addition.destination] + held[addition.source] }
        try require(
            held[sum.result] == run.reference[Int(step)].sum || isCorrupted,
            "the sum of step \(step) is not that of the undisturbed run"
        )
        for other in workers.indices where workers[other].isAlive {
            guard let attempt = workers[other].work?.assignment, attempt == work.assignment else { continue }
            if let peer = unreachablePeer(of: other, in: plan) {
                tookEffect(.unreachable)
                queue.add(
                    .worker(other, .failed(message: "no route to the host.", suspect: peer)),
                    at: now + random.duration(.milliseconds(1) ... .milliseconds(100))
                )
                continue
            }
            finishReduction(work.assignment, sum: held[sum.result], by: other)
        }
    }

    /// Where `published` has what is published of the attempt.
    private func attempt(at step: UInt64, _ generation: UInt32) -> Int {
        if let index = published.lastIndex(where: { $0.step == step && $0.generation == generation }) { return index }
        // What is long over is dropped, to keep the world small.
        if published.count > 32 { published.removeAll { $0.step + 2 <= step } }
        published.append(Published(step: step, generation: generation))
        return published.count - 1
    }

    /// A member of the plan that the worker cannot reach.
    private func unreachablePeer(of index: Int, in plan: ReductionPlan) -> WorkerNumber? {
        for pair in unreachable where pair.first == index || pair.second == index {
            let other = pair.first == index ? pair.second : pair.first
            if workers[other].isAlive, let number = workers[other].machine.number, plan.members.contains(number) {
                return number
            }
        }
        return nil
    }

    private func finishReduction(_ assignment: Assignment, sum: SymbolicValue, by index: Int) {
        let worker = workers[index]
        var sum = sum
        // A worker that is alone has nobody to compare with.
        if worker.isCorruptingSums, assignment.plan.members.count > 1 {
            worker.isCorruptingSums = false
            tookEffect(.wrongSums, index)
            sum.bits ^= UInt64(index + 1)
        }
        worker.sum = sum
        // Some are several times as slow as others, so that the work is divided unevenly.
        let microbatches = worker.work?.microbatches.count ?? 0
        let timings = StepTimings(
            compute: .milliseconds(microbatches * (1 + index % 4)) / worker.threads,
            samples: UInt32(microbatches)
        )
        let report = ReducedReport(
            step: assignment.step,
            generation: assignment.generation,
            sumsDigest: Digest(high: sum.bits, low: 0),
            stateDigest: assignment.wantsStateDigest ? digest(index, assignment.step) : nil,
            losses: [1],
            gradientNorm: 1,
            nonFinite: nil,
            audits: assignment.auditedMicrobatches(of: worker.machine.number ?? 0).map { leaf in
                let gradient = run.gradient(leaf, ofStep: assignment.step, weights: worker.weights)
                return AuditDigest(microbatch: UInt32(leaf), digest: Digest(high: gradient.bits, low: 0))
            },
            timings: timings
        )
        queue.add(
            .worker(index, .reduced(report)),
            at: now + random.duration(.microseconds(100) ... .milliseconds(4))
        )
    }

    private func apply(
        _ step: UInt64,
        _ hyperparameters: StepHyperparameters,
        wantsDigest: Bool,
        _ index: Int
    ) throws(SimulationFailure) {
        try require(
            step <= UInt64(committed.count) || !isCoordinatorAlive,
            "worker \(index) applies step \(step) before its commit"
        )
        guard let sum = workers[index].sum else {
            try require(false, "worker \(index) applies step \(step) without its sums")
            return
        }
        workers[index].weights = workers[index].weights.applying(sum, hyperparameters)
        queue.add(
            .worker(
                index,
                .applied(completedSteps: step + 1, stateDigest: wantsDigest ? digest(index, step + 1) : nil)
            ),
            at: now + random.duration(.microseconds(200) ... .milliseconds(3))
        )
    }

    private func validate(_ request: ValidationRequest, _ index: Int) {
        let weights = workers[index].weights
        let result = ValidationResult(
            round: request.round,
            samples: request.samples,
            counts: request.samples.flatMap { weights.counts(ofSample: $0) }
        )
        queue.add(
            .worker(index, .validated(result)),
            at: now + random.duration(.milliseconds(1) ... .milliseconds(8))
        )
    }

    private func stream(_ request: CheckpointRequest, _ index: Int) throws(SimulationFailure) {
        try require(
            workers[index].machine.completedSteps == request.completedSteps,
            "worker \(index) streams the state of step \(request.completedSteps) while at another"
        )
        // One of a checkpoint that was given up meanwhile belongs to no file.
        guard let open, open.order.completedSteps == request.completedSteps,
            open.order.pieces.contains(where: {
                $0.share == request.share && $0.worker == workers[index].machine.number
            })
        else { return }
        let piece = Int(request.share.part)
        let at = now + random.duration(.microseconds(500) ... .milliseconds(15))
        let breaks = now < workers[index].streamsBreakUntil
        if breaks {
            tookEffect(.brokenStream, index)
        } else {
            queue.add(.piece(session: open.number, index: piece, workers[index].weights), at: at)
        }
        queue.add(
            .worker(
                index,
                .snapshotStreamed(
                    CheckpointPiece(
                        completedSteps: request.completedSteps,
                        share: request.share,
                        byteCount: breaks ? 0 : 1,
                        failure: breaks ? "the connection broke." : nil
                    )
                )
            ),
            at: at
        )
    }
}
