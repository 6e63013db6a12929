/// What a run's journal tells a coordinator that takes over, and its launcher.
///
/// Entries are taken in the order in which they were written, of all coordinators that have led the run.
package struct RunHistory: Hashable, Sendable {
    /// Coordinators have numbers below: times in seconds are among them, and no run has so many.
    package static let mostFencing: UInt64 = 1 << 53

    /// The highest incarnation of a coordinator that has led the run.
    package private(set) var fencing: UInt64 = 0
    /// The steps whose commits are recorded, which the journal does not tell; nil where no record is left.
    package var recordedSteps: UInt64?
    private var membership: Membership?
    private var incarnations: [WorkerNumber: UInt64] = [:]
    private var keys: [WorkerNumber: String] = [:]
    private var lost: Set<WorkerNumber> = []
    private var nextNumber: WorkerNumber = 0
    private var progress: RunProgress?

    /// The history of a run that no coordinator has led.
    package init() {}

    package init(_ entries: some Sequence<JournalEntry>) {
        for entry in entries { take(entry) }
    }

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

    /// The incarnation of the next coordinator, which is above all that were there; a journal may tell what no coordinator
    /// has had.
    package func nextFencing(above known: UInt64) -> UInt64 {
        max(min(fencing, Self.mostFencing), min(known, .max - 1)) + 1
    }

    package mutating func take(_ entry: JournalEntry) {
        switch entry {
        case .began(let incarnation, let steps):
            fencing = max(fencing, incarnation)
            // It went on from an earlier state: what was noted of validation after that is done again.
            if let known = progress, known.completedSteps > steps { progress = nil }
        case .membership(let membership, let incarnations, let keys): take(membership, incarnations, keys)
        case .lost(let worker, _):
            lost.insert(worker)
            membership?.members.removeAll { $0.worker == worker }
            incarnations[worker] = nil
        case .transition(let progress): self.progress = progress
        case .ended:
            membership = nil
            lost = []
        case .checkpoint: break
        }
    }

    private mutating func take(_ membership: Membership, _ incarnations: [UInt64], _ keys: [String]) {
        let workers = membership.members.map(\.worker)
        guard workers.count == incarnations.count else {
            self.membership = nil
            return
        }
        self.membership = membership
        self.incarnations = Dictionary(zip(workers, incarnations), uniquingKeysWith: { $1 })
        self.keys = keys.count == workers.count ? Dictionary(zip(workers, keys), uniquingKeysWith: { $1 }) : [:]
        // A run that was started anew counts its workers anew.
        lost.subtract(workers)
        if let last = workers.max(), last < .max { nextNumber = max(nextNumber, last + 1) }
    }
}
