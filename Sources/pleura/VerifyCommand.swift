import ArgumentParser
import Diagnostics
import Foundation
import Storage

/// `pleura verify`: reads everything stored at some paths and names what is damaged.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Reads a run, data set, checkpoint or shard whole and names what is damaged.",
        discussion: """
            Exits 0 if everything is as it was written, 65 if something is not, and 66 if there is nothing to verify.
            """
    )

    @Argument(help: "Runs, data sets, checkpoints, shards or journals.", completion: .file())
    var paths: [String]

    func run() throws {
        var status = ExitStatus.done
        for path in paths {
            do {
                let items = try StorageVerification.verify(path, report: print)
                if items.contains(where: { !$0.defects.isEmpty }) { status = worse(status, .badInput) }
            } catch let error as any ReportableError {
                complain(error)
                status = worse(status, .missingInput)
            }
        }
        if status != .done { throw ExitCode(status.rawValue) }
    }

    /// Damage is worse than absence.
    private func worse(_ one: ExitStatus, _ other: ExitStatus) -> ExitStatus {
        [.badInput, .missingInput].first { $0 == one || $0 == other } ?? .done
    }

    private func print(_ item: StorageVerification.Item) {
        for defect in item.defects { complain(defect) }
        if let notice = item.notice { Swift.print(notice) }
        Swift.print("\(item.defects.isEmpty ? "sound  " : "DAMAGED") \(item.kind) \(item.path)")
    }

    private func complain(_ error: any ReportableError) {
        printError("\(error)")
    }
}
