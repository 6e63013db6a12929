import Sampling

extension CoordinatorMachine {
    mutating func receive(_ message: WorkerMessage, from peer: PeerID, _ sender: Sender) {
        if case .hello(let hello) = message.body {
            receive(hello, of: sender, from: peer)
            return
        }
        if let index = joiners.firstIndex(where: { $0.peer == peer && $0.sender == sender }) {
            receive(message.body, fromJoiner: index)
            return
        }
        guard let position = positions[peer], members[position].sender == sender else {
            ignoredMessages += 1
            turnAway(message, from: peer, sender)
            return
        }
        members[position].lastHeard = now
        if case .reattaching = stage, receive(message.body, whileReattaching: position) { return }
        switch message.body {
        case .hello: break
        case .ready(let ready): receive(ready, from: position)
        case .heartbeat(let heartbeat): members[position].take(heartbeat, at: now)
        case .reduced(let report): receive(report, from: position)
        case .applied(let steps, let digest): applied(steps, digest, by: position)
        case .validated(let result): receive(result, from: position)
        case .checkpointPiece(let piece): receive(piece, from: position)
        case .failure(let report): receive(report, from: position)
        case .leaving(let reason): leave(position, reason: reason)
        }
    }

    // MARK: Joining

    private mutating func receive(_ body: WorkerMessage.Body, fromJoiner index: Int) {
        joiners[index].lastHeard = now
        switch body {
        case .heartbeat(let heartbeat): joiners[index].take(heartbeat, at: now)
        case .ready(let ready):
            let isRestored = joiners[index].restoring != nil
            if let steps = joiners[index].restoring, ready.completedSteps < steps {
                // Said twice, before it was sent to load this state.
                ignoredMessages += 1
                return
            }
            if let reason = defect(of: ready, steps: isRestored ? joiners[index].restoring ?? 0 : ready.completedSteps)
            {
                let joiner = joiners[index]
                turnDown(index, "worker \(joiner.number) on host \(joiner.hello.hostName): \(reason)")
                return
            }
            if let own = members.first(where: { $0.stateDigest != nil })?.stateDigest, isRestored,
                configuration.stateDigestInterval > 0, case .admitting = stage, own != ready.stateDigest
            {
                let joiner = joiners[index]
                let reason = "It loaded step \(ready.completedSteps), and its state is not that of the others."
                turnDown(index, "worker \(joiner.number) on host \(joiner.hello.hostName): \(reason)")
                return
            }
            joiners[index].isReady = true
            joiners[index].completedSteps = ready.completedSteps
            if !ready.endpoints.isEmpty { joiners[index].hello.endpoints = ready.endpoints }
            joiners[index].enter(.waiting, step: ready.completedSteps, at: now)
            if !isRestored {
                log(.info, "worker \(joiners[index].number) has loaded its data and joins after this step")
            }
        case .failure(let report): turnDown(index, fault(of: joiners[index], .reported(report.message)).sentence)
        case .leaving(let reason):
            turnDown(index, "worker \(joiners[index].number) on host \(joiners[index].hello.hostName) left: \(reason).")
        case .hello, .reduced, .applied, .validated, .checkpointPiece: ignoredMessages += 1
        }
    }

