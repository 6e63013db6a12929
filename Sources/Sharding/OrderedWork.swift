private import Foundation

/// Numbered pieces of work on threads of their own, with the results taken in order.
enum OrderedWork {
    /// Does the pieces 0 ..< `count` on `jobs` threads and hands their results to `consume` in order.
    ///
    /// Each thread makes one worker and keeps it. At most `window` pieces are begun and not yet consumed, so that
    /// results do not pile up. `consume` runs on the calling thread. The first error, of a piece or of `consume`, ends
    /// the work and is thrown once all threads have ended.
    static func run<Worker, Output: Sendable>(
        count: Int,
        jobs: Int,
        window: Int,
        makeWorker: @escaping @Sendable () -> Worker,
        work: @escaping @Sendable (Worker, Int) throws -> Output,
        consume: (Int, Output) throws -> Void
    ) throws {
        guard count > 0 else { return }
        let state = State<Output>(count: count, window: max(window, jobs))
        for _ in 0..<min(jobs, count) {
            state.threadBegins()
            let thread = Thread {
                let worker = makeWorker()
                while let index = state.next() {
                    do {
                        state.finish(index, try work(worker, index))
                    } catch {
                        state.fail(error)
                    }
                }
                withExtendedLifetime(worker) {}
                state.threadEnds()
            }
            thread.stackSize = 4 << 20
            thread.start()
        }
        do {
            while let (index, output) = try state.take() { try consume(index, output) }
        } catch {
            state.fail(error)
        }
        try state.join()
    }
}

/// What the threads share. Every access to its variables is under `condition`, so threads may share it unchecked.
private final class State<Output: Sendable>: @unchecked Sendable {
    private let condition = NSCondition()
    private let count: Int
    private let window: Int
    private var begun = 0
    private var taken = 0
    private var results: [Int: Output] = [:]
    private var failure: (any Error)?
    private var threads = 0

    init(count: Int, window: Int) {
        self.count = count
        self.window = window
    }

    func threadBegins() {
        condition.withLock { threads += 1 }
    }

    func threadEnds() {
        condition.withLock {
            threads -= 1
            condition.broadcast()
        }
    }

    /// The next piece to do, or nothing where all are begun or the work has failed.
    func next() -> Int? {
        condition.withLock {
            while failure == nil && begun < count && begun >= taken + window { condition.wait() }
            guard failure == nil && begun < count else { return nil }
            begun += 1
            return begun - 1
        }
    }

    func finish(_ index: Int, _ output: Output) {
        condition.withLock {
            results[index] = output
            if index == taken { condition.broadcast() }
        }
    }

    func fail(_ error: any Error) {
        condition.withLock {
            if failure == nil { failure = error }
            condition.broadcast()
        }
    }

    /// The next result in order, or nothing after the last.
    func take() throws -> (Int, Output)? {
        try condition.withLock {
            while true {
                if let failure { throw failure }
                if taken == count { return nil }
                if let output = results.removeValue(forKey: taken) {
                    taken += 1
                    condition.broadcast()
                    return (taken - 1, output)
                }
                condition.wait()
            }
        }
    }

    func join() throws {
        try condition.withLock {
            while threads > 0 { condition.wait() }
            if let failure { throw failure }
        }
    }
}
