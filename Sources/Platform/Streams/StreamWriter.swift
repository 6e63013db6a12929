internal import CSystem
internal import Glibc
internal import Synchronization

/// Writes text that no work may wait for: a thread of its own writes, from a buffer that has an end.
///
/// A terminal may be held by Ctrl-S or a pager, a pipe may be full, a disk slow: whoever says something goes on all the same.
/// What finds no room is dropped and counted, and the count is written once there is room again. The order of what is
/// said stays.
package final class StreamWriter: @unchecked Sendable {
    /// Takes a piece of at most `pieceSize` bytes; may block. False where the stream does not take it.
    package typealias Sink = @Sendable (StandardStream, ArraySlice<UInt8>) -> Bool

    /// The writer of this process's standard streams.
    package static let shared = StreamWriter(sink: StandardStream.put)

    /// The most that waits, in bytes.
    private let capacity: Int
    private let sink: Sink
    /// A pipe takes as much as one without another's words between.
    private static let pieceSize = 4096

    private struct Entry {
        var stream: StandardStream
        var bytes: [UInt8]
        /// The lines that are lost where it cannot be written.
        var lines: Int
    }

    private struct State {
        var queue: [Entry] = []
        /// Entries of the queue's beginning that are written already.
        var first = 0
        var bytes = 0
        /// Lines that were dropped and not told of, by stream.
        var dropped: [StandardStream: Int] = [:]
        /// Streams that take nothing new until half of the buffer is free: else there would be a notice for each line.
        var isFull = false
        /// Streams whose last write failed: they are tried again when something is said.
        var failed: Set<StandardStream> = []
        var hasThread = false
        var isClosed = false
    }

    private let state = Mutex(State())
    // The words are changed and read by atomic operations only, and live as long as the process: a crash may look.
    /// Changes whenever there is more to write.
    private let more: UnsafeMutablePointer<UInt32>
    /// Changes with each piece that is written.
    private let progress: UnsafeMutablePointer<UInt32>
    /// How many entries are not written yet.
    private let unwritten: UnsafeMutablePointer<UInt32>

    /// A writer whose buffer holds `capacity` bytes.
    package init(capacity: Int = 1 << 20, sink: @escaping Sink) {
        self.capacity = capacity
        self.sink = sink
        more = .allocate(capacity: 3)
        more.initialize(repeating: 0, count: 3)
        progress = more + 1
        unwritten = more + 2
    }

    /// Has a crash of the process wait a moment until what was said before it is written.
    package func outlastCrashes() { system_wait_before_crash(unwritten) }

    /// Hands text over; never blocks, and drops it where too much waits already.
    package func say(_ text: String, to stream: StandardStream) {
        if text.isEmpty { return }
        let bytes = Array(text.utf8)
        let lines = bytes.reduce(0) { $0 + ($1 == UInt8(ascii: "\n") ? 1 : 0) }
        let hasThread = state.withLock { state in
            if state.isFull && state.bytes <= capacity / 2 { state.isFull = false }
            // The thread would come too late for what is said before it: it starts with the first word.
            if !state.hasThread { state.hasThread = startThread() }
            if !state.hasThread { return false }
            guard !state.isFull, state.bytes + bytes.count <= capacity || state.bytes == 0 else {
                state.isFull = true
                state.dropped[stream, default: 0] += lines
                return true
            }
            state.failed.remove(stream)
            Self.queueNotice(for: stream, in: &state, unwritten)
            Self.queue(Entry(stream: stream, bytes: bytes, lines: lines), in: &state, unwritten)
            return true
        }
        // Where no thread can be had, nothing leads or trains: what is said is why.
        if hasThread { wake(more) } else { _ = sink(stream, bytes[...]) }
    }

    /// Waits until all is written: for `limit` at most where the streams take something, for `patience` where they take
    /// nothing. False where something is left.
    @discardableResult
    package func flush(atMost limit: Duration = .seconds(2), patience: Duration = .milliseconds(300)) -> Bool {
        let deadline = ContinuousClock.now + limit
        var seen = system_load_acquire_32(progress)
        var lastProgress = ContinuousClock.now
        while system_load_acquire_32(unwritten) != 0 {
            let now = ContinuousClock.now
            let found = system_load_acquire_32(progress)
            if found != seen { (seen, lastProgress) = (found, now) }
            let left = min(deadline - now, lastProgress + patience - now)
            guard left > .zero else { return false }
            let (seconds, attoseconds) = left.components
            _ = system_futex_wait(progress, seen, seconds * 1_000_000_000 + attoseconds / 1_000_000_000, false)
        }
        return true
    }

    /// Writes what waits, and ends the thread; nothing can be said any more.
    package func close() {
        state.withLock { $0.isClosed = true }
        wake(more)
    }

    // MARK: The buffer

    private static func queue(_ entry: Entry, in state: inout State, _ unwritten: UnsafeMutablePointer<UInt32>) {
        state.queue.append(entry)
        state.bytes += entry.bytes.count
        _ = system_add_32(unwritten, 1)
    }

    /// Says how many lines were dropped, where some were.
    private static func queueNotice(
        for stream: StandardStream,
        in state: inout State,
        _ unwritten: UnsafeMutablePointer<UInt32>
    ) {
        guard let count = state.dropped.removeValue(forKey: stream), count > 0 else { return }
        let text = "\(count) line\(count == 1 ? " was" : "s were") dropped: they could not be written in time\n"
        queue(Entry(stream: stream, bytes: Array(text.utf8), lines: count), in: &state, unwritten)
    }

    /// The next entry; nil where there is none, and whether the thread is to end.
    private func next() -> (entry: Entry?, isClosed: Bool) {
        state.withLock { state in
            if state.first == state.queue.count {
                state.queue.removeAll(keepingCapacity: state.queue.count < 1000)
                state.first = 0
                for stream in state.dropped.keys where !state.failed.contains(stream) {
                    Self.queueNotice(for: stream, in: &state, unwritten)
                }
            }
            guard state.first < state.queue.count else { return (nil, state.isClosed) }
            state.first += 1
            return (state.queue[state.first - 1], false)
        }
    }

    // MARK: The thread

    private func startThread() -> Bool {
        var thread = pthread_t()
        let start = Unmanaged.passRetained(self)
        let status = system_start_thread(
            &thread,
            { argument in
                guard let argument else { return nil }
                let writer = Unmanaged<StreamWriter>.fromOpaque(argument).takeRetainedValue()
                system_name_thread("pleura-write")
                writer.run()
                return nil
            },
            start.toOpaque()
        )
        guard status == 0 else {
            start.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    private func run() {
        while true {
            let ticket = system_load_acquire_32(more)
            let (entry, isClosed) = next()
            guard let entry else {
                if isClosed { return }
                // A second at most, so that a signal that is missed costs no more.
                _ = system_futex_wait(more, ticket, 1_000_000_000, false)
                continue
            }
            let isWritten = write(entry)
            state.withLock { state in
                state.bytes -= entry.bytes.count
                if !isWritten {
                    state.failed.insert(entry.stream)
                    state.dropped[entry.stream, default: 0] += entry.lines
                }
                _ = system_add_32(unwritten, .max)
            }
            wake(progress)
        }
    }

    private func write(_ entry: Entry) -> Bool {
        var start = 0
        while start < entry.bytes.count {
            let end = min(entry.bytes.count, start + Self.pieceSize)
            guard sink(entry.stream, entry.bytes[start..<end]) else { return false }
            start = end
            wake(progress)
        }
        return true
    }

    private func wake(_ word: UnsafeMutablePointer<UInt32>) {
        _ = system_add_32(word, 1)
        _ = system_futex_wake(word, false)
    }
}
