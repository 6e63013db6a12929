import ArgumentParser
import Diagnostics
import Foundation
import Storage
import Training

/// `pleura verify`: reads everything stored at some paths and names what is damaged.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Reads a run, data set, checkpoint or shard whole and names what is damaged.",
        discussion: """
            Of a run: its checkpoints, journal, metrics, configuration, rule and TensorBoard events, and the data set
            that it was trained on. Logs and the report, which can be made again, carry no hashes and are not checked.

            Exits 0 if everything is as it was written, 65 if something is not, and 66 if there is nothing to verify.
            """
    )

    @Argument(help: "Runs, data sets, or single files of them.", completion: .file())
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
                if items.contains(where: { !$0.defects.isEmpty }) { status = worse(status, .badInput) }
            } catch let error as any ReportableError {
                complain(error)
                status = worse(status, .missingInput)
            }
        }
        if let unheard { throw unheard }
        if status != .done { throw ExitCode(status.rawValue) }
    }

    /// Damage is worse than absence.
    private func worse(_ one: ExitStatus, _ other: ExitStatus) -> ExitStatus {
        [.badInput, .missingInput].first { $0 == one || $0 == other } ?? .done
    }

    private func show(_ item: StorageVerification.Item) throws {
        for defect in item.defects { complain(defect) }
        if let notice = item.notice { try printResult(notice) }
        let word = item.isChecked ? (item.defects.isEmpty ? "sound  " : "DAMAGED") : "absent "
        try printResult("\(word) \(item.kind) \(item.path)")
    }

    private func complain(_ error: any ReportableError) {
        printError("\(error)")
    }
}
