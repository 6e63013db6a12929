import ArgumentParser
import CoordinatorRuntime

/// `pleura coordinate`: what `launch` and `resume` start to lead a run; takes its order from standard input.
struct CoordinateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinate",
        abstract: "Leads a run for the launcher that started it.",
        shouldDisplay: false
    )

    func run() throws { try CoordinatorProcess.run() }
}
