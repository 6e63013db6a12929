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
    private let pipes: [Pipe]
    private let worker: Int

    /// Starts `executable` with `arguments`, which lead to `AllreduceMember.run`.
    package init(worker: Int, executable: URL, arguments: [String]) throws {
        let (input, output) = (Pipe(), Pipe())
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        // The child's ends must be closed here, or its death is not seen.
        try? input.fileHandleForReading.close()
        try? output.fileHandleForWriting.close()
        channel = LineChannel(
            input: output.fileHandleForReading.fileDescriptor,
            output: input.fileHandleForWriting.fileDescriptor
        )
        pipes = [input, output]
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

    /// Lets the process end and waits for that.
    package func finish() {
        try? pipes[0].fileHandleForWriting.close()
        process.waitUntilExit()
    }
}
