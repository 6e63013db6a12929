import Reduction
import Sampling

extension SimulatedWorld {
    mutating func deliver(_ event: WorkerMachine.Event, to index: Int) throws(SimulationFailure) {
        guard workers[index].isAlive else { return }
        var event = event
        if let until = workers[index].frozenUntil {
            if now < until {
                queue.add(.worker(index, event), at: until)
                return
            }
            workers[index].frozenUntil = nil
        }
        switch event {
        case .started: workers[index].hasStarted = true
        case .applied(let steps, _):
            let weights = workers[index].weights
            try require(
                weights == run.reference[Int(steps)].weights || culprits.contains(index),
                "worker \(index) has other weights than the undisturbed run after \(steps) steps"
            )
        case .microbatchComputed(let step, _, let leaf):
            guard workers[index].step == step else { return }
            workers[index].underWay.remove(leaf)
            workers[index].leaves[leaf] = run.gradient(leaf, ofStep: step, weights: workers[index].weights)
            guard let work = workers[index].work else { return }
            // It counts for the attempt that is under way by now.
            event = .microbatchComputed(step: step, generation: work.assignment.generation, index: leaf)
        case .reduced(let report):
            guard let work = workers[index].work, work.assignment.step == report.step,
                work.assignment.generation == report.generation
            else { return }
            workers[index].work = nil
        default: break
        }
        for action in workers[index].machine.handle(event, at: now) { try perform(action, by: index) }
        if case .microbatchComputed(let step, let generation, _) = event {
            try publishIfComplete(step: step, generation: generation, by: index)
        }
    }

