import Coordination
import Sampling
import Testing

/// A coordinator machine and the moments and messages that a test gives it by hand.
struct CoordinatorRig {
    struct Policy: TrainingPolicy {
        var initialScheduleState: [UInt64] { [] }

        func hyperparameters(of step: UInt64, at: StepLocation, schedule: [UInt64]) -> StepHyperparameters {
            StepHyperparameters(learningRate: 0.1)
        }

        func score(_ counts: [UInt32], countsPerSample: Int) -> ValidationScore {
            ValidationScore(score: counts.reduce(0) { $0 + Double($1) }, metrics: [])
        }

        func scheduleState(after: ValidationScore, round: UInt32, schedule: [UInt64]) -> [UInt64] { schedule }
    }

    var machine: CoordinatorMachine
    var now = Instant(nanoseconds: 0)

    init(
        workers: Int = 2,
        minimum: Int = 1,
        maximum: Int? = nil,
        onNonFinite: NonFinitePolicy = .stop,
        audits: AuditPolicy = .none,
        validation: ValidationSchedule = .never,
        checkpoints: CheckpointPolicy = CheckpointPolicy(),
        microbatches: Int = 4,
        steps: UInt64 = 10
    ) {
        machine = CoordinatorMachine(
            configuration: CoordinatorConfiguration(
                job: "job",
                fencing: 7,
                protocolVersion: 1,
                programVersion: "1.0",
                numericsProfile: "fp32",
                datasetDigest: "data",
                networkDigest: "net",
                resolvedConfiguration: "yaml",
                expectedWorkers: workers,
                minimumWorkers: minimum,
                maximumWorkers: maximum,
                schedule: RunSchedule(
                    epochSampleCounts: [100_000],
                    microbatches: microbatches,
                    microbatchSize: 2,
                    steps: steps
                ),
                validation: validation,
                checkpoints: checkpoints,
                onNonFinite: onNonFinite,
                audits: audits
            ),
            policy: Policy()
        )
    }

    mutating func handle(
        _ event: CoordinatorMachine.Event,
        after delay: Duration = .milliseconds(1)
    ) -> [CoordinatorMachine.Action] {
        now = now + delay
        return machine.handle(event, at: now)
    }

    mutating func say(
        _ worker: UInt64,
        _ body: WorkerMessage.Body,
        as incarnation: UInt64? = nil,
        key: String = "",
        after delay: Duration = .milliseconds(1)
    ) -> [CoordinatorMachine.Action] {
        let message = WorkerMessage(incarnation: incarnation ?? 100 + worker, body: body)
        return handle(.message(from: PeerID(worker), key: key, message), after: delay)
    }

    static func hello(_ worker: UInt64) -> Hello {
        Hello(
            protocolVersion: 1,
            programVersion: "1.0",
            hostName: "host\(worker)",
            hostIdentity: "b",
            processID: Int32(4000 + worker),
            threads: 2,
            numericsProfiles: ["fp32"],
            job: "job",
            endpoints: [],
            datasetDigest: nil,
            seat: nil
        )
    }

    static func ready(_ steps: UInt64 = 0, digest: UInt64 = 1) -> Ready {
        Ready(
            completedSteps: steps,
            stateDigest: Digest(high: digest, low: 0),
            datasetDigest: "data",
            networkDigest: "net"
        )
    }

    static func reduced(
        _ step: UInt64,
        sums: UInt64 = 9,
        state: UInt64? = 1,
        nonFinite: String? = nil,
        generation: UInt32 = 0
    ) -> ReducedReport {
        ReducedReport(
            step: step,
            generation: generation,
            sumsDigest: Digest(high: sums, low: 0),
            stateDigest: state.map { Digest(high: $0, low: 0) },
            losses: [0.5],
            gradientNorm: 2,
            nonFinite: nonFinite,
            timings: StepTimings()
        )
    }

    /// Brings the run to its first step.
    mutating func begin(workers: UInt64 = 2) -> [CoordinatorMachine.Action] {
        var actions = handle(.start(resume: nil))
        for worker in 0..<workers { actions += say(worker, .hello(Self.hello(worker))) }
        for worker in 0..<workers { actions += say(worker, .ready(Self.ready())) }
        return actions
    }

    /// Lets the timer fire until `moment`, with heartbeats of the given workers.
    mutating func pass(_ duration: Duration, heartbeats: [UInt64: Heartbeat]) -> [CoordinatorMachine.Action] {
        let end = now + duration
        var actions: [CoordinatorMachine.Action] = []
        while now < end {
            for worker in heartbeats.keys.sorted() {
                if let heartbeat = heartbeats[worker] {
                    actions += say(worker, .heartbeat(heartbeat), after: .zero)
                }
            }
            actions += handle(.tick, after: .milliseconds(250))
        }
        return actions
    }
}

extension [CoordinatorMachine.Action] {
    var outcome: RunOutcome? {
        for case .end(let outcome) in self { return outcome }
        return nil
    }

    /// What the journal says of lost workers, by number.
    var lost: [WorkerNumber: String] {
        var result: [WorkerNumber: String] = [:]
        for case .journal(.lost(let worker, let sentence)) in self { result[worker] = sentence }
        return result
    }

    /// The last assignment to all, alone or in a commit.
    var assignment: Assignment? {
        broadcasts.compactMap { body in
            switch body {
            case .assign(let assignment): assignment
            case .commit(let commit): commit.next
            default: nil
            }
        }.last
    }

    var refusal: String? {
        for case .send(_, let message) in self {
            if case .refuse(let reason) = message.body { return reason }
        }
        return nil
    }

    /// The bodies of all messages to several peers.
    var broadcasts: [CoordinatorMessage.Body] {
        compactMap { action in
            if case .broadcast(_, let message) = action { message.body } else { nil }
        }
    }

    var log: [String] {
        compactMap { action in
            switch action {
            case .log(_, let sentence), .refused(let sentence): sentence
            default: nil
            }
        }
    }
}
