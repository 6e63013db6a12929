import CSystem
import Diagnostics
import Foundation
import Glibc
import Platform
import Synchronization

/// The process between a launcher on another host and a worker here: the worker lives only as long as the launcher is heard.
///
/// Whatever ends the launcher or the connection closes the guard's standard input; what silences both, such as a cut
/// cable, lets the launcher's beats stay away. In both cases the guard kills the worker, which may be stopped or stuck. A guard that is
/// killed takes its worker with it (`worker --parent`).
package enum WorkerGuard {
    /// The line by which a launcher knows that the host was reached and the guard is there.
    static let greeting = "pleura-guard"

    /// Reads an order, runs its worker, and returns the status to exit with: the worker's, or 128 and the signal that
    /// ended it.
    package static func run() throws -> Int32 {
        let order = try GuardOrder(line: readLine(within: .seconds(60)))
        let environment = ProcessInfo.processInfo.environment
        let folder = order.expandedFolder(home: environment["HOME"] ?? "/tmp")
        try FileSystem.createDirectory(folder)
        guard chdir(folder) == 0 else { throw FileError("change to", path: folder, code: errno) }
        let coordinator = order.reachableCoordinator(connection: environment["SSH_CONNECTION"])
        var arguments = ["worker", "--coordinator", coordinator, "--parent", "\(getpid())"] + order.arguments
        if order.keys != nil { arguments += ["--keys", "-"] }
        let child = try spawn(arguments, input: order.keys.map { Array($0.utf8) } ?? [])
        StandardStream.output.say(greeting + "\n")
        // Asked to end, by an administrator for one: the worker leaves the run as it would without a guard.
        let signals = try SignalWatch([SIGTERM, SIGINT, SIGUSR1, SIGUSR2]) { _ in kill(child, SIGTERM) }
        defer { signals.cancel() }
        watch(child, silence: .milliseconds(Int(order.silenceSeconds * 1000)))
        switch ChildProcess.wait(for: child) {
        case .exited(let status): return status
        case .signal(let number): return 128 + number
        case .unknown: return ExitStatus.internal.rawValue
        }
    }

    /// Returns when the child has ended, by itself or by SIGKILL because the launcher is gone.
    private static func watch(_ child: pid_t, silence: Duration) {
        let ended = system_process_descriptor(child)
        defer { if ended >= 0 { close(ended) } }
        var bytes = [UInt8](repeating: 0, count: 256)
        var last = ContinuousClock.now
        while true {
            var descriptors = [
                pollfd(fd: 0, events: Int16(POLLIN), revents: 0), pollfd(fd: ended, events: Int16(POLLIN), revents: 0),
            ]
            let left = silence - (ContinuousClock.now - last)
            _ = poll(&descriptors, 2, Int32(clamping: Int(max(0, left.seconds) * 1000) + 1))
            if descriptors[1].revents != 0 { return }
            if descriptors[0].revents != 0 {
                let count = read(0, &bytes, bytes.count)
                if count > 0 {
                    last = .now
                    continue
                }
                if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
                break
            }
            if ContinuousClock.now - last >= silence { break }
        }
        kill(child, SIGKILL)
    }

    /// Starts this program anew with `input` on its standard input, from the calling thread: the child ends with it.
    private static func spawn(_ arguments: [String], input: [UInt8]) throws -> pid_t {
        var ends: [Int32] = [-1, -1]
        guard system_pipe(&ends, true) == 0 else { throw FileError("make a pipe", path: "a worker", code: errno) }
        defer { close(ends[1]) }
        defer { close(ends[0]) }
        let process = try ChildProcess.spawn(.own, arguments) { actions in
            posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        }
        var done = 0
        while done < input.count {
            let count = input.withUnsafeBytes { buffer in
                buffer.baseAddress.map { write(ends[1], $0 + done, buffer.count - done) } ?? -1
            }
            if count < 0 && errno == EINTR { continue }
            // A worker that ends before it has read says why itself.
            guard count > 0 else { break }
            done += count
        }
        return process
    }

    /// The first line of standard input, without its end.
    private static func readLine(within limit: Duration) throws -> [UInt8] {
        var line: [UInt8] = []
        let deadline = ContinuousClock.now + limit
        while line.count <= GuardOrder.limit {
            let left = deadline - .now
            var descriptor = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            guard left > .zero, poll(&descriptor, 1, Int32(left.seconds * 1000) + 1) > 0 else { break }
            // One byte at a time: what follows the line is for others to read.
            var byte: UInt8 = 0
            let count = read(0, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            guard count == 1 else { break }
            if byte == UInt8(ascii: "\n") { return line }
            line.append(byte)
        }
        throw LaunchError.noOrder
    }
}
