import Glibc
import Synchronization

/// The compute threads of a worker: each runs one job at a time, alone, on memory of its own.
package final class ComputePool: Sendable {
    /// A piece of work; it is told the thread's number.
    package typealias Job = @Sendable (_ thread: Int) -> Void

    private struct State {
        var jobs: [Job] = []
        var next = 0
        var isClosed = false
        var threads: [OwnedThread] = []
    }

    package let threadCount: Int
    private let state = Mutex(State())
    private let condition = ThreadCondition()
    /// Pieces of work done since the start: the worker's sign that it gets on.
    private let done = Atomic<UInt64>(0)

    package init(threads: Int) throws(SystemError) {
        threadCount = threads
        do {
            for index in 0..<threads {
                // A thread owns the pool until it is closed: one that is given up half made must not go from under it.
                let thread = try OwnedThread(name: "pleura-comp-\(index)") { [self] in work(index) }
                state.withLock { $0.threads.append(thread) }
            }
        } catch {
            close()
            throw error
        }
    }

    package var progress: UInt64 { done.load(ordering: .relaxed) }

    /// Counts a piece of work that a job has finished within itself.
    package func notePiece() { done.add(1, ordering: .relaxed) }

    /// Queues a job; jobs start in the order in which they were queued.
    package func submit(_ job: @escaping Job) {
        state.withLock { $0.jobs.append(job) }
        condition.signal()
    }

    /// Runs `body` on every thread at once and waits until all have returned; not from a pool thread.
    package func runOnAll(_ body: @escaping @Sendable (_ thread: Int, _ share: Int, _ shares: Int) -> Void) {
        let group = CountDown(threadCount)
        for share in 0..<threadCount {
            submit { thread in
                body(thread, share, self.threadCount)
                group.signal()
            }
        }
        group.wait()
    }

    /// Ends the threads once their running jobs are done; queued jobs are dropped, so nobody may be waiting for one.
    package func close() {
        let threads = state.withLock { state in
            state.isClosed = true
            state.jobs = []
            state.next = 0
            defer { state.threads = [] }
            return state.threads
        }
        condition.broadcast()
        for thread in threads { thread.join() }
    }

    private func work(_ thread: Int) {
        while true {
            let seen = condition.ticket
            let (job, isClosed) = state.withLock { state -> (Job?, Bool) in
                if state.next < state.jobs.count {
                    let job = state.jobs[state.next]
                    state.next += 1
                    if state.next == state.jobs.count {
                        state.jobs.removeAll(keepingCapacity: true)
                        state.next = 0
                    }
                    return (job, false)
                }
                return (nil, state.isClosed)
            }
            if let job {
                // What a job before has called may have changed it.
                Arithmetic.restore()
                job(thread)
                done.add(1, ordering: .relaxed)
            } else if isClosed {
                return
            } else {
                condition.wait(since: seen)
            }
        }
    }
}

/// Waits for a number of signals.
package final class CountDown: Sendable {
    private let left: Atomic<Int>
    private let condition = ThreadCondition()

    package init(_ count: Int) { left = Atomic(count) }

    /// One signal; the last one wakes who waits, and returns true.
    @discardableResult
    package func signal() -> Bool {
        let isLast = left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0
        if isLast { condition.broadcast() }
        return isLast
    }

    /// Ends the wait, whatever is missing.
    package func open() {
        left.store(0, ordering: .releasing)
        condition.broadcast()
    }

    package func wait() {
        while true {
            let seen = condition.ticket
            if left.load(ordering: .acquiring) <= 0 { return }
            condition.wait(since: seen)
        }
    }
}
