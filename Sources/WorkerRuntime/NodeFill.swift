import Reduction
import Synchronization

/// A node that this worker computes, over all attempts at its step: what has begun goes on, whatever happens to others.
///
/// A node's memory may be given to another node only when no microbatch writes to it any more: `cancel` says when.
final class NodeFill: Sendable {
    private struct State: Sendable {
        var running = 0
        var isCancelled = false
        var whenIdle: (@Sendable () -> Void)?
    }

    let fold: NodeFold
    let step: UInt64
    private let state = Mutex(State())

    init(_ fold: NodeFold, step: UInt64) {
        self.fold = fold
        self.step = step
    }

    /// Whether a microbatch may begin; each that does says `leave` at its end.
    func enter() -> Bool {
        state.withLock { state in
            if state.isCancelled { return false }
            state.running += 1
            return true
        }
    }

    func leave() {
        let idle = state.withLock { state -> (@Sendable () -> Void)? in
            state.running -= 1
            guard state.running == 0 else { return nil }
            defer { state.whenIdle = nil }
            return state.whenIdle
        }
        idle?()
    }

    /// Lets no further microbatch begin; calls `whenIdle` once none is running, at once where none is.
    func cancel(whenIdle: @escaping @Sendable () -> Void) {
        let isIdle = state.withLock { state in
            state.isCancelled = true
            if state.running > 0 { state.whenIdle = whenIdle }
            return state.running == 0
        }
        if isIdle { whenIdle() }
    }
}
