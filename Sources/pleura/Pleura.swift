import ArgumentParser
import Diagnostics
import Foundation
import Training

/// The command line: parses, calls the library, prints.
@main
struct Pleura: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pleura",
        abstract: "Trains pneumothorax segmenters on chest radiographs across many worker processes.",
        version: "pleura \(ProgramVersion.current)",
        subcommands: [
            SynthesizeCommand.self, ShardCommand.self, LaunchCommand.self, ResumeCommand.self, WorkerCommand.self,
            PredictCommand.self, EvaluateCommand.self, StatusCommand.self, ReportCommand.self, InspectCommand.self,
            VerifyCommand.self, DoctorCommand.self, DrainCommand.self, ChaosCommand.self, SimulateCommand.self,
            KeygenCommand.self, CoordinateCommand.self, FuzzCommand.self, BenchCommand.self, DecodeWorkerCommand.self,
            WorkerGuardCommand.self, HostProbeCommand.self,
        ]
    )

    /// Runs the command; an error that users may read ends the program with its text and its exit status.
    static func main() async {
        // Every thread inherits it from the one that starts it.
        Arithmetic.begin()
        // A reader of the output that ends early must not end a run.
        StandardStream.ignoreBrokenPipes()
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                // On the main thread, which may block: Swift's cooperative pool has threads of its own.
                try command.run()
            }
        } catch let error as any ReportableError {
            printError("pleura: \(error.description)")
            Foundation.exit(error.exitStatus.rawValue)
        } catch {
            // ArgumentParser knows the errors of the command line; of any other it would print whatever it is.
            let isUnknown = !(error is ExitCode) && exitCode(for: error) == .failure
            guard isUnknown else { exit(withError: error) }
            printError(
                "pleura: Something failed that the program does not know: \(error). Please report it with the command."
            )
            Foundation.exit(ExitStatus.internal.rawValue)
        }
    }
}
