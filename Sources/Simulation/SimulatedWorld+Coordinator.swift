import Coordination
import Sampling

extension SimulatedWorld {
    func handle(_ happening: Happening) throws(SimulationFailure) {
        switch happening {
        case .coordinator(let event):
            if isForgotten(event) { return }
            try deliver(event)
        case .coordinatorTimer:
            if coordinatorTimer?.moment == now { try deliver(.tick) }
        case .worker(let index, let event):
            try deliver(event, to: index)
        case .workerTimer(let index):
            if workers[index].timer?.moment == now { try deliver(.tick(progress: 0), to: index) }
        case .takeover: try takeOver()
        case .wake: try wake()
        case .spawn(let seat):
            guard isLed else { return }
            let index = addWorker(at: seat)
            queue.add(.worker(index, .started), at: now + random.duration(.milliseconds(1) ... .milliseconds(20)))
        case .processEnded(let index, let cause): try processEnded(index, cause)
        case .told(let event, let fencing):
            // What a dead coordinator has not read is told to its successor by the launcher itself.
            if isCoordinatorAlive, fencing == succession.fencing { try deliver(event) }
        case .launcherTick: if isCoordinatorAlive { try launch(.tick) }
        case .coordinatorStopped(let isStopped, let fencing):
            if isCoordinatorAlive, fencing == succession.fencing {
                try launch(.coordinatorStopped(isStopped, process: succession.process))
            }
        case .fault(let fault):
            if isCoordinatorAlive { lastFaultAt = now }
            try inject(fault)
        case .connectionBroken(let index):
            try deliver(.connectionLost(workers[index].peer))
            try deliver(.connectionLost, to: index)
        case .piece(let number, let index, let weights):
            if !putOff(happening) { try pieceArrived(number: number, index: index, weights) }
        case .diskDone(let number, let fails):
            if !putOff(happening) { try diskDone(number: number, fails: fails) }
        }
    }

    /// Whether the event tells of a process that was ended with an earlier start of the run.
    private func isForgotten(_ event: CoordinatorMachine.Event) -> Bool {
        switch event {
        case .message(let peer, _, _), .connectionLost(let peer):
            SimulatedWorker.index(of: peer) < succession.firstProcess
        default: false
        }
    }

    /// Whether the coordinator's process stands still.
    var isCoordinatorStopped: Bool { coordinatorStoppedUntil.map { now < $0 } ?? false }

    /// Puts off what happens to the coordinator's process while that stands still; returns whether it does.
    private func putOff(_ happening: Happening) -> Bool {
        guard let until = coordinatorStoppedUntil else { return false }
        if now >= until {
            coordinatorStoppedUntil = nil
            return false
        }
        queue.add(happening, at: until)
        return true
    }

    /// Sends over a link: what arrives, and when, is up to its faults. Links delay at random, but keep their order.
    func transmit(_ happening: Happening, over link: inout SimulatedLink, of worker: Int) {
        if now < link.lossyUntil {
            tookEffect(.lostMessages, worker)
            return
        }
        // Mostly fast, now and then slow: that is what reorders messages of different peers.
        var delay =
            random.oneIn(8)
            ? random.duration(.milliseconds(1) ... .milliseconds(12))
            : random.duration(.microseconds(30) ... .milliseconds(1))
        if now < link.slowUntil {
            delay += random.duration(.milliseconds(20) ... .milliseconds(200))
            tookEffect(.slowMessages, worker)
        }
        var at = now + delay
        if at < link.heldUntil {
            at = link.heldUntil
            tookEffect(.heldMessages, worker)
        }
        if now < link.reorderingUntil {
            at = at + random.duration(.zero ... .milliseconds(40))
            if at < link.lastArrival { tookEffect(.overtaking, worker) }
        } else {
            at = max(at, link.lastArrival)
        }
        link.lastArrival = max(at, link.lastArrival)
        queue.add(happening, at: at)
        if now < link.duplicatingUntil, random.oneIn(2) {
            let late = random.oneIn(8) ? Duration.milliseconds(2000) : .milliseconds(60)
            let again = at + random.duration(.zero...late)
            link.lastDuplicate = max(again, link.lastDuplicate)
            queue.add(happening, at: again)
            tookEffect(.duplicates, worker)
        }
    }

