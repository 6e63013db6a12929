import CSystem
import Collectives
package import Foundation
import Reduction

/// A child process that runs `AllreduceMember`, seen from its parent.
///
/// Used by one thread at a time.
///
/// The kernel ends the child when the thread that made it ends, so make and use it on a thread that outlives it.
package final class MemberProcess {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    private let process = Process()
    private let channel: LineChannel
    private let input: FileHandle
    private let output: FileHandle
    private let worker: Int

    /// Starts `executable` with `arguments`, which lead to `AllreduceMember.run`.
    package init(worker: Int, executable: URL, arguments: [String]) throws {
        // Writing to a member that has died is an error to report, not the end of this process.
        signal(SIGPIPE, SIG_IGN)
        let (childInput, input) = try Self.pipe()
        let (output, childOutput) = try Self.pipe()
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = childInput
        process.standardOutput = childOutput
        try process.run()
        // The child's ends must be closed here, or its death is not seen.
        try? childInput.close()
        try? childOutput.close()
        channel = LineChannel(input: output.fileDescriptor, output: input.fileDescriptor)
        (self.input, self.output) = (input, output)
        self.worker = worker
    }

    deinit { if process.isRunning { kill() } }

    package var identifier: Int32 { process.processIdentifier }

    package func send(_ command: AllreduceMember.Command) throws {
        do { try channel.send(command) } catch { throw Failure(description: "Member \(worker): \(error).") }
    }

    package func reply(within limit: Duration) throws -> AllreduceMember.Reply {
        do { return try channel.receive(AllreduceMember.Reply.self, within: limit) } catch {
            throw Failure(description: "Member \(worker) (process \(identifier)) gave no answer: \(error).")
        }
    }

    /// Ends the process as `kill -9` does.
    package func kill() { Foundation.kill(identifier, SIGKILL) }

    /// Lets the process end and waits for that; one that does not end in 10 s is killed.
    package func finish() {
        try? channel.send(AllreduceMember.Command.finish)
        try? input.close()
        let descriptor = system_process_descriptor(identifier)
        if descriptor >= 0 {
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&item, 1, 10_000) == 0 { kill() }
            close(descriptor)
        }
        process.waitUntilExit()
    }

    private static func pipe() throws -> (reading: FileHandle, writing: FileHandle) {
        var ends: [Int32] = [-1, -1]
        guard system_pipe(&ends, true) == 0 else { throw AllreduceError.system("Cannot make a pipe", code: errno) }
        return (
            FileHandle(fileDescriptor: ends[0], closeOnDealloc: true),
            FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
        )
    }
}
