import ArgumentParser
import Diagnostics
import Foundation
import Platform
import RunFolder
import Storage

/// `pleura verify`: reads everything stored at some paths and names what is damaged.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Reads a run, data set, checkpoint or shard whole and names what is damaged.",
        discussion: """
            Of a run: its checkpoints, journal, metrics, configuration, rule, report, status, logs and TensorBoard events, and
            the data set that it was trained on. Where the run ended in order, run.json knows each file to the last bit.

            Exits 0 if everything is as it was written, 65 if something is not, 66 if there is nothing to verify, and 75 if
            another program has a file open for writing, so that it cannot be told.
            """
    )

    @Argument(help: "Runs, data sets, or single files of them.", completion: .file(), transform: userPath)
    var paths: [String]

    func run() throws {
        var status = ExitStatus.done
        var unheard: (any Error)?
        for path in paths {
            do {
                let items = try RunVerification.verify(
                    path,
                    report: {
                        do { try show($0) } catch { unheard = unheard ?? error }
                    }
                )
                for item in items where !item.defects.isEmpty {
                    status = worse(status, item.isInUse ? .temporary : .badInput)
                }
            } catch let error as any ReportableError {
                complain(error)
                status = worse(status, .missingInput)
            }
        }
        if let unheard { throw unheard }
        if status != .done { throw ExitCode(status.rawValue) }
        guard let path = paths.first, paths.count == 1 else { return }
        if FileSystem.exists("\(path)/\(DatasetManifest.fileName)") {
            NextCommand.say("pleura launch \(path)", "trains on it")
        } else if RunDirectory(path).exists {
            NextCommand.say("pleura status \(path)", "shows how it stands")
        }
    }

    /// Damage is worse than absence.
    private func worse(_ one: ExitStatus, _ other: ExitStatus) -> ExitStatus {
        [.badInput, .missingInput, .temporary].first { $0 == one || $0 == other } ?? .done
    }

    private func show(_ item: StorageVerification.Item) throws {
        for defect in item.defects { complain(defect) }
        if let notice = item.notice { try printResult(notice) }
        let word =
            item.isChecked ? (item.defects.isEmpty ? "sound  " : item.isInUse ? "in use " : "DAMAGED") : "absent "
        try printResult("\(word) \(item.kind) \(item.path)")
    }

    private func complain(_ error: any ReportableError) {
        printError("\(error)")
    }
}
