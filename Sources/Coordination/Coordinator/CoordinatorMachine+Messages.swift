import Sampling

extension CoordinatorMachine {
    mutating func receive(_ message: WorkerMessage, from peer: PeerID) {
        if case .hello(let hello) = message.body {
            receive(hello, incarnation: message.incarnation, from: peer)
            return
        }
        guard let position = positions[peer], members[position].incarnation == message.incarnation,
            !members[position].isLost
        else {
            ignoredMessages += 1
            turnAway(message, from: peer)
            return
        }
        members[position].lastHeard = now
        switch message.body {
        case .hello: break
        case .ready(let ready): receive(ready, from: position)
        case .heartbeat(let heartbeat):
            if heartbeat.progress != members[position].counter {
                members[position].counter = heartbeat.progress
                members[position].lastProgress = now
            }
            if heartbeat.phase != members[position].phase || heartbeat.step != members[position].phaseStep {
                members[position].enter(heartbeat.phase, step: heartbeat.step, at: now)
                // The worker knows better since when; held within what this coordinator has seen of it.
                members[position].phaseSince = max(
                    members[position].joined,
                    now - max(.zero, heartbeat.inPhase)
                )
            }
        case .reduced(let report): receive(report, from: position)
        case .applied(let steps, let digest): applied(steps, digest, by: position)
        case .validated(let result): receive(result, from: position)
        case .checkpointPiece(let piece): receive(piece, from: position)
        case .failure(let report): receive(report, from: position)
        case .leaving(let reason): leave(position, reason: reason)
        }
    }

    // MARK: Joining

    private mutating func receive(_ hello: Hello, incarnation: UInt64, from peer: PeerID) {
        if let position = members.firstIndex(where: { $0.incarnation == incarnation }) {
            // A repeated hello: the welcome is on its way or was lost with a connection.
            if case .gathering = stage, !members[position].isReady {
                if members[position].peer != peer {
                    positions[members[position].peer] = nil
                    members[position].peer = peer
                    positions[peer] = position
                }
                members[position].lastHeard = now
                send(.welcome(welcome(for: members[position].number)), to: peer)
            } else {
                ignoredMessages += 1
            }
            return
        }
        if let refusal = refusal(of: hello, from: peer) {
            refuse(peer, incarnation: incarnation, hello: hello, refusal)
            return
        }
        let member = MemberState(
            number: nextNumber,
            peer: peer,
            incarnation: incarnation,
            hello: hello,
            now: now
        )
        nextNumber += 1
        positions[peer] = members.count
        members.append(member)
        send(.welcome(welcome(for: member.number)), to: peer)
        log(
            .info,
            "worker \(member.number) joined from host \(hello.hostName) (process \(hello.processID), "
                + "\(hello.threads) threads): \(members.count) of \(configuration.expectedWorkers)"
        )
    }

    private func welcome(for number: WorkerNumber) -> Welcome {
        Welcome(
            job: configuration.job,
            worker: number,
            configuration: configuration.resolvedConfiguration,
            datasetDigest: configuration.datasetDigest,
            numericsProfile: configuration.numericsProfile,
            resume: resumeSource,
            timing: configuration.timing.forWorkers,
            bulkEndpoint: configuration.bulkEndpoint
        )
    }

    private func refusal(of hello: Hello, from peer: PeerID) -> Refusal? {
        func because(_ reason: String) -> Refusal { Refusal(reason: reason, isSurplus: false) }
        if hello.protocolVersion != configuration.protocolVersion {
            return because(
                "The coordinator speaks protocol version \(configuration.protocolVersion), the worker "
                    + "\(hello.protocolVersion); install the same program on both."
            )
        }
        if hello.programVersion != configuration.programVersion {
            return because(
                "The coordinator is program version \(configuration.programVersion), the worker "
                    + "\(hello.programVersion); equal results need equal programs: install the same build on both."
            )
        }
        if let job = hello.job, job != configuration.job {
            return because("The worker serves job \(job), this coordinator runs job \(configuration.job).")
        }
        if !hello.numericsProfiles.contains(configuration.numericsProfile) {
            return because(
                "The job's numerics profile is \(configuration.numericsProfile), the worker's machine honours "
                    + "\(hello.numericsProfiles.joined(separator: ", "))."
            )
        }
        if let digest = hello.datasetDigest, digest != configuration.datasetDigest {
            return because(
                "The job's data set has digest \(configuration.datasetDigest), the worker's \(digest); point it to "
                    + "the same shards."
            )
        }
        if hello.threads == 0 { return because("A worker needs at least one compute thread.") }
        if let seat = hello.seat {
            return because(
                "Worker \(seat.worker) belongs to an earlier coordinator of the job (incarnation \(seat.fencing)); "
                    + "this run goes on from its checkpoint with new workers."
            )
        }
        if positions[peer] != nil { return because("Another worker has joined over the same connection.") }
        guard case .gathering = stage, members.count < configuration.expectedWorkers else {
            return Refusal(
                reason: "The run has its \(configuration.expectedWorkers) workers; start it with more to use this one.",
                isSurplus: true
            )
        }
        return nil
    }

