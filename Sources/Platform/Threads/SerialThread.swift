import Glibc
import Synchronization

/// A thread that runs closures one after the other: for work that blocks, off Swift's cooperative pool.
package final class SerialThread: Sendable {
    private struct State: Sendable {
        var queue: [@Sendable () -> Void] = []
        var isClosed = false
        var hasEnded = false
        var thread: OwnedThread?
    }

    private let state = Mutex(State())
    private let condition = ThreadCondition()
    private let ended = ThreadCondition()

    /// `niceness` above 0 lets other threads go first where they want all cores.
    package init(name: String, niceness: Int32 = 0) throws(SystemError) {
        // The thread owns this object until it is closed: its owner may fail to be made after it.
        let thread = try OwnedThread(name: name) { [self] in
            // On Linux, 0 is the calling thread. Without it the work is done all the same.
            if niceness > 0 { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness) }
            run()
        }
        state.withLock { $0.thread = thread }
    }

    package func submit(_ work: @escaping @Sendable () -> Void) {
        state.withLock { if !$0.isClosed { $0.queue.append(work) } }
        condition.signal()
    }

    /// Runs what is queued, then ends the thread.
    package func close() {
        let thread = state.withLock { state in
            state.isClosed = true
            defer { state.thread = nil }
            return state.thread
        }
        condition.signal()
        thread?.join()
    }

    /// As `close`, but leaves the thread to itself where it is not done in time; false then.
    ///
    /// What is queued behind work that does not end is not done; the thread keeps itself alive.
    @discardableResult
    package func close(within limit: Duration) -> Bool {
        let thread = state.withLock { state in
            state.isClosed = true
            defer { state.thread = nil }
            return state.thread
        }
        guard let thread else { return true }
        condition.signal()
        let deadline = ContinuousClock.now + limit
        while true {
            let seen = ended.ticket
            if state.withLock({ $0.hasEnded }) {
                thread.join()
                return true
            }
            if ContinuousClock.now >= deadline {
                thread.detach()
                return false
            }
            ended.wait(since: seen)
        }
    }

    private func run() {
        defer {
            state.withLock { $0.hasEnded = true }
            ended.signal()
        }
        while true {
            let seen = condition.ticket
            let (work, isClosed) = state.withLock { state -> ((@Sendable () -> Void)?, Bool) in
                if state.queue.isEmpty { return (nil, state.isClosed) }
                return (state.queue.removeFirst(), false)
            }
            if let work {
                Arithmetic.restore()
                work()
            } else if isClosed {
                return
            } else {
                condition.wait(since: seen)
            }
        }
    }
}
