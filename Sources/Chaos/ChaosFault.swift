import Numerics

/// What `pleura chaos` does to a run.
package enum ChaosFault: String, CaseIterable, Sendable, Codable {
    case kill
    case killSeveral = "kill-several"
    case killAllButOne = "kill-all-but-one"
    case killAll = "kill-all"
    case pause
    case stop
    case join
    case leave
    case fullDisk = "full-disk"
    case killLaunch = "kill-launch"
    case killCoordinator = "kill-coordinator"
    case pauseCoordinator = "pause-coordinator"
    case stopCoordinator = "stop-coordinator"
    case killCoordinatorAndWorker = "kill-coordinator-and-worker"

    /// The fault in words, for tables.
    package var words: String {
        switch self {
        case .kill: "kill -9 of a worker"
        case .killSeveral: "kill -9 of several workers at once"
        case .killAllButOne: "kill -9 of all workers but one"
        case .killAll: "kill -9 of all workers"
        case .pause: "SIGSTOP of a worker for seconds"
        case .stop: "SIGSTOP of a worker for ever"
        case .join: "a worker joins"
        case .leave: "a worker leaves (SIGTERM)"
        case .fullDisk: "full disk for seconds"
        case .killLaunch: "kill -9 of launch, resumed by hand"
        case .killCoordinator: "kill -9 of the coordinator"
        case .pauseCoordinator: "SIGSTOP of the coordinator for seconds"
        case .stopCoordinator: "SIGSTOP of the coordinator for ever"
        case .killCoordinatorAndWorker: "kill -9 of the coordinator and a worker"
        }
    }
}

/// One fault as it was drawn, before anybody knows whom it hits.
package struct ChaosDraw: Sendable, Equatable {
    package var fault: ChaosFault
    /// Chooses among the workers that are there.
    package var choice: UInt64
    /// How long a pause or a full disk lasts.
    package var seconds: Double
    /// When the fault comes, as a share from 0 to 1 of the longest gap.
    package var gap: Double
    /// Whether it comes without waiting until the run has recovered from the one before.
    package var isHasty: Bool
}

/// The faults of one run, drawn from its seed alone: equal seeds and kinds give equal draws.
///
/// Every kind comes once before any comes again.
package struct ChaosDraws: Sendable {
    private let faults: [ChaosFault]
    private var random: FuzzRandom
    private var bag: [ChaosFault] = []

    /// `faults` is not empty.
    package init(_ faults: [ChaosFault], seed: UInt64) {
        self.faults = faults
        random = FuzzRandom(seed: seed)
    }

    package mutating func next() -> ChaosDraw {
        if bag.isEmpty {
            bag = faults
            for last in stride(from: bag.count - 1, to: 0, by: -1) { bag.swapAt(last, random.below(last + 1)) }
        }
        let fault = bag.removeLast()
        return ChaosDraw(
            fault: fault,
            choice: random.next(),
            // Shorter and longer than the silence after which a worker is put out, where that is the default of 10 s.
            seconds: 0.5 + 11.5 * share() * share(),
            gap: share(),
            isHasty: random.onceIn(5)
        )
    }

    /// From 0 to below 1.
    private mutating func share() -> Double { Double(random.next() >> 11) * 0x1p-53 }
}
