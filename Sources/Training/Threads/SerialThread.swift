package import Messaging
import Synchronization

/// A thread that runs closures one after the other: for work that blocks, off Swift's cooperative pool.
package final class SerialThread: Sendable {
    private struct State: Sendable {
        var queue: [@Sendable () -> Void] = []
        var isClosed = false
        var thread: OwnedThread?
    }

    private let state = Mutex(State())
    private let condition = ThreadCondition()

    package init(name: String) throws(MessagingError) {
        let thread = try OwnedThread(name: name) { [unowned self] in run() }
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

    private func run() {
        while true {
            let seen = condition.ticket
            let (work, isClosed) = state.withLock { state -> ((@Sendable () -> Void)?, Bool) in
                if state.queue.isEmpty { return (nil, state.isClosed) }
                return (state.queue.removeFirst(), false)
            }
            if let work {
                work()
            } else if isClosed {
                return
            } else {
                condition.wait(since: seen)
            }
        }
    }
}
