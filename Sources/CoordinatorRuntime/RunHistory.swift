package import Coordination
import Platform
import Reporting
package import RunFolder
import Storage

/// What a run's journal tells a coordinator that takes over.
package struct RunHistory: Sendable {
    /// The highest incarnation of a coordinator that has led the run.
    package private(set) var fencing: UInt64 = 0
    private var membership: Membership?
    private var incarnations: [WorkerNumber: UInt64] = [:]
    private var keys: [WorkerNumber: String] = [:]
    private var lost: Set<WorkerNumber> = []
    private var nextNumber: WorkerNumber = 0
    private var progress: RunProgress?
    /// The steps whose commits are recorded; nil where no line tells.
    private var recordedSteps: UInt64?

    /// The members that may still be there; nil where the last coordinator ended in order, or never had any.
    package var reattachment: Reattachment? {
        guard let membership, !membership.members.isEmpty else { return nil }
        return Reattachment(
            membership: membership,
            incarnations: incarnations,
            keys: keys,
            lost: lost,
            nextNumber: nextNumber,
            progress: progress,
            recordedSteps: recordedSteps
        )
    }

    /// Reads the journal of the run in `directory`; a missing one tells nothing.
    package init(_ directory: RunDirectory) throws {
        let isThere = FileSystem.exists(directory.journal)
        self.init(isThere ? try Journal<JournalLine>.read(directory.journal).entries : [])
        // Without a whole record, what the members agree about is all there is.
        if membership?.members.isEmpty == false, let lines = try? Metrics.read(path: directory.metrics) {
            recordedSteps = lines.steps.last.flatMap { UInt64(exactly: $0.step) }.map { $0 + 1 }
        }
    }

    package init(_ lines: [JournalLine]) {
        for line in lines { take(line) }
    }

    private mutating func take(_ line: JournalLine) {
        if let incarnation = line.fencing { fencing = max(fencing, incarnation) }
        switch line.event {
        case "began":
            // It went on from an earlier state: what was noted of validation after that is done again.
            if let known = progress, known.completedSteps > line.step ?? 0 { progress = nil }
        case "membership":
            guard let version = line.version, let workers = line.workers, let processes = line.incarnations,
                let hosts = line.hosts, workers.count == processes.count, workers.count == hosts.count
            else {
                membership = nil
                return
            }
            membership = Membership(
                version: version,
                members: zip(workers, hosts).map { worker, host in
                    Member(worker: worker, hostName: host, hostIdentity: "", threads: 0, endpoints: [])
                }
            )
            incarnations = Dictionary(zip(workers, processes), uniquingKeysWith: { $1 })
            let names = line.keys ?? workers.map { _ in "" }
            keys = names.count == workers.count ? Dictionary(zip(workers, names), uniquingKeysWith: { $1 }) : [:]
            // A run that was started anew counts its workers anew.
            lost.subtract(workers)
            if let last = workers.max(), last < .max { nextNumber = max(nextNumber, last + 1) }
        case "lost":
            for worker in line.workers ?? [] {
                lost.insert(worker)
                membership?.members.removeAll { $0.worker == worker }
                incarnations[worker] = nil
            }
        case "transition": progress = line.progress?.progress
        case "ended":
            membership = nil
            lost = []
        default: break
        }
    }
}
