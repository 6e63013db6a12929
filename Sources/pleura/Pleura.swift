import ArgumentParser

/// The command line: parses, calls the library, prints.
@main
struct Pleura: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pleura",
        abstract: "Trains pneumothorax segmenters on chest radiographs across many worker processes.",
        subcommands: [ShardCommand.self, VerifyCommand.self, DecodeWorkerCommand.self]
    )
}
