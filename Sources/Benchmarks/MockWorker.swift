import CSystem
import Coordination
import Glibc
import Reduction

/// A worker of which only the protocol is there: what takes time is done at once, and its sums are none.
struct MockWorker {
    /// What the coordinator compares before it takes a worker.
    struct Identity: Sendable {
        var programVersion: String
        var protocolVersion: UInt32
        var numericsProfiles: [String]
        var datasetDigest: String
        var networkDigest: String
    }

    private var machine: WorkerMachine
    private let identity: Identity
    /// When `.tick` is due.
    private(set) var timer: Instant?
    private(set) var outcome: WorkerOutcome?

    init(number: Int, identity: Identity) {
        self.identity = identity
        machine = WorkerMachine(
            configuration: WorkerConfiguration(
                protocolVersion: identity.protocolVersion,
                programVersion: identity.programVersion,
                hostName: "mock-\(number).bench.internal",
                hostIdentity: "mock",
                processID: Int32(10_000 + number),
                threads: 1,
                numericsProfiles: identity.numericsProfiles,
                job: nil,
                incarnation: UInt64(1 + number),
                endpoints: ["tcp://10.0.\(number >> 8).\(number & 255):40000"],
                datasetDigest: nil,
                coordinator: "the benchmark's"
            )
        )
    }

    /// Takes an event and all that follows from it at once; returns what the worker says.
    mutating func handle(_ event: WorkerMachine.Event, at now: Instant) -> [WorkerMessage] {
        var said: [WorkerMessage] = []
        var events = [event]
        while !events.isEmpty {
            for action in machine.handle(events.removeFirst(), at: now) {
                switch action {
                case .send(let message): said.append(message)
                case .startTimer(let moment): timer = moment
                case .prepare(let welcome): events.append(prepared(welcome.resume?.completedSteps ?? 0))
                case .restore(let source): events.append(prepared(source.completedSteps))
                case .beginStep(let work):
                    let assignment = work.assignment
                    for leaf in work.microbatches {
                        events.append(
                            .microbatchComputed(step: assignment.step, generation: assignment.generation, index: leaf)
                        )
                    }
                    events.append(.reduced(report(work)))
                case .apply(let step, _, let wantsDigest):
                    events.append(
                        .applied(completedSteps: step + 1, stateDigest: wantsDigest ? Self.digest(step + 1) : nil)
                    )
                case .validate(let request):
                    events.append(.failed(message: "a mock cannot validate \(request.samples)", suspect: nil))
                case .streamSnapshot(let request):
                    events.append(
                        .snapshotStreamed(
                            CheckpointPiece(
                                completedSteps: request.completedSteps,
                                share: request.share,
                                byteCount: 0,
                                failure: "a mock worker has no state."
                            )
                        )
                    )
                case .abandonStep, .log: break
                case .exit(let outcome): self.outcome = outcome
                }
            }
        }
        return said
    }

    private func prepared(_ steps: UInt64) -> WorkerMachine.Event {
        .prepared(
            Ready(
                completedSteps: steps,
                stateDigest: Self.digest(steps),
                datasetDigest: identity.datasetDigest,
                networkDigest: identity.networkDigest
            )
        )
    }

    private func report(_ work: StepWork) -> ReducedReport {
        let assignment = work.assignment
        return ReducedReport(
            step: assignment.step,
            generation: assignment.generation,
            sumsDigest: Digest(high: assignment.step &+ 1 << 40, low: .max),
            stateDigest: assignment.wantsStateDigest ? Self.digest(assignment.step) : nil,
            losses: [0.5, 0.25, 0.25],
            gradientNorm: 1,
            nonFinite: nil,
            timings: StepTimings(
                data: .milliseconds(1),
                compute: .milliseconds(70),
                communication: .milliseconds(5),
                hiddenCommunication: .milliseconds(4),
                wait: .milliseconds(1),
                samples: UInt32(work.microbatches.count),
                operations: 1 << 36,
                residentBytes: 1 << 29
            )
        )
    }

    private static func digest(_ steps: UInt64) -> Digest { Digest(high: steps | 1 << 63, low: .max) }
}

/// Processor time of the calling thread, in seconds.
func threadProcessorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Processor time of this process, user and system, in seconds.
func processProcessorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
