import ArgumentParser
import Diagnostics
import Foundation
import RunFolder

/// `pleura drain`.
struct DrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Asks workers to leave a run that is under way, or the run to save its state and end.",
        discussion: """
            A worker leaves between two steps, and the others share its work. Without a worker's number the whole run is \
            drained, as by Ctrl-C. Numbers are those of `pleura status`. Waits until it is done.
            """
    )

    @Argument(help: "The run's folder.", completion: .directory, transform: userPath)
    var directory: String

    @Argument(help: "The numbers of workers that are to leave; without any, the whole run ends.")
    var workers: [UInt32] = []

    @Option(help: "How many seconds to wait until it is done; 0 does not wait.")
    var timeout = 120.0

    func validate() throws {
        guard timeout >= 0, timeout <= 1e6 else {
            throw ValidationError("--timeout must be from 0 to 1000000 seconds.")
        }
    }

    func run() throws {
        let folder = RunDirectory(directory)
        let before = try RunStatus.read(folder)
        if let outcome = before.outcome { throw RunError.hasEnded(directory, outcome: outcome) }
        let known = before.workers.map(\.worker)
        if let unknown = workers.first(where: { !known.contains($0) }) {
            throw RunError.noWorker(unknown, known: known)
        }
        let session = try requireLeader(folder, before)
        try RunRequest(drain: workers, by: NSUserName(), run: before.run, session: session).send(to: folder)
        let deadline = Date(timeIntervalSinceNow: timeout)
        while Date() < deadline {
            let status = try RunStatus.read(folder)
            if let outcome = status.outcome {
                try printResult(outcome)
                NextCommand.say("pleura resume \(directory)", "goes on where it stopped")
                return
            }
            let left = status.workers.map(\.worker).filter(workers.contains)
            if !workers.isEmpty && left.isEmpty {
                let names = workers.map(String.init).joined(separator: ", ")
                try printResult("worker \(names) left at step \(status.completedSteps); \(status.workers.count) go on")
                return
            }
            if timeout > 0, RunStatus.Liveness.of(folder) == .dead {
                // Its last words come before it lets go of the folder.
                if try RunStatus.read(folder).outcome != nil { continue }
                _ = try requireLeader(folder, status)
            }
            // Another process writes the file, and sends no event here.
            Thread.sleep(forTimeInterval: 0.2)
        }
        if timeout == 0 { return }
        printError(
            "pleura: The request is not carried out after \(timeout) s. `pleura status \(directory)` shows what the run waits for."
        )
        throw ExitCode(ExitStatus.temporary.rawValue)
    }

    /// The session of whoever leads the run; throws where nobody does. Nobody would hear the request, and whoever leads
    /// the run next is not meant by it.
    private func requireLeader(_ folder: RunDirectory, _ status: RunStatus) throws -> String? {
        switch RunLock.state(of: folder) {
        case .held(let holder), .unknown(let holder): return holder?.session
        case .free:
            throw RunError.nobodyLeads(
                directory,
                coordinator: status.coordinator,
                completedSteps: status.completedSteps
            )
        }
    }
}
