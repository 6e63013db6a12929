import Platform
import Synchronization

/// Compute threads with an engine each, for work on many images.
///
/// `submit` and `wait` are for one thread; the first error of a piece of work ends the rest and is thrown by them.
package final class InferencePool: Sendable {
    package let model: InferenceModel
    private let pool: ComputePool
    private let engines: [InferenceEngine]
    private let limit: Int
    private let state = Mutex(State())
    private let condition = ThreadCondition()

    private struct State {
        var running = 0
        var failure: (any Error)?
    }

    package init(_ model: InferenceModel, threads: Int) throws {
        self.model = model
        // Enough in flight that no thread waits, and few enough that images do not pile up in memory.
        limit = 2 * threads + 2
        engines = try (0..<threads).map { _ in try InferenceEngine(model) }
        pool = try ComputePool(threads: threads)
    }

    /// Queues a piece of work; waits while too many are queued.
    package func submit(_ work: @escaping @Sendable (InferenceEngine) throws -> Void) throws {
        while true {
            let seen = condition.ticket
            let isTaken = try state.withLock { state in
                if let failure = state.failure { throw failure }
                guard state.running < limit else { return false }
                state.running += 1
                return true
            }
            if isTaken { break }
            condition.wait(since: seen)
        }
        pool.submit { [self] thread in
            do {
                if state.withLock({ $0.failure == nil }) { try work(engines[thread]) }
            } catch {
                state.withLock { if $0.failure == nil { $0.failure = error } }
            }
            state.withLock { $0.running -= 1 }
            condition.signal()
        }
    }

    /// Waits until all work is done.
    package func wait() throws {
        while true {
            let seen = condition.ticket
            let isDone = state.withLock { $0.running == 0 }
            if isDone { break }
            condition.wait(since: seen)
        }
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    /// Ends the threads; to be called once, after the last use.
    package func close() { pool.close() }

    /// The results of `work` for 0 ..< `count`, in order; `progress` hears of each on the calling thread.
    package func map<Output: Sendable>(
        _ count: Int,
        progress: (Int) -> Void = { _ in },
        _ work: @escaping @Sendable (Int, InferenceEngine) throws -> Output
    ) throws -> [Output] {
        let table = ResultTable<Output>()
        for index in 0..<count {
            progress(index)
            try submit { engine in
                let output = try work(index, engine)
                table.results.withLock { $0[index] = output }
            }
        }
        try wait()
        progress(count)
        let found = table.results.withLock { $0 }
        return (0..<count).compactMap { found[$0] }
    }
}

/// Results of the compute threads, by their numbers.
private final class ResultTable<Value: Sendable>: Sendable {
    let results = Mutex<[Int: Value]>([:])
}
