import CSystem
import Reduction
import Synchronization

/// What passes between a worker's other threads and its communication thread.
final class Mailbox: @unchecked Sendable {
    // `wakeWord` is only used through atomics and futex calls; the rest stands behind locks.

    enum Command {
        case begin(Round)
        case release(step: UInt64)
        case deadline(step: UInt64, generation: UInt32, at: ContinuousClock.Instant, after: Duration)
        case close
    }

    private struct State {
        var commands: [Command] = []
        /// The plan that was begun last.
        var plan: (step: UInt64, generation: UInt32)?
        var outcome: Result<ReducedSums, AllreduceError>?
        var isClosed = false
    }

    private let state = Mutex(State())
    private let peers = Mutex<[Peer]>([])
    private let doorbell: Doorbell
    /// Changes with every outcome; those who wait sleep on it.
    private let wakeWord: UnsafeMutablePointer<UInt32>

    init(_ doorbell: Doorbell) {
        self.doorbell = doorbell
        wakeWord = .allocate(capacity: 1)
        wakeWord.initialize(to: 0)
    }

    deinit { wakeWord.deallocate() }

    // MARK: Any thread

    func begin(_ round: Round) {
        peers.withLock { $0 = round.peers.compactMap { $0 }.filter { $0.doorbell >= 0 } }
        state.withLock { state in
            state.plan = (round.plan.step, round.plan.generation)
            state.outcome = nil
            state.commands.append(.begin(round))
        }
        wakeWaiters()
        doorbell.ring()
    }

    func post(_ command: Command) {
        state.withLock { state in
            if case .close = command { state.isClosed = true }
            state.commands.append(command)
        }
        if case .close = command { wakeWaiters() }
        doorbell.ring()
    }

    /// Wakes the own communication thread and those of the peers that read this worker's memory.
    func ringAll() {
        ringPeers()
        doorbell.ring()
    }

    func ringPeers() {
        peers.withLock { peers in
            for peer in peers { Doorbell.ring(peer.doorbell) }
        }
    }

    func wait(for plan: ReductionPlan, within limit: Duration) throws(AllreduceError) -> ReducedSums {
        let start = ContinuousClock.now
        state.withLock { state in
            // One who waits again after a deadline has a new one.
            if case .failure(.timedOut) = state.outcome { state.outcome = nil }
        }
        post(.deadline(step: plan.step, generation: plan.generation, at: start + limit, after: limit))
        while true {
            let seen = system_load_acquire_32(wakeWord)
            let (outcome, isClosed) = state.withLock { state -> (Result<ReducedSums, AllreduceError>?, Bool) in
                guard let current = state.plan, current == (plan.step, plan.generation) else {
                    return (.failure(.superseded(step: plan.step, generation: plan.generation)), state.isClosed)
                }
                return (state.outcome, state.isClosed)
            }
            if let outcome {
                var sums = try outcome.get()
                sums.timings.waited = ContinuousClock.now - start
                return sums
            }
            if isClosed { throw .closed }
            // The communication thread keeps the deadline; this is for the case that it is stuck itself.
            let left = start + limit + .seconds(5) - .now
            if left <= .zero {
                throw .timedOut(
                    missing: ["this worker's own communication thread does not answer"],
                    behind: [],
                    step: plan.step,
                    generation: plan.generation,
                    after: limit
                )
            }
            _ = system_futex_wait(wakeWord, seen, Int64(min(left.inSeconds, 60) * 1e9), false)
        }
    }

    // MARK: Communication thread

    func take() -> [Command] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Gives the outcome to those who wait for the plan; too late where another was begun meanwhile.
    func settle(_ plan: ReductionPlan, _ outcome: Result<ReducedSums, AllreduceError>) {
        state.withLock { state in
            if let current = state.plan, current == (plan.step, plan.generation) { state.outcome = outcome }
        }
        wakeWaiters()
    }

    private func wakeWaiters() {
        _ = system_add_32(wakeWord, 1)
        _ = system_futex_wake(wakeWord, false)
    }
}
