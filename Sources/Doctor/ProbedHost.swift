import Configuration
import Coordination
import Foundation
import Launching
import Platform
import Synchronization

/// A doctor's end of the channel to one host's probe. Ask one question at a time.
final class ProbedHost: Sendable {
    private struct State: Sendable {
        var answers: [ProbeAnswer] = []
        var end: ExitCause?
    }

    let host: HostList.Host
    private let child: LocalWorkers.Child
    private let children: LocalWorkers
    private let channel: ChildChannel
    private let state: Box
    private let tail: OutputTail

    /// Where the child's threads leave what they hear; they may outlive this object.
    private final class Box: Sendable {
        let state = Mutex(State())
        let condition = ThreadCondition()
    }

    /// Starts the probe of a host, through ssh as workers are started. It ends with this process.
    init(_ host: HostList.Host) throws {
        self.host = host
        let box = Box()
        let tail = OutputTail()
        state = box
        self.tail = tail
        channel = try ChildChannel(first: [], beat: .seconds(2)) { line in
            if let answer = ProbeLine.answer(line) {
                box.state.withLock { $0.answers.append(answer) }
                box.condition.signal()
            } else {
                tail.add(line)
            }
        }
        let command = RemoteWorkers.command(of: host, running: "host-probe")
        children = LocalWorkers()
        child = try children.start(
            program: command.program,
            arguments: command.arguments,
            log: "/dev/null",
            incarnation: 1,
            channel: channel
        ) { _, cause in
            box.state.withLock { $0.end = cause }
            box.condition.signal()
        }
    }

    /// Sends a question and waits for its answer; throws why there is none, with the last lines that the host wrote.
    func ask(_ question: ProbeQuestion, within limit: Duration) throws -> ProbeAnswer {
        channel.say(try ProbeLine.encode(question))
        let deadline = ContinuousClock.now + limit
        while true {
            let seen = state.condition.ticket
            let (answer, end) = state.state.withLock { state -> (ProbeAnswer?, ExitCause?) in
                (state.answers.isEmpty ? nil : state.answers.removeFirst(), state.end)
            }
            if let answer { return answer }
            let said = tail.lines.isEmpty ? "" : "; it said: " + tail.lines.joined(separator: " | ")
            if let end { throw ProbeError.ended("\(host.isLocal ? "the program" : "ssh") \(end)\(said)") }
            if ContinuousClock.now >= deadline { throw ProbeError.silent("no answer within \(limit.inWords)\(said)") }
            state.condition.wait(since: seen)
        }
    }

    /// Ends the probe.
    func close() { children.kill(incarnation: child.incarnation) }
}
