import ArgumentParser
import Diagnostics
import Foundation

/// The command line: parses, calls the library, prints.
@main
struct Pleura: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pleura",
        abstract: "Trains pneumothorax segmenters on chest radiographs across many worker processes.",
        subcommands: [
            SynthesizeCommand.self, LaunchCommand.self, ResumeCommand.self, WorkerCommand.self, EvaluateCommand.self,
            VerifyCommand.self, BenchCommand.self,
        ]
    )

    /// Runs the command; an error that users may read ends the program with its text and its exit status.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as any ReportableError {
            FileHandle.standardError.write(Data("pleura: \(error.description)\n".utf8))
            Foundation.exit(error.exitStatus.rawValue)
        } catch {
            exit(withError: error)
        }
    }
}
