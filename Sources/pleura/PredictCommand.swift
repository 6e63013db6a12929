import ArgumentParser

/// `pleura predict`.
struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "predict", abstract: "Predicts masks.", shouldDisplay: false)
    func run() throws { throw ValidationError("not built yet") }
}