    private mutating func perform(_ action: WorkerMachine.Action, by index: Int) throws(SimulationFailure) {
        if session.tracing { note("  worker \(index): \(action)") }
        switch action {
        case .send(let message):
            guard isCoordinatorAlive, !isLost(on: 1000 + index) else { return }
            queue.add(
                .coordinator(.message(from: workers[index].peer, message)),
                at: arrival(on: 1000 + index)
            )
        case .startTimer(let instant):
            workers[index].timer = max(now, instant)
            queue.add(.workerTimer(index), at: max(now, instant))
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

    /// The launcher sees a process end, and may start another one.
    mutating func noticeExit(of index: Int, _ cause: ExitCause, after delay: Duration) {
        let isReplaced =
            cause != .exited(0) && respawned < session.respawns && (isCoordinatorAlive || succession.isPending)
        queue.add(
            .coordinator(
                .processExited(
                    incarnation: workers[index].machine.configuration.incarnation,
                    processID: Int32(1000 + index),
                    cause,
                    replaced: isReplaced
                )
            ),
            at: now + delay
        )
        if isReplaced {
            respawned += 1
            let pause = random.duration(.milliseconds(1) ... .milliseconds(random.oneIn(3) ? 600 : 60))
            queue.add(.spawn(threads: UInt32(workers[index].threads)), at: now + delay + pause)
        }
    }

    private mutating func load(_ resume: ResumeSource?, _ index: Int) throws(SimulationFailure) {
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
            at: now + random.duration(.milliseconds(1) ... .milliseconds(60))
        )
    }

    private func digest(_ index: Int, _ steps: UInt64) -> Digest {
        Digest(high: workers[index].weights.bits, low: steps)
    }

    private mutating func begin(_ work: StepWork, _ index: Int) throws(SimulationFailure) {
        let assignment = work.assignment
        if soundAssignment != assignment {
            try require(assignment.plan.defect == nil, "a plan is wrong: \(assignment.plan.defect ?? "")")
            soundAssignment = assignment
        }
        try require(
            workers[index].machine.completedSteps == assignment.step,
            "worker \(index) begins step \(assignment.step) at another state"
        )
        try require(
            assignment.plan.tree.leafCount == run.schedule.location(of: assignment.step).batch.microbatchCount,
            "step \(assignment.step) has another number of microbatches"
        )
        workers[index].work = work
        if workers[index].step != assignment.step {
            workers[index].step = assignment.step
            workers[index].leaves = [:]
            workers[index].underWay = []
        }
        workers[index].sum = nil
        // Each thread runs one microbatch after the other; those of an earlier attempt go on.
        let threads = workers[index].threads
        var busy = [Instant](repeating: now, count: threads)
        for (order, leaf) in work.microbatches.enumerated() {
            if workers[index].leaves[leaf] != nil {
                queue.add(
                    .worker(
                        index,
                        .microbatchComputed(step: assignment.step, generation: assignment.generation, index: leaf)
                    ),
                    at: now
                )
                continue
            }
            if !workers[index].underWay.insert(leaf).inserted { continue }
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
    private mutating func publishIfComplete(
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
        var nodes: [TreeNode: SymbolicValue] = [:]
        for contribution in plan.contributions where contribution.owner == work.worker {
            nodes[contribution.node] = .fold(contribution.node, of: plan.tree) { leaves[$0] ?? SymbolicValue(0) }
        }
        published[Published(step: step, generation: generation, worker: work.worker)] = nodes
        // What is long over is dropped, to keep the world small.
        if published.count > 128 { published = published.filter { $0.key.step + 2 > step } }
        var held: [SymbolicValue] = []
        for member in plan.members
        where published[Published(step: step, generation: generation, worker: member)] == nil {
            return
        }
        for contribution in plan.contributions {
            let key = Published(step: step, generation: generation, worker: contribution.owner)
            guard let value = published[key]?[contribution.node] else {
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
                queue.add(
                    .worker(other, .failed(message: "no route to the host.", suspect: peer)),
                    at: now + random.duration(.milliseconds(1) ... .milliseconds(100))
                )
                continue
            }
            finishReduction(work.assignment, sum: held[sum.result], by: other)
        }
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

    private mutating func finishReduction(_ assignment: Assignment, sum: SymbolicValue, by index: Int) {
        var sum = sum
        // A worker that is alone has nobody to compare with.
        if workers[index].isCorruptingSums, assignment.plan.members.count > 1 {
            workers[index].isCorruptingSums = false
            sum.bits ^= UInt64(index + 1)
        }
        workers[index].sum = sum
        let report = ReducedReport(
            step: assignment.step,
            generation: assignment.generation,
            sumsDigest: Digest(high: sum.bits, low: 0),
            stateDigest: assignment.wantsStateDigest ? digest(index, assignment.step) : nil,
            losses: [1],
            gradientNorm: 1,
            nonFinite: nil,
            timings: StepTimings()
        )
        queue.add(
            .worker(index, .reduced(report)),
            at: now + random.duration(.microseconds(100) ... .milliseconds(4))
        )
    }

    private mutating func apply(
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

    private mutating func validate(_ request: ValidationRequest, _ index: Int) {
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

    private mutating func stream(_ request: CheckpointRequest, _ index: Int) throws(SimulationFailure) {
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
        queue.add(.piece(session: open.number, index: piece, workers[index].weights), at: at)
        queue.add(
            .worker(
                index,
                .snapshotStreamed(
                    CheckpointPiece(
                        completedSteps: request.completedSteps,
                        share: request.share,
                        byteCount: 1,
                        failure: nil
                    )
                )
            ),
            at: at
        )
    }

    // MARK: Faults

    /// Ends a process at once: what it has sent arrives, nothing else happens to it.
    mutating func kill(_ index: Int) {
        workers[index].isAlive = false
    }

    mutating func inject(_ fault: SimulatedFault) throws(SimulationFailure) {
        guard isCoordinatorAlive, fault.worker.map(workers.indices.contains) ?? true else { return }
        isDisturbed = true
        faults += 1
        let timing = session.timing
        switch fault {
        case .crash(let index, let notice, let peersNotice):
            guard workers[index].isAlive else { return dismissFault() }
            culprits.insert(index)
            kill(index)
            noticeCrash(of: index, notice)
            if peersNotice {
                for other in workers.indices where workers[other].isAlive {
                    guard let number = workers[index].machine.number, workers[other].work != nil else { continue }
                    queue.add(
                        .worker(other, .failed(message: "the connection broke.", suspect: number)),
                        at: now + random.duration(.microseconds(100) ... .milliseconds(200))
                    )
                }
            }
        case .freeze(let index, let duration):
            guard workers[index].isAlive, duration > .zero else { return dismissFault() }
            workers[index].frozenUntil = max(now + duration, workers[index].frozenUntil ?? now)
            if duration > timing.workerSilence {
                culprits.insert(index)
                limit(index, timing.workerSilence + timing.blameWindow)
            }
        case .failure(let index):
            guard workers[index].isAlive, workers[index].machine.number != nil, workers[index].frozenUntil == nil
            else { return dismissFault() }
            culprits.insert(index)
            try deliver(.failed(message: "the disk is gone.", suspect: nil), to: index)
            limit(index, .milliseconds(100))
        case .corruptState(let index):
            // A worker alone, or one that is on its way to its end, has nobody to compare with.
            guard case .stepping(let step) = coordinator.stage, step.assignment.plan.members.count > 1,
                workers[index].isAlive,
                step.assignment.step + 1 < run.lastStep, step.assignment.step == workers[index].work?.assignment.step,
                // Its digest is yet to be taken: one that changes behind it is found at the next step only.
                workers[index].sum == nil
            else { return dismissFault() }
            isCorrupted = true
            culprits.insert(index)
            workers[index].weights.bits ^= 1
        case .corruptSums(let index):
            guard workers.count > 1, workers[index].isAlive else { return dismissFault() }
            culprits.insert(index)
            workers[index].isCorruptingSums = true
        case .leave(let index):
            guard workers[index].isAlive else { return dismissFault() }
            culprits.insert(index)  // A worker that leaves before it is part of the run ends it.
            try deliver(.leaveRequested(reason: "SIGTERM"), to: index)
        case .slowLink(let index, let duration):
            guard workers[index].isAlive else { return dismissFault() }
            for link in [index, 1000 + index] { slowUntil[link] = now + duration }
        case .partition(let index, let direction, let duration, let breaks):
            guard workers[index].isAlive, workers[index].machine.number != nil else { return dismissFault() }
            var links: [Int] = []
            if direction != .toCoordinator { links.append(index) }
            if direction != .toWorker { links.append(1000 + index) }
            for link in links {
                heldUntil[link] = max(now + duration, heldUntil[link] ?? now)
                if breaks { lossyUntil[link] = now + duration }
            }
            if breaks { queue.add(.connectionBroken(worker: index), at: now + duration) }
            if breaks || duration > timing.workerSilence { culprits.insert(index) }
            if direction != .toWorker, duration > timing.workerSilence {
                limit(index, timing.workerSilence + timing.blameWindow)
            } else if breaks {
                limit(index, duration + timing.blameWindow)
            }
        case .unreachable(let index, let other):
            guard workers.indices.contains(other), index != other, workers[index].isAlive, workers[other].isAlive,
                culprits.isDisjoint(with: [index, other]),
                unreachable.isEmpty
            else { return dismissFault() }
            unreachable.append((index, other))
        case .coordinatorCrash:
            isCoordinatorAlive = false
            endedAt = now
            open = nil
            for index in workers.indices where random.oneIn(2) {
                queue.add(.worker(index, .connectionLost), at: now + random.duration(.zero ... .milliseconds(50)))
            }
        case .takeover(let actions, let duration, let wakes):
            guard succession.endsAfter == nil else { return dismissFault() }
            succession.endsAfter = (actions, duration, wakes)
        case .drain: try deliver(.drainRequested(reason: "Ctrl-C"))
        case .stop: try deliver(.stopRequested(reason: "Ctrl-C twice"))
        case .fullDisk(let duration): fullDiskUntil = now + duration
        }
    }

    /// A fault that hits nothing is none.
    private mutating func dismissFault() { faults -= 1 }

    private mutating func noticeCrash(of index: Int, _ notice: SimulatedFault.Notice) {
        let timing = session.timing
        let soon = random.duration(.microseconds(200) ... .milliseconds(100))
        let lost = CoordinatorMachine.Event.connectionLost(workers[index].peer)
        switch notice {
        case .processExit:
            noticeExit(of: index, .signal(9), after: soon)
            limit(index, .milliseconds(100))
        case .connection:
            queue.add(.coordinator(lost), at: now + soon)
            limit(index, timing.blameWindow + .milliseconds(100))
        case .connectionThenExit:
            queue.add(.coordinator(lost), at: now + soon)
            noticeExit(of: index, .signal(9), after: soon + random.duration(.zero ... .milliseconds(200)))
            limit(index, timing.blameWindow + .milliseconds(100))
        case .silence: limit(index, timing.workerSilence + timing.blameWindow)
        }
    }

    /// Worker `index` must be put out within `duration`, if it is a member.
    private mutating func limit(_ index: Int, _ duration: Duration) {
        guard let number = workers[index].machine.number, members.contains(number), mustKnowBy[index] == nil else {
            return
        }
        // What it has sent before may still be on its way, and is a sign of life.
        let link = 1000 + index
        let last = max(now, heldUntil[link] ?? now, arrivals[link] ?? now)
        let isSlow = slowUntil[link].map { now < $0 } ?? false
        if case .reattaching(let waiting) = coordinator.stage {
            // Who fails before it has come back is only missed.
            mustKnowBy[index] = waiting.until + duration + session.timing.heartbeatInterval * 2
            return
        }
        let grace = session.timing.heartbeatInterval * 2 + (isSlow ? .milliseconds(200) : .zero)
        mustKnowBy[index] = last + duration + grace
    }
}
