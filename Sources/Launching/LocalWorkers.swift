package import Coordination
import Diagnostics
import Foundation
import Glibc
package import Platform
import Synchronization

/// Worker processes on this machine: children of this process, which end with it.
package final class LocalWorkers: Sendable {
    /// One child.
    package struct Child: Sendable {
        package let process: Int32
        package let incarnation: UInt64
    }

    private let running = Mutex<[pid_t: Child]>([:])
    private let ended = ThreadCondition()

    package init() {}

    /// Starts a worker; `onExit` is called from a thread of this object's when it has ended.
    ///
    /// Its output goes to `log`, or, with its input, through `channel` where there is one.
    /// Call from a thread that lives as long as the workers shall: the kernel ends them with it.
    package func start(
        program: ChildProcess.Program,
        arguments: [String],
        log: String,
        incarnation: UInt64,
        channel: ChildChannel? = nil,
        onExit: @escaping @Sendable (Child, ExitCause) -> Void
    ) throws -> Child {
        // Opened here, so that a log that cannot be written is told from a program that cannot be started.
        let output = try OpenFile(log, .append)
        let process = try withExtendedLifetime(output) {
            // A group of its own: Ctrl-C is for the launcher, which drains.
            try ChildProcess.spawn(program, arguments, hasOwnGroup: true) { actions in
                if let channel {
                    channel.attach(&actions)
                } else {
                    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
                    posix_spawn_file_actions_adddup2(&actions, output.descriptor, 1)
                    posix_spawn_file_actions_adddup2(&actions, output.descriptor, 2)
                }
            }
        }
        let child = Child(process: process, incarnation: incarnation)
        running.withLock { $0[process] = child }
        let watcher = try OwnedThread(name: "pleura-watch") { [self] in
            channel?.serve(child.process)
            let cause = ExitCause(ChildProcess.wait(for: child.process))
            running.withLock { $0[child.process] = nil }
            ended.broadcast()
            onExit(child, cause)
        }
        watcher.detach()
        return child
    }

    /// Ends a worker at once, where it still runs.
    package func kill(incarnation: UInt64) {
        for child in running.withLock({ Array($0.values) }) where child.incarnation == incarnation {
            Glibc.kill(child.process, SIGKILL)
        }
    }

    /// Waits for the workers to end by themselves, then ends what is left.
    package func stop(after patience: Duration) {
        let deadline = ContinuousClock.now + patience
        while true {
            let seen = ended.ticket
            let left = running.withLock { Array($0.values) }
            if left.isEmpty { return }
            if ContinuousClock.now >= deadline {
                for child in left { Glibc.kill(child.process, SIGKILL) }
            }
            ended.wait(since: seen)
        }
    }

    /// Where to read about a worker that ended, and the last that it said behind byte `start` of its log.
    package static func note(log: String, from start: Int) -> String {
        let name = "Its log is \(log)"
        guard let file = try? OpenFile(log, .read), let size = try? file.size() else { return name + "." }
        let first = max(start, size - 4096)
        var tail = [UInt8](repeating: 0, count: max(0, size - first))
        let count = (try? tail.withUnsafeMutableBytes { try file.read(at: first, into: $0) }) ?? 0
        let text = String(decoding: tail.prefix(count), as: UTF8.self)
        guard let last = text.split(whereSeparator: \.isNewline).last else {
            return name + "; the worker wrote nothing."
        }
        return "\(name); it ends: \(last)"
    }
}

extension ExitCause {
    /// The end of a child; one that nobody knows of counts as a defect, and never as a good end.
    init(_ end: ChildProcess.End) {
        switch end {
        case .exited(let status): self = .exited(status)
        case .signal(let number): self = .signal(number)
        case .unknown: self = .exited(ExitStatus.internal.rawValue)
        }
    }
}
