import ArgumentParser
import Inference
import RunFolder

/// `pleura report`.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Writes a run's page, report.html, anew; launch and resume write it when they end."
    )

    @Argument(help: "The run's folder.", completion: .directory, transform: userPath)
    var directory: String

    func run() throws {
        let folder = RunDirectory(directory)
        for note in try RunReportBuilder.write(folder) { printError("warning: \(note)") }
        printSummary(folder.report)
        NextCommand.say(
            "pleura evaluate \(directory) --best",
            "finds the rule that makes masks; a browser opens the page"
        )
    }
}