    private mutating func refuse(_ peer: PeerID, incarnation: UInt64, hello: Hello, _ refusal: Refusal) {
        // Bounded: a flood of strangers must not grow the coordinator.
        if refusals.count < 1024 { refusals[incarnation] = refusal }
        send(.refuse(reason: refusal.reason), to: peer)
        log(
            .warning,
            "refused a worker on host \(hello.hostName) (process \(hello.processID)): \(refusal.reason)"
        )
    }

    /// Tells a worker that acts as a member and is none why it is none: it would wait for its work for ever.
    private mutating func turnAway(_ message: WorkerMessage, from peer: PeerID) {
        switch message.body {
        case .ready, .heartbeat: break
        default: return
        }
        // A member that speaks over another connection than before is known by its hello.
        if members.contains(where: { $0.incarnation == message.incarnation && !$0.isLost }) { return }
        let reason = refusals[message.incarnation]?.reason ?? "It is no part of this run, or not any more."
        send(.refuse(reason: reason), to: peer)
    }

    private mutating func receive(_ ready: Ready, from position: Int) {
        guard case .gathering = stage, !members[position].isReady else {
            ignoredMessages += 1
            return
        }
        var reason: String?
        if ready.datasetDigest != configuration.datasetDigest {
            reason =
                "The job's data set has digest \(configuration.datasetDigest), the worker's \(ready.datasetDigest); "
                + "point it to the same shards."
        } else if ready.networkDigest != configuration.networkDigest {
            reason =
                "The job's network has digest \(configuration.networkDigest), the worker built "
                + "\(ready.networkDigest); install the same program on both."
        } else if ready.completedSteps != progress.completedSteps {
            reason = "The run stands at step \(progress.completedSteps), the worker at \(ready.completedSteps)."
        }
        if let reason {
            let member = members[position]
            refuse(
                member.peer,
                incarnation: member.incarnation,
                hello: member.hello,
                Refusal(reason: reason, isSurplus: false)
            )
            actions.append(.evict(member.number, member.peer, reason: reason))
            remove(position)
            return
        }
        members[position].isReady = true
        if !ready.endpoints.isEmpty { members[position].hello.endpoints = ready.endpoints }
        members[position].completedSteps = ready.completedSteps
        members[position].stateDigest = ready.stateDigest
        members[position].enter(.waiting, step: ready.completedSteps, at: now)
        log(.info, "worker \(members[position].number) is ready at step \(ready.completedSteps)")
    }

    /// Starts the run: the expected workers are ready.
    mutating func begin() {
        let digests = members.compactMap { member in member.stateDigest.map { (member.number, $0) } }
        if let sentence = disagreement(digests, about: "the state at step \(progress.completedSteps)") {
            end(.diverged, sentence)
            return
        }
        membership = Membership(version: membership.version + 1, members: members.map(\.member))
        actions.append(
            .journal(.began(fencing: configuration.fencing, completedSteps: progress.completedSteps))
        )
        actions.append(.journal(.membership(membership)))
        broadcast(.membership(membership))
        let threads = members.reduce(0) { $0 + Int($1.hello.threads) }
        log(
            .notice,
            "started at step \(progress.completedSteps) of \(configuration.schedule.totalSteps) with "
                + "\(members.count) workers, \(threads) threads"
        )
        proceed()
    }

    // MARK: Digests

    /// A sentence that names the workers whose digest is not that of the majority, or nil where all agree.
    func disagreement(_ digests: [(WorkerNumber, Digest)], about what: String) -> String? {
        guard let first = digests.first, digests.contains(where: { $0.1 != first.1 }) else { return nil }
        // Groups in order of their first worker, so that the sentence does not depend on hashing.
        var groups: [(digest: Digest, workers: [WorkerNumber])] = []
        for (worker, digest) in digests {
            if let index = groups.firstIndex(where: { $0.digest == digest }) {
                groups[index].workers.append(worker)
            } else {
                groups.append((digest, [worker]))
            }
        }
        let largest = groups.map(\.workers.count).max() ?? 0
        if 2 * largest > digests.count, let majority = groups.first(where: { $0.workers.count == largest }) {
            let wrong = groups.filter { $0.digest != majority.digest }.flatMap(\.workers).sorted()
            return "The workers disagree about \(what): \(names(of: wrong)) differs from the other \(largest). Check "
                + "that machine's memory and program."
        }
        return "The workers disagree about \(what) and none has a majority: "
            + groups.map { "\(names(of: $0.workers)) has \($0.digest)" }.joined(separator: ", ")
            + ". Check these machines' memory and programs."
    }

    /// The workers by number and host, joined by "and".
    func names(of workers: [WorkerNumber]) -> String {
        workers.map { number in
            let host = members.first { $0.number == number }?.hello.hostName ?? "unknown"
            return "worker \(number) on host \(host)"
        }.joined(separator: " and ")
    }
}
