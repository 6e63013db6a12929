import ArgumentParser
import Foundation
import Platform
import RunFolder

/// `pleura status`.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows how a run stands: its workers with phase, speed, shares of time, memory, and the last fault.",
        discussion: "Reads status.json in the run's folder, which the coordinator writes every second."
    )

    @Argument(help: "The run's folder.", completion: .directory, transform: userPath)
    var directory: String

    @Flag(help: "Show it again every second until the run ends.")
    var watch = false

    @Flag(help: "Print status.json as it is.")
    var json = false

    func run() throws {
        let folder = RunDirectory(directory)
        while true {
            let status = try RunStatus.read(folder)
            // After the status: a run that has ended since has said so in it.
            let liveness = RunStatus.Liveness.of(folder)
            if liveness == .dead, try RunStatus.read(folder) != status { continue }
            if json {
                let bytes = try OpenFile(folder.status, .read).readAll(limit: 1 << 24)
                try printResult(String(decoding: bytes, as: UTF8.self))
            } else {
                // Home and clear: the table stays where it is.
                let columns = StandardStream.output.columns
                let clear = watch && columns != nil ? "\u{1B}[H\u{1B}[2J" : ""
                try printResult(clear + status.table(liveness, of: folder, columns: columns))
            }
            if !watch || status.isOver(liveness) {
                if status.outcome != nil, !json {
                    NextCommand.say("pleura evaluate \(directory) --best", "scores the best network")
                }
                return
            }
            // Another process writes the file, and sends no event here.
            Thread.sleep(forTimeInterval: 1)
        }
    }
}