    private mutating func receive(_ hello: Hello, of sender: Sender, from peer: PeerID) {
        // One that was put out has missed what was said since; it has to start anew, under another incarnation.
        let earlier = refusals[sender].flatMap { $0.isSurplus ? nil : $0 }
        if case .reattaching(let waiting) = stage, let seat = hello.seat {
            let refusal = earlier ?? unfitness(of: hello) ?? reattach(seat, hello, of: sender, from: peer, waiting)
            if let refusal { refuse(peer, sender, hello, refusal) }
            return
        }
        if case .reattaching(let waiting) = stage,
            let known = waiting.reattachment.incarnations.first(where: { $0.value == sender.incarnation })
        {
            // A member tells its seat: this was said before it was one, or by somebody else.
            if (waiting.reattachment.keys[known.key] ?? "") == sender.key {
                ignoredMessages += 1
            } else {
                refuse(peer, sender, hello, sameIncarnation)
            }
            return
        }
        if let position = members.firstIndex(where: { $0.sender == sender }) {
            // A repeated hello: the welcome is on its way or was lost with a connection.
            if case .gathering = stage, !members[position].isReady {
                if members[position].peer != peer {
                    positions[members[position].peer] = nil
                    members[position].peer = peer
                    positions[peer] = position
                }
                members[position].lastHeard = now
                send(.welcome(welcome(for: members[position].number, resume: resumeSource)), to: peer)
            } else {
                ignoredMessages += 1
            }
            return
        }
        if let index = joiners.firstIndex(where: { $0.sender == sender }) {
            if let seat = hello.seat, seat.worker != joiners[index].number {
                // It would not know itself in any plan.
                turnDown(index, tooLate(seat).reason)
                return
            }
            joiners[index].peer = peer
            joiners[index].lastHeard = now
            if !joiners[index].isReady {
                send(.welcome(welcome(for: joiners[index].number, resume: nil)), to: peer)
            }
            return
        }
        if let refusal = earlier ?? refusal(of: hello, of: sender, from: peer) {
            refuse(peer, sender, hello, refusal)
            return
        }
        let member = MemberState(number: nextNumber, peer: peer, sender: sender, hello: hello, now: now)
        nextNumber += 1
        guard case .gathering = stage, members.count < configuration.expectedWorkers else {
            // It loads its data beside the run, and the state when its turn comes.
            joiners.append(member)
            send(.welcome(welcome(for: member.number, resume: nil)), to: peer)
            log(
                .info,
                "worker \(member.number) on host \(hello.hostName) (process \(hello.processID), \(hello.threads) threads) "
                    + "prepares to join"
            )
            return
        }
        positions[peer] = members.count
        members.append(member)
        send(.welcome(welcome(for: member.number, resume: resumeSource)), to: peer)
        log(
            .info,
            "worker \(member.number) joined from host \(hello.hostName) (process \(hello.processID), "
                + "\(hello.threads) threads): \(members.count) of \(configuration.expectedWorkers)"
        )
    }

    func welcome(for number: WorkerNumber, resume: ResumeSource?) -> Welcome {
        Welcome(
            job: configuration.job,
            worker: number,
            configuration: configuration.resolvedConfiguration,
            datasetDigest: configuration.datasetDigest,
            numericsProfile: configuration.numericsProfile,
            resume: resume,
            timing: configuration.timing.forWorkers,
            bulkEndpoint: configuration.bulkEndpoint
        )
    }

    /// Why a worker cannot take part, whatever it holds or wants: another job first, since nothing else that a stranger
    /// says is about this run.
    private func unfitness(of hello: Hello) -> Refusal? {
        func because(_ reason: String) -> Refusal { Refusal(reason: reason, isSurplus: false) }
        if let job = hello.job, job != configuration.job {
            return because("The worker serves job \(job), this coordinator runs job \(configuration.job).")
        }
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
        return nil
    }

    private func refusal(of hello: Hello, of sender: Sender, from peer: PeerID) -> Refusal? {
        if let refusal = unfitness(of: hello) { return refusal }
        if let seat = hello.seat { return tooLate(seat) }
        if (members + joiners).contains(where: { $0.incarnation == sender.incarnation }) {
            return sameIncarnation
        }
        if positions[peer] != nil || joiners.contains(where: { $0.peer == peer }) {
            return Refusal(reason: "Another worker has joined over the same connection.", isSurplus: false)
        }
        let most = configuration.maximumWorkers
        if members.count + joiners.count >= most {
            return Refusal(
                reason: "The run has its \(most) workers; start it with more to use this one.",
                isSurplus: true
            )
        }
        if ending != nil { return Refusal(reason: "The run is about to end.", isSurplus: true) }
        return nil
    }

    private var sameIncarnation: Refusal {
        Refusal(
            reason:
                "Another worker of this run has the same incarnation, under another key. Give each process one of its "
                + "own, or none.",
            isSurplus: false
        )
    }

    /// Why a worker that holds a state of the run is not taken back.
    func tooLate(_ seat: Seat) -> Refusal {
        Refusal(
            reason: "Worker \(seat.worker) belongs to an earlier coordinator of the job (incarnation \(seat.fencing)), "
                + "and comes back too late: the run goes on without what it holds. Start the worker anew.",
            isSurplus: false
        )
    }

    private mutating func refuse(_ peer: PeerID, _ sender: Sender, _ hello: Hello, _ refusal: Refusal) {
        // Bounded: a flood of strangers must not grow the coordinator.
        if refusals.count < 1024 { refusals[sender] = refusal }
        send(.refuse(reason: refusal.reason), to: peer)
        let sentence = "refused a worker on host \(hello.hostName) (process \(hello.processID)): \(refusal.reason)"
        actions.append(.refused(sentence))
    }

