import Coordination
import Reduction

extension SimulatedWorld {
    /// Ends a process at once: what it has sent arrives, nothing else happens to it.
    func kill(_ index: Int) {
        workers[index].isAlive = false
    }

    func inject(_ fault: SimulatedFault) throws(SimulationFailure) {
        guard isCoordinatorAlive, fault.worker.map(workers.indices.contains) ?? true else { return }
        injected += 1
        isDisturbed = true
        switch fault {
        case .crash, .freeze, .failure, .corruptState, .corruptSums, .leave: try injectIntoWorker(fault)
        case .liar, .replays, .foreignJob: injectImpostor(fault)
        case .brokenStreams(let index, let duration):
            guard workers[index].isAlive else { return }
            workers[index].streamsBreakUntil = now + duration
            expect(.brokenStream, index)
        case .slowLink, .partition, .duplication, .reordering, .unreachable: injectIntoNetwork(fault)
        case .suspension(let process, let duration, let clockStops): suspend(process, duration, clockStops)
        case .clockDrift(.coordinator, let ppm):
            coordinatorClock.drift(ppm: ppm, from: max(now, coordinatorStoppedUntil ?? now))
            restartTimer(of: .coordinator)
            count(.coordinatorDrift)
        case .clockJump(.coordinator, let duration):
            coordinatorClock.jump(by: duration)
            restartTimer(of: .coordinator)
            count(.coordinatorJump)
        case .clockDrift(.worker(let index), let ppm):
            guard workers[index].isAlive else { return }
            workers[index].clock.drift(ppm: ppm, from: max(now, workers[index].frozenUntil ?? now))
            restartTimer(of: .worker(index))
            count(.workerDrift)
        case .clockJump(.worker(let index), let duration):
            guard workers[index].isAlive else { return }
            workers[index].clock.jump(by: duration)
            restartTimer(of: .worker(index))
            count(.workerJump)
        case .coordinatorCrash:
            isCoordinatorAlive = false
            endedAt = now
            open = nil
            for index in workers.indices where random.oneIn(2) {
                queue.add(.worker(index, .connectionLost), at: now + random.duration(.zero ... .milliseconds(50)))
            }
            count(.coordinatorCrash)
        case .takeover(let actions, let duration, let wakes):
            guard succession.endsAfter == nil else { return }
            succession.endsAfter = (actions, duration, wakes)
            count(.takeover)
        case .drain:
            count(.drain)
            try launch(.drainRequested(reason: "Ctrl-C"))
        case .stop:
            count(.stop)
            try deliver(.stopRequested(reason: "Ctrl-C twice"))
        case .fullDisk(let duration):
            fullDiskUntil = max(fullDiskUntil, now + duration)
            expect(.failedSave)
        case .slowDisk(let duration, let latency):
            slowDiskUntil = now + duration
            diskLatency = latency
            expect(.slowSave)
            expect(.slowLoad)
        }
    }

    private func injectIntoWorker(_ fault: SimulatedFault) throws(SimulationFailure) {
        guard let index = fault.worker, workers[index].isAlive else { return }
        switch fault {
        case .crash(_, let notice, let peersNotice):
            culprits.insert(index)
            kill(index)
            count(.crash)
            noticeCrash(of: index, notice)
            guard peersNotice, let number = workers[index].machine.number else { return }
            for other in workers.indices where workers[other].isAlive && workers[other].work != nil {
                queue.add(
                    .worker(other, .failed(message: "the connection broke.", suspect: number)),
                    at: now + random.duration(.microseconds(100) ... .milliseconds(200))
                )
            }
        case .freeze(_, let duration):
            stop(index, for: duration)
            expect(.freeze, index)
        case .failure:
            guard workers[index].machine.number != nil, workers[index].frozenUntil == nil else { return }
            culprits.insert(index)
            count(.failure)
            try deliver(.failed(message: "the disk is gone.", suspect: nil), to: index)
            limit(index, .milliseconds(100))
        case .corruptState:
            // A worker alone, or one that is on its way to its end, has nobody to compare with.
            guard let attempt = coordinator.attempt, attempt.plan.members.count > 1,
                attempt.step + 1 < run.lastStep, attempt.step == workers[index].work?.assignment.step,
                // Its digest is yet to be taken: one that changes behind it is found at the next step only.
                workers[index].sum == nil
            else {
                // Its moment may come.
                if corruptionsPutOff < 4 {
                    corruptionsPutOff += 1
                    queue.add(.fault(fault), at: now + .milliseconds(3))
                }
                return
            }
            isCorrupted = true
            culprits.insert(index)
            workers[index].weights.bits ^= 1
            count(.wrongState)
        case .corruptSums:
            guard workers.count > 1 else { return }
            culprits.insert(index)
            workers[index].isCorruptingSums = true
            expect(.wrongSums, index)
        case .leave:
            culprits.insert(index)  // A worker that leaves before it is part of the run ends it.
            count(.leave)
            try deliver(.leaveRequested(reason: "SIGTERM"), to: index)
        default: break
        }
    }