    func deliver(_ event: CoordinatorMachine.Event) throws(SimulationFailure) {
        guard isCoordinatorAlive else { return }
        if putOff(.coordinator(event)) { return }
        let actions = coordinator.handle(event, at: coordinatorClock.reading(at: now))
        for (position, action) in actions.enumerated() {
            try perform(action)
            if isCoordinatorAlive { continue }
            if succession.stopped != nil {
                succession.unsaid += actions.dropFirst(position + (succession.hasBroadcast ? 1 : 0))
            }
            return
        }
    }

    private func perform(_ action: CoordinatorMachine.Action) throws(SimulationFailure) {
        try require(outcome == nil, "the coordinator acts after the end: \(action)")
        if session.tracing { note("  coordinator: \(action)") }
        succession.hasBroadcast = false
        if try endsNow() { return }
        switch action {
        case .send(let peer, let message): try send(message, to: peer)
        case .broadcast(let peers, let message):
            for (position, peer) in peers.enumerated() {
                if position > 0, try endsNow() {
                    succession.hasBroadcast = true
                    succession.unsaid = [.broadcast(Array(peers[position...]), message)]
                    return
                }
                try send(message, to: peer)
            }
        case .startTimer(let instant):
            setCoordinatorTimer(instant)
        case .beginCheckpoint(let order):
            try require(open == nil, "a checkpoint was begun while another was open")
            try require(
                order.completedSteps == UInt64(committed.count) || order.completedSteps + 1 == UInt64(committed.count),
                "a checkpoint of step \(order.completedSteps) after \(committed.count) steps"
            )
            let reference = run.reference[Int(order.completedSteps)]
            try require(
                isCorrupted || order.progress == reference.before || order.progress == reference.after,
                "the progress to be saved is not that of the undisturbed run"
            )
            openedCheckpoints += 1
            open = OpenCheckpoint(
                order: order,
                number: openedCheckpoints,
                pieces: order.pieces.map { _ in nil }
            )
        case .abandonCheckpoint(let steps, _):
            try require(
                open == nil || open?.order.completedSteps == steps,
                "another checkpoint was abandoned than is open"
            )
            open = nil
        case .discardCheckpoint(let steps, _): disk.saved[steps] = nil
        case .record(let record):
            // The last one before the coordinator died may have been kept already.
            if succession.takeovers > 0 && record.step + 1 == UInt64(committed.count) { return }
            try require(
                record.step == UInt64(committed.count),
                "step \(record.step) was committed after \(committed.count)"
            )
            try require(
                record.location == run.schedule.location(of: record.step),
                "step \(record.step) has other samples"
            )
            committed.append(record.step)
            try launch(.coordinatorSaid(.alive(completedSteps: record.step + 1), process: succession.process))
        case .recordValidation(let record):
            try require(
                isCorrupted || record.progress == run.reference[Int(record.progress.completedSteps)].after,
                "validation after \(record.progress.completedSteps) steps moved otherwise than in the undisturbed run"
            )
        case .journal(let entry):
            history.take(entry)
            try written(entry)
        case .evict(_, let peer, let incarnation, _):
            let index = SimulatedWorker.index(of: peer)
            guard workers.indices.contains(index) else { return }
            if workers[index].peer == peer { workers[index].peer = SimulatedWorker.peer(after: peer) }
            mustKnowBy[index] = nil
            // The launcher ends a process of its own that was put out; one that came by itself lives on.
            if workers[index].isAlive && !random.oneIn(4) { try launch(.evicted(incarnation: incarnation)) }
        case .confirmSuccession: break  // No coordinator of this world leads while another one does.
        case .log(let level, let sentence): log.append("\(level): \(sentence)")
        case .refused(let sentence): log.append(sentence)
        case .end(let outcome):
            self.outcome = outcome
            endedAt = now
            isCoordinatorAlive = false
            try checkOutcome(outcome)
            try launch(.coordinatorSaid(.ended(outcome), process: succession.process))
            try launch(.coordinatorEnded(.exited(0), process: succession.process))
        }
    }

