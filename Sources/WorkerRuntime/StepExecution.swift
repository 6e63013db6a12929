import Collectives
package import Coordination
import Platform
import Synchronization

/// One attempt at a step on one worker: its work, and where its time went.
package final class StepExecution: Sendable {
    private struct Times: Sendable {
        var data = Duration.zero
        var compute = Duration.zero
        var samples = 0
        var operations = 0
        var isCancelled = false
    }

    package let work: StepWork
    private let began = ContinuousClock.now
    /// Down to zero when every microbatch has been computed, or the attempt was given up.
    let computed: CountDown
    private let times = Mutex(Times())
    /// Those of the step, of all its attempts.
    let audits: StepAudits

    init(_ work: StepWork, microbatches: Int, audits: StepAudits) {
        self.work = work
        self.audits = audits
        computed = CountDown(microbatches)
    }

    var isCancelled: Bool { times.withLock { $0.isCancelled } }

    func cancel() {
        times.withLock { $0.isCancelled = true }
        computed.open()
    }

    func add(data: Duration, compute: Duration, samples: Int, operations: Int) {
        times.withLock { times in
            times.data += data
            times.compute += compute
            times.samples += samples
            times.operations += operations
        }
    }

    /// How long the attempt has lasted by now.
    var elapsed: Duration { .now - began }

    /// The step's account; data and compute are means over the compute threads. `computing` is how long the attempt had
    /// lasted when the last microbatch was computed.
    func timings(_ reduction: AllreduceTimings, computing: Duration, threads: Int) -> StepTimings {
        let times = times.withLock { $0 }
        return StepTimings(
            data: times.data / threads,
            compute: times.compute / threads,
            communication: reduction.busy,
            hiddenCommunication: max(.zero, reduction.busy - reduction.waited),
            wait: reduction.waited,
            computing: computing,
            waitedFor: reduction.last,
            samples: UInt32(times.samples),
            operations: UInt64(times.operations),
            residentBytes: UInt64(ProcessMemory.peakResidentBytes)
        )
    }
}

/// The memory of this process.
package enum ProcessMemory {
    /// The most that was resident so far.
    ///
    /// Not getrusage's figure, which begins with that of the process that started this one.
    package static var peakResidentBytes: Int {
        (SystemFile.number(of: "VmHWM:", in: "/proc/self/status") ?? 0) << 10
    }
}