    private func injectIntoNetwork(_ fault: SimulatedFault) {
        guard let index = fault.worker, workers[index].isAlive else { return }
        let timing = session.timing
        switch fault {
        case .slowLink(_, let duration):
            linksToWorkers[index].slowUntil = now + duration
            linksToCoordinator[index].slowUntil = now + duration
            expect(.slowMessages, index)
        case .duplication(_, let duration):
            linksToWorkers[index].duplicatingUntil = now + duration
            linksToCoordinator[index].duplicatingUntil = now + duration
            expect(.duplicates, index)
        case .reordering(_, let duration):
            // No connection does this: only its end can, and it ends the worker's part.
            culprits.insert(index)
            linksToWorkers[index].reorderingUntil = now + duration
            linksToCoordinator[index].reorderingUntil = now + duration
            expect(.overtaking, index)
        case .partition(_, let direction, let duration, let breaks):
            guard workers[index].machine.number != nil else { return }
            let until = now + duration
            if direction != .toCoordinator {
                linksToWorkers[index].heldUntil = max(until, linksToWorkers[index].heldUntil)
                if breaks { linksToWorkers[index].lossyUntil = until }
            }
            if direction != .toWorker {
                linksToCoordinator[index].heldUntil = max(until, linksToCoordinator[index].heldUntil)
                if breaks { linksToCoordinator[index].lossyUntil = until }
            }
            expect(breaks ? .lostMessages : .heldMessages, index)
            if breaks { queue.add(.connectionBroken(worker: index), at: until) }
            if breaks || duration > timing.workerSilence { culprits.insert(index) }
            if direction != .toWorker, duration > timing.workerSilence {
                limit(index, timing.workerSilence + timing.blameWindow)
            } else if breaks {
                limit(index, duration + timing.blameWindow)
            }
        case .unreachable(_, let other):
            guard workers.indices.contains(other), index != other, workers[other].isAlive,
                culprits.isDisjoint(with: [index, other]), unreachable.isEmpty
            else { return }
            unreachable.append((index, other))
            expect(.unreachable)
        default: break
        }
    }

    // MARK: Time

    /// Stops a worker's process for the duration; one that is stopped for too long is lost.
    private func stop(_ index: Int, for duration: Duration) {
        guard duration > .zero else { return }
        workers[index].frozenUntil = max(now + duration, workers[index].frozenUntil ?? now)
        if duration > session.timing.workerSilence {
            culprits.insert(index)
            limit(index, session.timing.workerSilence + session.timing.blameWindow)
        }
    }

    private func suspend(_ process: SimulatedFault.Process, _ duration: Duration, _ clockStops: Bool) {
        switch process {
        case .worker(let index):
            guard workers[index].isAlive, workers[index].frozenUntil == nil else { return }
            stop(index, for: duration)
            if clockStops {
                workers[index].clock.stop(for: duration)
                restartTimer(of: process)
            }
            expect(clockStops ? .suspendedWorker : .freeze, index)
        case .coordinator:
            guard coordinatorStoppedUntil == nil else { return }
            coordinatorStoppedUntil = now + duration
            if clockStops {
                coordinatorClock.stop(for: duration)
                restartTimer(of: process)
            }
            count(clockStops ? .coordinatorSuspension : .coordinatorStop)
            // What it should have known by a moment, it knows so much later; who is alive may be well again by then.
            mustKnowBy = mustKnowBy.filter { !workers[$0.key].isAlive }.mapValues { $0 + duration }
            if !clockStops { watchStop(for: duration) }
            // Workers that have waited for their whole grace period may leave.
            if duration > session.timing.coordinatorSilence { culprits.formUnion(workers.indices) }
        }
    }

    /// After a process's clock was changed: its timer fires when the clock reads what it did.
    private func restartTimer(of process: SimulatedFault.Process) {
        switch process {
        case .coordinator: if let timer = coordinatorTimer { setCoordinatorTimer(timer.reading) }
        case .worker(let index): if let timer = workers[index].timer { setTimer(timer.reading, of: index) }
        }
    }

    // MARK: Counts

    /// The fault being injected has had an effect.
    private func count(_ effect: SimulatedEffect) {
        effects[effect, default: 0] += 1
        if effective.insert(injected).inserted { faults += 1 }
    }

    /// The fault being injected may have an effect later.
    func expect(_ effect: SimulatedEffect, _ worker: Int = 0) {
        pendingEffects[PendingEffect(effect: effect, worker: worker)] = injected
    }

    /// An effect has come about; it counts once for each fault.
    func tookEffect(_ effect: SimulatedEffect, _ worker: Int = 0) {
        guard !pendingEffects.isEmpty,
            let fault = pendingEffects.removeValue(forKey: PendingEffect(effect: effect, worker: worker))
        else { return }
        effects[effect, default: 0] += 1
        if effective.insert(fault).inserted { faults += 1 }
    }

    private func noticeCrash(of index: Int, _ notice: SimulatedFault.Notice) {
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
    private func limit(_ index: Int, _ duration: Duration) {
        guard let number = workers[index].machine.number, members.contains(number), mustKnowBy[index] == nil,
            !(isCoordinatorStopped && workers[index].isAlive)
        else { return }
        if let until = coordinator.reattachesUntil {
            // Who fails before it has come back is only missed.
            mustKnowBy[index] =
                max(now, until) + session.timing.workerSilence + duration + session.timing.heartbeatInterval * 2
            return
        }
        // What it has sent before may still be on its way, and is a sign of life.
        let link = linksToCoordinator[index]
        let last = max(now, link.heldUntil, link.lastArrival, link.lastDuplicate, coordinatorStoppedUntil ?? now)
        let grace = session.timing.heartbeatInterval * 2 + (now < link.slowUntil ? .milliseconds(200) : .zero)
        // The coordinator's clock may be slow.
        mustKnowBy[index] = last + duration + duration / 16 + grace
    }
}
