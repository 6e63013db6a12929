package import Coordination
import Platform
import Reporting
package import RunFolder
import Storage

extension RunHistory {
    /// Reads the journal of the run in `directory`; a missing one tells nothing.
    package init(_ directory: RunDirectory) throws {
        let isThere = FileSystem.exists(directory.journal)
        let lines = isThere ? try Journal<JournalLine>.read(directory.journal).entries : []
        self.init(lines.compactMap(\.entry))
        // Without a whole record, what the members agree about is all there is.
        if reattachment != nil, let lines = try? Metrics.read(path: directory.metrics) {
            recordedSteps = lines.steps.last.flatMap { UInt64(exactly: $0.step) }.map { $0 + 1 }
        }
    }
}

extension JournalLine {
    /// The entry as far as the line tells it; nil where it tells nothing that a later coordinator goes by.
    var entry: JournalEntry? {
        switch event {
        case "began": return .began(fencing: fencing ?? 0, completedSteps: step ?? 0)
        case "membership":
            guard let version, let workers, let incarnations, let hosts, workers.count == incarnations.count,
                workers.count == hosts.count
            else { return .membership(Membership(version: 0, members: []), incarnations: [], keys: []) }
            let members = zip(workers, hosts).map { worker, host in
                Member(worker: worker, hostName: host, hostIdentity: "", threads: 0, endpoints: [])
            }
            return .membership(
                Membership(version: version, members: members),
                incarnations: incarnations,
                keys: keys ?? workers.map { _ in "" }
            )
        case "lost": return workers?.first.map { .lost(worker: $0, sentence: text ?? "") }
        case "transition": return progress.map { .transition($0.progress) }
        case "ended":
            return .ended(
                RunOutcome(kind: .stopped, message: text ?? "", completedSteps: step ?? 0, savedSteps: nil)
            )
        default: return nil
        }
    }
}
