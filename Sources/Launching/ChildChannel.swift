import CSystem
import Glibc
import Platform
import Synchronization

/// The ends of a child's standard streams in this process: bytes for its input, and lines of its output.
///
/// The child's input stays open as long as this process lives, however it ends: a child that watches its input knows.
package final class ChildChannel: @unchecked Sendable {
    // Descriptors: changed by the thread that starts the child, then by the one that serves the channel.
    private var input: (child: Int32, own: Int32) = (-1, -1)
    private var output: (child: Int32, own: Int32) = (-1, -1)
    private var pending: [UInt8]
    /// What other threads have to say, and the descriptor that tells of it.
    private let more = Mutex<[UInt8]>([])
    private let wakeUp: WakeUp
    private let beat: Duration
    private let onLine: @Sendable (String) -> Void
    /// A longer line is cut: its rest is a line of its own.
    private static let longestLine = 4096

    /// `first` is sent to the child, and then a line feed every `beat`, by which it knows that this process is well.
    ///
    /// `onLine` hears of each line that the child writes to its standard output or error, without its end, on the thread that
    /// serves the channel.
    package init(first: [UInt8], beat: Duration, onLine: @escaping @Sendable (String) -> Void) throws {
        pending = first
        wakeUp = try WakeUp()
        self.beat = beat
        self.onLine = onLine
        var ends: [Int32] = [-1, -1]
        guard system_pipe(&ends, true) == 0 else { throw FileError("make a pipe", path: "a child", code: errno) }
        input = (ends[0], ends[1])
        guard system_pipe(&ends, true) == 0 else { throw FileError("make a pipe", path: "a child", code: errno) }
        output = (ends[1], ends[0])
        for own in [input.own, output.own] {
            // The child's ends block, as programs expect.
            _ = fcntl(own, F_SETFL, fcntl(own, F_GETFL) | O_NONBLOCK)
        }
    }

    deinit {
        for descriptor in [input.child, input.own, output.child, output.own] where descriptor >= 0 {
            close(descriptor)
        }
    }

    /// Sends bytes to the child after those before; from any thread, never blocks.
    package func say(_ bytes: [UInt8]) {
        more.withLock { $0 += bytes }
        wakeUp.signal()
    }

    /// Gives a child that is about to be spawned its ends.
    func attach(_ actions: inout posix_spawn_file_actions_t) {
        posix_spawn_file_actions_adddup2(&actions, input.child, 0)
        posix_spawn_file_actions_adddup2(&actions, output.child, 1)
        posix_spawn_file_actions_adddup2(&actions, output.child, 2)
    }

    /// Serves the channel until the child has ended and its output is read, or a second later: others may hold it open.
    func serve(_ process: pid_t) {
        close(input.child)
        close(output.child)
        input.child = -1
        output.child = -1
        let watched = system_process_descriptor(process)
        defer { if watched >= 0 { close(watched) } }
        var line: [UInt8] = []
        var nextBeat = ContinuousClock.now + beat
        var deadline: ContinuousClock.Instant?
        while true {
            let now = ContinuousClock.now
            if let deadline, now >= deadline { break }
            if now >= nextBeat {
                // A child that does not read is told no more than once.
                if pending.isEmpty { pending = [UInt8(ascii: "\n")] }
                nextBeat = now + beat
            }
            pending += more.withLock { bytes in
                defer { bytes = [] }
                return bytes
            }
            let wait = (deadline ?? nextBeat) - now
            var descriptors = [
                pollfd(fd: output.own, events: Int16(POLLIN), revents: 0),
                pollfd(fd: pending.isEmpty ? -1 : input.own, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: deadline == nil ? watched : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeUp.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            // Rounded up, so that a moment before the time is not spent turning.
            _ = poll(&descriptors, nfds_t(descriptors.count), Int32(max(0, wait.seconds) * 1000) + 1)
            if descriptors[3].revents != 0 { wakeUp.clear() }
            if descriptors[1].revents != 0 { send() }
            if descriptors[0].revents != 0, !receive(&line) { break }
            if descriptors[2].revents != 0 { deadline = .now + .seconds(1) }
        }
        if !line.isEmpty { onLine(String(decoding: line, as: UTF8.self)) }
        close(input.own)
        input.own = -1
    }

    private func send() {
        let count = write(input.own, pending, pending.count)
        if count > 0 {
            pending.removeFirst(count)
        } else if errno != EAGAIN && errno != EINTR {
            // The child has closed its input; its end is told by other means.
            pending = []
        }
    }

    /// Reads what is there; false at the end of the output.
    private func receive(_ line: inout [UInt8]) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = read(output.own, &bytes, bytes.count)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        if count == 0 { return false }
        for byte in bytes.prefix(count) {
            if byte != UInt8(ascii: "\n") { line.append(byte) }
            if byte == UInt8(ascii: "\n") || line.count >= Self.longestLine {
                onLine(String(decoding: line, as: UTF8.self))
                line = []
            }
        }
        return true
    }
}
