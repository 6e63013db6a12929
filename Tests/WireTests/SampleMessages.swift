import Coordination
import Numerics
import Reduction

/// Messages of every kind, with and without their optional parts.
enum SampleMessages {
    static let hello = hello(
        seat: Seat(
            worker: 3,
            fencing: 2,
            completedSteps: 7,
            isMember: true,
            isApplying: true,
            generation: 1 << 17,
            reports: [report]
        )
    )

    static func hello(seat: Seat) -> Hello {
        Hello(
            protocolVersion: 1,
            programVersion: "0.1.0",
            hostName: "host-ä",
            hostIdentity: "boot/ns",
            processID: 4123,
            threads: 16,
            numericsProfiles: ["fp32", "bf16-dot"],
            job: "job",
            endpoints: ["tcp://10.0.0.1:5", "inproc://x"],
            datasetDigest: "abc",
            seat: seat
        )
    }

    static let report = ReducedReport(
        step: 17,
        generation: 1,
        sumsDigest: Digest(high: .max, low: 1),
        stateDigest: Digest(high: 2, low: 0),
        losses: [0.5, -0.0, .infinity],
        gradientNorm: 1e300,
        nonFinite: "decoder.weight",
        nonFiniteMicrobatch: 5,
        audits: [
            AuditDigest(microbatch: 0, digest: Digest(high: 3, low: .max)),
            AuditDigest(microbatch: 10, digest: Digest(high: 0, low: 0)),
        ],
        timings: StepTimings(
            data: .milliseconds(3),
            compute: .seconds(2),
            communication: .microseconds(7),
            hiddenCommunication: .nanoseconds(1),
            wait: .zero,
            computing: .milliseconds(5),
            waitedFor: 0,
            samples: 8,
            operations: 1 << 40,
            residentBytes: 1 << 33
        )
    )

    static let worker: [WorkerMessage.Body] = [
        .hello(hello),
        .hello(hello(seat: Seat(worker: 0, fencing: 1, completedSteps: 0, isMember: false))),
        .hello(
            Hello(
                protocolVersion: 0,
                programVersion: "",
                hostName: "",
                hostIdentity: "",
                processID: 0,
                threads: 0,
                numericsProfiles: [],
                job: nil,
                endpoints: [],
                datasetDigest: nil,
                seat: nil
            )
        ),
        .ready(
            Ready(
                completedSteps: 9,
                stateDigest: Digest(high: 0, low: 0),
                datasetDigest: "d",
                networkDigest: "n"
            )
        ),
        .heartbeat(Heartbeat(phase: .reducing, step: 4, progress: .max, inPhase: .seconds(3))),
        .reduced(report),
        .reduced(
            ReducedReport(
                step: 0,
                generation: 0,
                sumsDigest: Digest(high: 0, low: 0),
                stateDigest: nil,
                losses: [],
                gradientNorm: 0,
                nonFinite: nil,
                timings: StepTimings()
            )
        ),
        .applied(completedSteps: 5, stateDigest: nil),
        .applied(completedSteps: 0, stateDigest: Digest(high: 1, low: 2)),
        .validated(ValidationResult(round: 3, samples: 8..<10, counts: [1, 2, 3, 4, 5, .max])),
        .checkpointPiece(
            CheckpointPiece(
                completedSteps: 100,
                share: CheckpointShare(part: 1, parts: 4, token: .max),
                byteCount: 1 << 35,
                failure: nil
            )
        ),
        .checkpointPiece(
            CheckpointPiece(
                completedSteps: 100,
                share: CheckpointShare(part: 0, parts: 1),
                byteCount: 0,
                failure: "gone"
            )
        ),
        .failure(FailureReport(step: 3, phase: .computing, message: "line\nline\ttab", suspect: 0)),
        .failure(FailureReport(step: 3, phase: .halted, message: "", suspect: nil)),
        .leaving(reason: "SIGTERM"),
    ]

    static func assignment(step: UInt64 = 12, leaves: Int = 11, workers: Int = 3) -> Assignment {
        let members = (0..<workers).map {
            Member(worker: WorkerNumber($0 * 2), hostName: "h", hostIdentity: "b", threads: 2, endpoints: [])
        }
        return Assignment(
            plan: WorkSplit.plan(step: step, generation: 1, leafCount: leaves, members: members),
            membership: 4,
            wantsStateDigest: true,
            audits: [Assignment.Audit(microbatch: 0, worker: 2), Assignment.Audit(microbatch: leaves - 1, worker: 0)]
        )
    }

    static let hyperparameters = StepHyperparameters(
        learningRate: 1e-4,
        clipNorm: .infinity,
        averageWeight: 0.01,
        skipsUpdate: true,
        optimizer: [0x8000_0000, 0, .max]
    )

    static let coordinator: [CoordinatorMessage.Body] = [
        .welcome(
            Welcome(
                job: "job",
                worker: 2,
                configuration: "a:\n\tb: 1\n",
                datasetDigest: "d",
                numericsProfile: "fp32",
                resume: ResumeSource(completedSteps: 40, file: "step-00000040.h5", folder: "/runs/a"),
                timing: CoordinatorTiming().forWorkers
            )
        ),
        .welcome(
            Welcome(
                job: "",
                worker: 0,
                configuration: "",
                datasetDigest: "",
                numericsProfile: "",
                resume: nil,
                timing: CoordinatorTiming().forWorkers
            )
        ),
        .refuse(reason: "The worker serves job a, this coordinator runs job b."),
        .membership(
            Membership(
                version: 3,
                members: [0, 1, 7].map {
                    Member(
                        worker: $0,
                        hostName: "host\($0)",
                        hostIdentity: "boot",
                        threads: 4,
                        endpoints: ["tcp://h:\($0)"]
                    )
                }
            )
        ),
        .assign(assignment()),
        .assign(assignment(leaves: 1, workers: 5)),
        .commit(
            Commit(
                step: 11,
                hyperparameters: hyperparameters,
                wantsStateDigest: false,
                next: assignment(step: 12)
            )
        ),
        .commit(Commit(step: 0, hyperparameters: hyperparameters, wantsStateDigest: true, next: nil)),
        .abandon(step: 3, generation: 2, reason: "worker 1 was lost"),
        .validate(ValidationRequest(round: 2, completedSteps: 50, samples: 0..<8)),
        .checkpoint(CheckpointRequest(completedSteps: 50, share: CheckpointShare(part: 2, parts: 3, token: 7))),
        .drain(reason: "Ctrl-C"),
        .heartbeat,
        .finish(Finish(kind: .workerLost, message: "Worker 2 on host b …")),
    ]
}

/// Random numbers of a test, from its seed.
struct TestRandom {
    private let sequence: RandomSequence
    private var index = 0

    init(seed: UInt64) { sequence = RandomSequence(seed: seed, purpose: .simulation) }

    mutating func below(_ bound: Int) -> Int {
        index += 1
        return sequence.integer(index, below: bound)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(below(256)) } }
}
