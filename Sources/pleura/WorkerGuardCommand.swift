import ArgumentParser
import Launching

/// The process that keeps a worker on another host; started through ssh by `launch --hosts` alone.
struct WorkerGuardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker-guard",
        abstract: "Runs a worker as long as the launcher on another host is heard on standard input.",
        shouldDisplay: false
    )

    func run() throws {
        throw ExitCode(try WorkerGuard.run())
    }
}
