import ArgumentParser
import Diagnostics
import Foundation
import Platform
import RunFolder
import Synchronization

/// The command line: parses, calls the library, prints.
@main
struct Pleura: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pleura",
        abstract: "Trains pneumothorax segmenters on chest radiographs across many worker processes.",
        version: "pleura \(ProgramVersion.current)",
        groupedSubcommands: [
            CommandGroup(name: "Data", subcommands: [SynthesizeCommand.self, ShardCommand.self]),
            CommandGroup(
                name: "Train",
                subcommands: [LaunchCommand.self, ResumeCommand.self, StatusCommand.self, DrainCommand.self]
            ),
            CommandGroup(
                name: "Results",
                subcommands: [
                    PredictCommand.self, EvaluateCommand.self, ReportCommand.self, InspectCommand.self,
                    ExportCommand.self,
                ]
            ),
            CommandGroup(name: "Hosts", subcommands: [DoctorCommand.self, WorkerCommand.self, KeygenCommand.self]),
            CommandGroup(
                name: "Checks",
                subcommands: [
                    VerifyCommand.self, BenchCommand.self, ChaosCommand.self, SimulateCommand.self, FuzzCommand.self,
                    // What the program starts for itself.
                    CoordinateCommand.self, DecodeWorkerCommand.self, WorkerGuardCommand.self, HostProbeCommand.self,
                ]
            ),
        ]
    )

    /// Runs the command; an error that users may read ends the program with its text and its exit status.
    static func main() {
        ProcessStart.prepare()
        // Every thread inherits it from the one that starts it.
        Arithmetic.begin()
        let status = Mutex(ExitStatus.done.rawValue)
        do {
            try ProcessStart.runOnOwnThread {
                let found = refusal() ?? perform()
                status.withLock { $0 = found }
            }
        } catch {
            printError("pleura: \(error)")
            status.withLock { $0 = error.exitStatus.rawValue }
        }
        Foundation.exit(status.withLock { $0 })
    }

    /// Says that there is no such command; nil where there is one.
    private static func refusal() -> Int32? {
        guard let sentence = CommandHints.unknownCommand(ProcessStart.arguments, of: Pleura.self) else { return nil }
        printError("pleura: \(sentence)")
        return ExitStatus.usage.rawValue
    }

    /// Runs the command on the calling thread, which may block; returns the status to exit with.
    private static func perform() -> Int32 {
        do {
            var command = try parseAsRoot(ProcessStart.arguments)
            try command.run()
            return ExitStatus.done.rawValue
        } catch let error as any ReportableError {
            printError("pleura: \(error.description)")
            return error.exitStatus.rawValue
        } catch {
            return finish(with: error)
        }
    }

    /// Says what ArgumentParser knows of an error of the command line, or prints the help that was asked for.
    private static func finish(with error: any Error) -> Int32 {
        let code = exitCode(for: error)
        // Of any other error it would print whatever it is.
        guard error is ExitCode || code != .failure else {
            printError(
                "pleura: Something failed that the program does not know: \(error). Please report it with the command."
            )
            return ExitStatus.internal.rawValue
        }
        let text = HelpText.page(fullMessage(for: error), arguments: ProcessStart.arguments)
        if text.isEmpty { return code.rawValue }
        if code != .success {
            printError(text)
            if let hint = CommandHints.unknownOption(in: text) { printError(hint) }
            return code.rawValue
        }
        do { try printResult(text) } catch {
            printError("pleura: \(error)")
            return ExitStatus.temporary.rawValue
        }
        return code.rawValue
    }
}
