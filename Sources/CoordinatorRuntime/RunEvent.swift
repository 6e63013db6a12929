package import Coordination
package import ModelSetup
package import RunFolder

/// What happens to a run while it is led, in its order, for all that follow it: its launcher, a benchmark, a page that shows it.
///
/// A process that leads a run hands the event over as it is. A coordinator in a process of its own sends it to its launcher as
/// a line of JSON; of a step it then sends the numbers that do not grow with the number of workers.
package enum RunEvent: Codable, Sendable {
    /// What each worker will take, before the first is started.
    case planned(MemoryPlan)
    /// The coordinator can be reached.
    case listening(RunEndpoints)
    /// From here on workers hold the run in their memory: one that dies costs nothing.
    case began
    case stepped(CommittedStep)
    /// The coordinator's loop gets on, also where no step is committed.
    case alive(completedSteps: UInt64)
    /// A process was put out of the run.
    case evicted(incarnation: UInt64)
    case ended(EndedRun)
    /// The coordinator could not lead: its own words, and the status to exit with.
    case failed(message: String, status: Int32)

    /// Another event like it follows soon, and says all that this one says: it may be left out for who does not read.
    package var isFleeting: Bool {
        switch self {
        case .stepped, .alive: true
        case .planned, .listening, .began, .evicted, .ended, .failed: false
        }
    }

    /// A step that is committed.
    package struct CommittedStep: Codable, Sendable {
        package var completedSteps: UInt64
        /// The most memory in bytes that a worker has said to have taken, in this step or an earlier one.
        package var peakBytes: Int
        /// Nil where it came from another process: with a thousand workers it has some hundred kilobytes.
        package var record: StepRecord?

        private enum CodingKeys: CodingKey {
            case completedSteps
            case peakBytes
        }

        package init(_ record: StepRecord, peakBytes: Int) {
            completedSteps = record.step + 1
            self.peakBytes = peakBytes
            self.record = record
        }

        package init(completedSteps: UInt64, peakBytes: Int) {
            self.completedSteps = completedSteps
            self.peakBytes = peakBytes
        }
    }
}

extension StepRecord {
    /// The most memory in bytes that one of its workers has taken.
    var peakBytes: Int { workers.map { Int(clamping: $0.timings.residentBytes) }.max() ?? 0 }
}
