import ArgumentParser
import Radiography

/// The process in which untrusted images are decoded; started by pleura alone.
struct DecodeWorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode-worker",
        abstract: "Decodes images for another pleura process.",
        shouldDisplay: false
    )

    func run() throws {
        throw ExitCode(DecodeChild.run())
    }
}
