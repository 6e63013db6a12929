import Coordination

/// What is drawn from a seed: the run, then its sessions one after the other, whatever comes of them.
struct SimulatedDraws: Sendable {
    let seed: UInt64
    /// The range that each session's number of workers is drawn from.
    let workers: ClosedRange<Int>
    /// Sessions that were drawn.
    private(set) var sessions = 0
    private var random: SimulatedRandom

    init(seed: UInt64, workers: ClosedRange<Int>) {
        self.seed = seed
        self.workers = workers
        random = SimulatedRandom(seed: seed, stream: 0)
    }

    /// The run, over at most `steps` steps; nil leaves it as it is drawn. To be called once, before any session.
    mutating func run(steps: UInt64?) throws -> SimulatedRun {
        let microbatches = random.integer(in: 1...9)
        let microbatchSize = random.integer(in: 1...3)
        let epochs = random.integer(in: 1...4)
        // 30 steps or a few more, the last batch of an epoch often being short.
        let samples = max(6, (30 + epochs) * microbatches * microbatchSize / epochs + random.integer(in: 0...20))
        let intervals: [ValidationSchedule.Interval] = [
            .never, .epochs(1), .epochs(2), .steps(UInt64(random.integer(in: 1...7))),
        ]
        return try SimulatedRun(
            seed: seed,
            samples: samples,
            epochs: epochs,
            microbatches: microbatches,
            microbatchSize: microbatchSize,
            validation: ValidationSchedule(
                interval: intervals[random.integer(below: intervals.count)],
                sampleCount: UInt32(random.integer(in: 1...30)),
                samplesPerRequest: UInt32(random.integer(in: 1...6))
            ),
            patience: nil,
            maximumSteps: min(60, steps ?? 60)
        )
    }

    /// The next session.
    mutating func session() -> SimulatedWorld.Session {
        sessions += 1
        let count = random.integer(in: workers)
        let threads = (0..<count).map { _ in UInt32(random.integer(in: 1...4)) }
        let checkpoints = CheckpointPolicy(
            everySteps: random.oneIn(2) ? UInt64(random.integer(in: 1...10)) : nil,
            every: random.oneIn(3) ? .milliseconds(random.integer(in: 20...300)) : nil,
            best: random.oneIn(2) ? 1 : 0,
            streams: random.integer(in: 1...4)
        )
        let respawns = random.integer(in: 0...8)
        var faults = (0..<random.integer(in: 2...8)).map { _ in
            TimedFault(
                fault(workers: count + respawns),
                at: random.duration(.zero ... .milliseconds(random.oneIn(6) ? 60 : 900))
            )
        }
        // Impostors have something to say when a coordinator takes over.
        for fault in faults where fault.fault.isOfTakeovers {
            let takeover = SimulatedFault.takeover(
                afterActions: random.integer(in: 0...24),
                random.duration(.milliseconds(1) ... .seconds(1)),
                wakes: random.oneIn(6)
            )
            faults.append(TimedFault(takeover, at: fault.at + random.duration(.milliseconds(1) ... .milliseconds(300))))
        }
        // A state that is changed under a worker is found at the next step's digests. A crash before that may leave a
        // checkpoint that nothing has verified, which needs a second witness for each checkpoint: not yet.
        if let corruption = faults.first(where: { if case .corruptState = $0.fault { true } else { false } }) {
            faults = [corruption]
        }
        return SimulatedWorld.Session(
            seed: seed,
            threads: threads,
            checkpoints: checkpoints,
            faults: faults,
            // Coordinators that take over in a session count on from here.
            fencing: UInt64(sessions) << 7,
            minimumWorkers: random.oneIn(3) ? random.integer(in: 1...count) : 1,
            respawns: respawns
        )
    }

    private mutating func fault(workers: Int) -> SimulatedFault {
        let worker = random.integer(below: workers)
        let notices = SimulatedFault.Notice.allCases
        switch random.integer(below: 62) {
        case 52...54:
            let lies = SimulatedFault.Lie.allCases
            // Another's seat is claimed more often than its share: it takes two takeovers to do so.
            return .liar(worker: worker, random.oneIn(5) ? .otherSeat : lies[random.integer(below: lies.count)])
        case 55, 60, 61: return .replays
        case 56: return .foreignJob
        case 57...59: return .brokenStreams(worker: worker, random.duration(.milliseconds(100) ... .seconds(2)))
        case 48...51:
            let length: Duration =
                random.oneIn(12) ? .seconds(30) : random.duration(.milliseconds(1) ... .seconds(3))
            return .takeover(afterActions: random.integer(in: 0...24), length, wakes: random.oneIn(3))
        case 0...13:
            return .crash(
                worker: worker,
                notices[random.integer(below: notices.count)],
                peersNotice: random.oneIn(2)
            )
        case 14: return .freeze(worker: worker, .seconds(20))
        case 15: return .freeze(worker: worker, random.duration(.milliseconds(1) ... .seconds(3)))
        case 16: return .failure(worker: worker)
        case 17: return .corruptState(worker: worker)
        case 18: return .corruptSums(worker: worker)
        case 19: return .leave(worker: worker)
        case 20: return .coordinatorCrash
        case 21: return .drain
        case 22: return .stop
        case 23: return .slowLink(worker: worker, random.duration(.milliseconds(50) ... .seconds(2)))
        case 24...26:
            let links = SimulatedFault.Link.allCases
            let length: Duration =
                random.oneIn(3) ? .seconds(20) : random.duration(.milliseconds(1) ... .seconds(3))
            return .partition(
                worker: worker,
                links[random.integer(below: links.count)],
                length,
                breaks: random.oneIn(2)
            )
        case 27, 28: return .unreachable(worker: worker, other: random.integer(below: workers))
        case 29, 30: return .fullDisk(random.duration(.milliseconds(100) ... .seconds(2)))
        case 31...33: return .duplication(worker: worker, random.duration(.milliseconds(50) ... .seconds(2)))
        case 34, 35: return .reordering(worker: worker, random.duration(.milliseconds(20) ... .milliseconds(500)))
        case 36...38:
            let length: Duration =
                random.oneIn(8) ? .seconds(20) : random.duration(.milliseconds(10) ... .seconds(3))
            return .suspension(process(worker), length, clockStops: random.oneIn(2))
        case 39...41:
            // As far as 5 %; what keeps time by itself is within 0.01 %.
            return .clockDrift(process(worker), ppm: random.integer(in: -50_000...50_000))
        case 42...44:
            let length: Duration =
                random.oneIn(2)
                ? random.duration(.milliseconds(50) ... .seconds(1)) : random.duration(.seconds(1) ... .seconds(100))
            return .clockJump(process(worker), length)
        default:
            let latencies: [Duration] = [
                .milliseconds(100), .milliseconds(300), .seconds(1), .seconds(3), .seconds(15),
                random.oneIn(8) ? .seconds(200) : .milliseconds(30),
            ]
            return .slowDisk(
                random.duration(.milliseconds(100) ... .seconds(3)),
                latency: latencies[random.integer(below: latencies.count)]
            )
        }
    }

    private mutating func process(_ worker: Int) -> SimulatedFault.Process {
        random.oneIn(2) ? .coordinator : .worker(worker)
    }
}