    /// What the journal's line means for the world.
    private func written(_ entry: JournalEntry) throws(SimulationFailure) {
        switch entry {
        case .lost(let number, let sentence): try noteLoss(of: number, sentence)
        case .began(_, let steps):
            try require(
                steps <= UInt64(committed.count) + (succession.takeovers > 0 ? 1 : 0),
                "it begins at step \(steps) after \(committed.count)"
            )
            // What only lost workers had applied is done again.
            if steps < committed.count { committed.removeSubrange(Int(steps)...) }
            // Who is back has got over what ailed it, or shows it again.
            mustKnowBy = [:]
            try launch(.coordinatorSaid(.began, process: succession.process))
        case .membership(let membership, _, _):
            let known = Set(membership.members.map(\.worker))
            try require(known.count == membership.members.count, "a worker is a member twice: \(membership)")
            try require(expelled.isDisjoint(with: known), "a worker that was put out takes part again: \(membership)")
            if membership.version > 1 { joined += max(0, known.count - members.count) }
            members = known
            for index in mustKnowBy.keys where workers[index].machine.number.map({ !known.contains($0) }) ?? true {
                mustKnowBy[index] = nil
            }
        case .transition, .checkpoint, .ended: break
        }
    }

    private func send(_ message: CoordinatorMessage, to peer: PeerID) throws(SimulationFailure) {
        let index = SimulatedWorker.index(of: peer)
        if Impostors.isStranger(peer) {
            try checkAnswer(message, to: peer)
            return
        }
        try require(workers.indices.contains(index), "a message to \(peer), which does not exist")
        guard workers[index].isAlive, workers[index].peer == peer else { return }
        var link = linksToWorkers[index]
        transmit(.worker(index, .message(message)), over: &link, of: index)
        linksToWorkers[index] = link
    }

    /// The timer fires when the coordinator's clock reads `reading`.
    func setCoordinatorTimer(_ reading: Instant) {
        let moment = max(now, coordinatorClock.moment(of: reading))
        coordinatorTimer = SimulatedTimer(reading: reading, moment: moment)
        queue.add(.coordinatorTimer, at: moment)
    }

    /// Only a worker with a fault may be put out, and its sentence names it.
    private func noteLoss(of number: WorkerNumber, _ sentence: String) throws(SimulationFailure) {
        // Most sentences name the process; numbers are given anew where a run is started anew.
        let named = workers.indices.first {
            sentence.contains("(process \(1000 + $0))") || sentence.contains("on host host\($0) did not come back")
        }
        guard let index = named ?? workers.lastIndex(where: { $0.machine.number == number }) else {
            try require(false, "worker \(number) was lost, and there is none of that number: \(sentence)")
            return
        }
        // Of two that cannot reach each other the rule puts one out; the other has done nothing.
        if unreachable.contains(where: { $0.first == index || $0.second == index }),
            sentence.contains(" cannot reach it")
        {
            culprits.insert(index)
        }
        try require(culprits.contains(index), "worker process \(1000 + index) was put out without a fault: \(sentence)")
        try require(
            sentence.contains("on host host\(index) (process \(1000 + index))")
                || sentence.contains("on host host\(index) did not come back"),
            "the sentence does not name host and process: \(sentence)"
        )
        lost[index] = sentence
        expelled.insert(number)
        unreachable.removeAll { $0.first == index || $0.second == index }
        mustKnowBy[index] = nil
    }

