import ArgumentParser

/// `pleura bench train`.
struct BenchTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "train", abstract: "Times training.", shouldDisplay: false)
    func run() throws { throw ValidationError("not built yet") }
}