    /// Tells a worker that acts as a member and is none why it is none: it would wait for its work for ever.
    private mutating func turnAway(_ message: WorkerMessage, from peer: PeerID, _ sender: Sender) {
        switch message.body {
        case .ready, .heartbeat: break
        default: return
        }
        // One that has not said yet that it is back.
        if case .reattaching = stage { return }
        // A member that speaks over another connection than before is known by its hello.
        if (members + joiners).contains(where: { $0.sender == sender }) { return }
        let reason = refusals[sender]?.reason ?? "It is no part of this run, or not any more."
        send(.refuse(reason: reason), to: peer)
    }

    private mutating func receive(_ ready: Ready, from position: Int) {
        guard case .gathering = stage, !members[position].isReady else {
            ignoredMessages += 1
            return
        }
        if let reason = defect(of: ready, steps: progress.completedSteps) {
            let member = members[position]
            refuse(member.peer, member.sender, member.hello, Refusal(reason: reason, isSurplus: false))
            actions.append(.evict(member.number, member.peer, incarnation: member.incarnation, reason: reason))
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

    /// Why a worker that says to be ready cannot take part, or nil.
    private func defect(of ready: Ready, steps: UInt64) -> String? {
        if ready.datasetDigest != configuration.datasetDigest {
            return "The job's data set has digest \(configuration.datasetDigest), the worker's \(ready.datasetDigest); "
                + "point it to the same shards."
        }
        if ready.networkDigest != configuration.networkDigest {
            return "The job's network has digest \(configuration.networkDigest), the worker built "
                + "\(ready.networkDigest); install the same program on both."
        }
        if ready.completedSteps != steps {
            return "The run stands at step \(steps), the worker at \(ready.completedSteps)."
        }
        return nil
    }

    /// Starts the run: the expected workers are ready.
    mutating func begin() {
        let digests = members.compactMap { member in member.stateDigest.map { (member.number, $0) } }
        if let sentence = disagreement(digests, about: .state("at step \(progress.completedSteps)")) {
            // Nothing has gone wrong in a run yet: the machines differ, and would again.
            end(.diverged, sentence)
            return
        }
        // They are of whole states; those that come later are of parts.
        for position in members.indices { members[position].stateDigest = nil }
        announceMembers(beginning: progress.completedSteps)
        let threads = members.reduce(0) { $0 + Int($1.hello.threads) }
        log(
            .notice,
            "started at step \(progress.completedSteps) of \(configuration.schedule.totalSteps) with "
                + "\(members.count) workers, \(threads) threads"
        )
        proceed()
    }

    // MARK: Digests

    /// What digests are compared of.
    enum Compared: CustomStringConvertible {
        /// Weights, buffers and optimizer state: `at step 3`, `before step 3`.
        case state(String)
        case sums(step: UInt64)

        var description: String {
            switch self {
            case .state(let moment): "the state \(moment)"
            case .sums(let step): "the sums of step \(step)"
            }
        }
    }

    /// Whether members disagree: the ones that differ from the majority are put out and the rest goes on; where there
    /// is no majority the run ends, since nobody can say who is right.
    mutating func disagree(_ digests: [(WorkerNumber, Digest)], about what: Compared) -> Bool {
        guard let sentence = disagreement(digests, about: what) else { return false }
        if case .state = what { discardDivergedCheckpoint() }
        let wrong = minority(digests)
        if wrong.isEmpty {
            end(.diverged, sentence)
        } else {
            log(.error, sentence)
            expel(
                members.filter { wrong.contains($0.number) }.map { member in
                    fault(
                        of: member,
                        .violation("\(what) differs from that of the majority. Check this machine's memory.")
                    )
                }
            )
        }
        return true
    }

    /// Those whose digest is not the one that more than half have; empty where none has a majority.
    func minority(_ digests: [(WorkerNumber, Digest)]) -> [WorkerNumber] {
        let counts = Dictionary(grouping: digests, by: \.1).mapValues(\.count)
        guard let majority = counts.first(where: { 2 * $0.value > digests.count }) else { return [] }
        return digests.filter { $0.1 != majority.key }.map(\.0)
    }

    /// A sentence that names the workers whose digest is not that of the majority, or nil where all agree.
    func disagreement(_ digests: [(WorkerNumber, Digest)], about what: Compared) -> String? {
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
        // One pass over the members, whose numbers are distinct: thousands may be named at once.
        let wanted = Set(workers)
        var hosts: [WorkerNumber: String] = [:]
        for position in members.indices where wanted.contains(members[position].number) {
            hosts[members[position].number] = members[position].hello.hostName
        }
        return workers.map { number in
            let host = hosts[number] ?? "unknown"
            return "worker \(number) on host \(host)"
        }.joined(separator: " and ")
    }
}