    private func checkOutcome(_ outcome: RunOutcome) throws(SimulationFailure) {
        // Where nobody came back to a coordinator that took over, it knows of what is saved only.
        let isForgotten =
            succession.takeovers > 0
            && (outcome.kind == .stopped || outcome.message.contains("has come back")
                || outcome.message.contains("neither is trusted"))
        try require(
            outcome.completedSteps == UInt64(committed.count) || isForgotten,
            "the outcome counts other steps than committed"
        )
        switch outcome.kind {
        case .completed, .drained:
            if outcome.completedSteps > 0 {
                try require(
                    disk.saved[outcome.completedSteps] != nil,
                    "the run ended in order without saving its last step"
                )
            }
            if outcome.kind == .completed {
                try require(outcome.completedSteps == run.lastStep, "the run completed before its last step")
            }
        case .workerLost:
            try require(
                !culprits.isEmpty,
                "a worker was lost and none had a fault: \(outcome.message)"
            )
            if let fault = outcome.fault {
                let index =
                    fault.processID == 0
                    ? workers.lastIndex { $0.machine.number == fault.worker } : Int(fault.processID) - 1000
                try require(
                    index.map(culprits.contains) ?? false,
                    "worker \(fault.worker) was blamed: \(outcome.message)"
                )
                try require(
                    isForgotten || outcome.message.contains("on host host\(index ?? -1)"),
                    "the message does not name the host: \(outcome.message)"
                )
            } else {
                try require(
                    isForgotten || outcome.message.contains("The coordinator that died had only"),
                    "a lost worker without a fault: \(outcome.message)"
                )
            }
        case .notStarted: try require(isDisturbed, "the run did not start: \(outcome.message)")
        case .stopped: try require(isDisturbed, "the run stopped by itself: \(outcome.message)")
        case .notSaved:
            try require(isDisturbed, "the run could not be saved: \(outcome.message)")
        case .diverged: try require(!culprits.isEmpty, "the run diverged by itself: \(outcome.message)")
        }
        if let steps = outcome.savedSteps {
            try require(disk.saved[steps] != nil, "the outcome names a checkpoint that is not there")
        }
    }

    // MARK: Disk

    private func pieceArrived(
        number: Int,
        index: Int,
        _ weights: SymbolicValue
    ) throws(SimulationFailure) {
        guard isCoordinatorAlive, open?.number == number else { return }
        open?.pieces[index] = weights
        if open?.pieces.allSatisfy({ $0 != nil }) == true {
            var latency = random.duration(.milliseconds(1) ... .milliseconds(random.oneIn(6) ? 400 : 40))
            if let more = diskDelay() {
                latency += more
                tookEffect(.slowSave)
            }
            queue.add(
                .diskDone(session: number, fails: now < fullDiskUntil),
                at: now + latency
            )
        }
    }

    /// What a slow disk adds to a transfer that begins now.
    func diskDelay() -> Duration? {
        now < slowDiskUntil ? random.duration((diskLatency / 2)...diskLatency) : nil
    }

    private func diskDone(number: Int, fails: Bool) throws(SimulationFailure) {
        guard isCoordinatorAlive, let done = open, done.number == number else { return }
        open = nil
        let steps = done.order.completedSteps
        if fails {
            tookEffect(.failedSave)
            try deliver(.checkpointFailed(completedSteps: steps, reason: "no space left on the disk."))
            return
        }
        let weights = run.reference[Int(steps)].weights
        let wrong = done.pieces.first { $0 != weights } ?? nil
        try require(isCorrupted || wrong == nil, "the checkpoint of step \(steps) holds other weights")
        disk.saved[steps] = SimulatedDisk.Saved(progress: done.order.progress, weights: wrong ?? weights)
        try deliver(.checkpointDurable(completedSteps: steps))
    }
}
