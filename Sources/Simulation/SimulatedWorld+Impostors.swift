import Coordination
import Reduction

/// Who speaks in takeovers and has no right to, or does not tell the truth.
struct Impostors: Sendable {
    /// A member that lies.
    var liar: (worker: Int, lie: SimulatedFault.Lie)?
    var replays = false
    var foreignJob = false
    /// What workers said of themselves last, with the peer that each spoke as.
    var heard: [(worker: Int, peer: PeerID, message: WorkerMessage)] = []

    /// Beyond all peers of workers.
    private static let firstStranger: UInt64 = 60_000
    /// A process with a key of its own, or of another job.
    static let stranger = PeerID(firstStranger)
    static func foreigner(_ number: Int) -> PeerID { PeerID(firstStranger + 1 + UInt64(number)) }
    static func isStranger(_ peer: PeerID) -> Bool { SimulatedWorker.index(of: peer) >= Int(firstStranger) }

    mutating func note(_ message: WorkerMessage, by worker: Int, as peer: PeerID) {
        heard.append((worker, peer, message))
        if heard.count > 12 { heard.removeFirst() }
    }
}

extension SimulatedWorld {
    func injectImpostor(_ fault: SimulatedFault) {
        switch fault {
        case .liar(let index, let lie):
            // Two that lie alike could outvote those who do not: no protocol tells them apart.
            guard impostors.liar == nil, workers[index].isAlive else { return }
            impostors.liar = (index, lie)
            expect(lie == .otherSeat ? .forgedSeat : .lie, index)
        case .replays:
            impostors.replays = true
            expect(.replayedSeat)
        case .foreignJob:
            impostors.foreignJob = true
            expect(.foreignSeat)
        default: break
        }
    }

    /// What worker `index` says in the place of `message`.
    func toldToSuccessor(_ message: WorkerMessage, by index: Int) -> WorkerMessage {
        guard case .hello(var hello) = message.body else { return message }
        impostors.note(message, by: index, as: workers[index].peer)
        guard let (liar, lie) = impostors.liar, liar == index, var seat = hello.seat,
            coordinator.reattachesUntil != nil,
            seat.fencing == succession.fencing
        else { return message }
        culprits.insert(index)
        switch lie {
        case .ahead: seat.completedSteps = seat.committedSteps + 1
        case .farAhead: seat.completedSteps = seat.committedSteps + 1000
        case .behind:
            seat.completedSteps = seat.committedSteps >= 2 ? seat.committedSteps - 2 : 0
            seat.reports = []
        case .withoutSums: seat.reports = []
        case .wrongSums: for place in seat.reports.indices { seat.reports[place].sumsDigest.low ^= 1 }
        case .manyAttempts: seat.generation = (1 << 30) - 1
        case .laterCoordinator: seat.fencing += 1000
        case .joiner:
            seat.isMember = false
            seat.worker = .max
        case .otherSeat:
            claimSeats(with: hello, seat, by: index)
            return message
        }
        if lie == .ahead || lie == .farAhead || lie == .behind { seat.isApplying = false }
        tookEffect(.lie, index)
        hello.seat = seat
        return WorkerMessage(incarnation: message.incarnation, body: .hello(hello))
    }

    /// Speaks as every other member over the liar's own connection, and asks to leave as each.
    private func claimSeats(with hello: Hello, _ seat: Seat, by index: Int) {
        for other in workers.indices where other != index && workers[other].machine.number != nil {
            var forged = hello
            forged.seat = seat
            forged.seat?.worker = workers[other].machine.number ?? 0
            forged.seat?.completedSteps += 1
            let incarnation = workers[other].machine.configuration.incarnation
            for body in [.hello(forged), .leaving(reason: "says another")] as [WorkerMessage.Body] {
                let message = WorkerMessage(incarnation: incarnation, body: body)
                queue.add(
                    .coordinator(
                        .message(from: workers[index].peer, key: SimulatedWorker.key(of: index), message)
                    ),
                    at: now + random.duration(.zero ... .milliseconds(30))
                )
            }
            tookEffect(.forgedSeat, index)
        }
    }

    /// A coordinator has taken over: those who were waiting for one speak.
    func sendImpostors() {
        if impostors.foreignJob {
            for number in 0..<random.integer(in: 1...3) {
                let hello = foreignHello(number)
                let incarnation = UInt64.max - UInt64(number)
                for body in [.hello(hello), .leaving(reason: "SIGTERM")] as [WorkerMessage.Body] {
                    let message = WorkerMessage(incarnation: incarnation, body: body)
                    queue.add(
                        .coordinator(.message(from: Impostors.foreigner(number), key: "foreigner-\(number)", message)),
                        at: now + random.duration(.zero ... .milliseconds(600))
                    )
                }
            }
            tookEffect(.foreignSeat)
        }
        guard impostors.replays else { return }
        for (worker, peer, message) in impostors.heard {
            for (peer, key) in [(peer, SimulatedWorker.key(of: worker)), (Impostors.stranger, "stranger")] {
                queue.add(
                    .coordinator(.message(from: peer, key: key, message)),
                    at: now + random.duration(.zero ... .milliseconds(800))
                )
            }
            if case .hello(let hello) = message.body, hello.seat != nil { tookEffect(.replayedSeat) }
        }
    }

    /// A worker of a job whose coordinators count higher, which holds a state like this run's.
    private func foreignHello(_ number: Int) -> Hello {
        Hello(
            protocolVersion: 1,
            programVersion: "1",
            hostName: "elsewhere",
            hostIdentity: "elsewhere",
            processID: 1,
            threads: 1,
            numericsProfiles: ["fp32"],
            job: "another",
            endpoints: [],
            datasetDigest: nil,
            seat: Seat(
                worker: WorkerNumber(number),
                fencing: 1 << 40,
                completedSteps: UInt64(committed.count) + 1,
                isMember: true,
                isApplying: false,
                generation: 0,
                reports: []
            )
        )
    }

    /// Who comes from another job is told so and nothing else.
    func checkAnswer(_ message: CoordinatorMessage, to peer: PeerID) throws(SimulationFailure) {
        if peer == Impostors.stranger { return }
        guard case .refuse(let reason) = message.body else {
            try require(false, "a worker of another job is told \(message)")
            return
        }
        try require(
            reason.contains("serves job another") || reason.contains("no part of this run"),
            "a worker of another job is refused because: \(reason)"
        )
    }
}
