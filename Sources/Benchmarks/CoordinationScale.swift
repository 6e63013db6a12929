import Coordination
import Sampling
import Wire

/// What a step costs the coordinator by the number of workers: the machines and their encoded messages, without a network.
///
/// One microbatch for each worker. Messages, bytes and processor time are the coordinator's; a worker's share is that of
/// reading the commit with the next assignment, and of its machine.
package struct CoordinationScale: Sendable {
    package struct Row: Codable, Sendable {
        package var workers: Int
        package var steps: Int
        /// Of a step.
        package var messagesIn: Double
        package var messagesOut: Double
        package var bytesIn: Double
        package var bytesOut: Double
        /// A commit whose next step is shared out as its own.
        package var commitBytes: Int
        /// An assignment that says its plan, as after every change of the members or of a step's size.
        package var assignBytes: Int
        /// Medians of the coordinator's processor time over the steps: reading, deciding, writing once a message.
        package var decodingSeconds: Double
        package var machineSeconds: Double
        package var encodingSeconds: Double
        /// One worker's, of a step.
        package var workerSeconds: Double
        /// Until all workers had their membership.
        package var startBytesOut: Double
        package var startSeconds: Double
        /// One round of heartbeats, both ways.
        package var heartbeatBytes: Double
        package var heartbeatSeconds: Double

        enum CodingKeys: String, CodingKey {
            case workers, steps
            case messagesIn = "messages_in"
            case messagesOut = "messages_out"
            case bytesIn = "bytes_in"
            case bytesOut = "bytes_out"
            case commitBytes = "commit_bytes"
            case assignBytes = "assign_bytes"
            case decodingSeconds = "decoding_s"
            case machineSeconds = "machine_s"
            case encodingSeconds = "encoding_s"
            case workerSeconds = "worker_s"
            case startBytesOut = "start_bytes_out"
            case startSeconds = "start_s"
            case heartbeatBytes = "heartbeat_bytes"
            case heartbeatSeconds = "heartbeat_s"
        }
    }

    /// Counts and times of what has passed since they were last taken.
    private struct Tally {
        var messagesIn = 0
        var messagesOut = 0
        var bytesIn = 0
        var bytesOut = 0
        var commit = 0
        var assign = 0
        var decoding = 0.0
        var machine = 0.0
        var encoding = 0.0
        var worker = 0.0

        var coordinator: Double { decoding + machine + encoding }
    }

    private struct Policy: TrainingPolicy {
        var initialScheduleState: [UInt64] { [] }

        func hyperparameters(of step: UInt64, at: StepLocation, schedule: [UInt64]) -> StepHyperparameters {
            StepHyperparameters(learningRate: 0.1)
        }

        func score(_ counts: [UInt32], countsPerSample: Int) -> ValidationScore {
            ValidationScore(score: 0, metrics: [])
        }

        func scheduleState(after: ValidationScore, round: UInt32, schedule: [UInt64]) -> [UInt64] { schedule }
    }

    private let count: Int
    private var coordinator: CoordinatorMachine
    private var workers: [MockWorker]
    private var now = Instant(nanoseconds: 0)
    private var tally = Tally()
    private var committed = 0
    private var encoder = PlanningEncoder()
    /// All workers read the same.
    private var decoder = PlanningDecoder()

    /// - Parameters:
    ///   - workers: at least 1.
    ///   - steps: counted steps.
    package static func measure(workers: Int, steps: Int) throws -> Row {
        var scale = CoordinationScale(workers, steps: steps + 1)
        return try scale.run(steps: steps)
    }

    private init(_ count: Int, steps: Int) {
        self.count = count
        let identity = MockWorker.Identity(
            programVersion: "1",
            protocolVersion: WireProtocol.version,
            numericsProfiles: ["fp32"],
            datasetDigest: String(repeating: "d", count: 64),
            networkDigest: String(repeating: "e", count: 64)
        )
        coordinator = CoordinatorMachine(
            configuration: CoordinatorConfiguration(
                job: "bench",
                fencing: 1,
                protocolVersion: identity.protocolVersion,
                programVersion: identity.programVersion,
                numericsProfile: "fp32",
                datasetDigest: identity.datasetDigest,
                networkDigest: identity.networkDigest,
                // What a resolved configuration has.
                resolvedConfiguration: String(repeating: "name: value\n", count: 300),
                expectedWorkers: count,
                schedule: RunSchedule(
                    epochSampleCounts: [count * (steps + 2)],
                    microbatches: count,
                    microbatchSize: 1,
                    steps: UInt64(steps + 2)
                ),
                validation: .never,
                checkpoints: CheckpointPolicy()
            ),
            policy: Policy()
        )
        workers = (0..<count).map { MockWorker(number: $0, identity: identity) }
    }

    private mutating func run(steps: Int) throws -> Row {
        var waiting = try deliver(coordinator.handle(.start(resume: nil), at: now))
        var said: [(Int, WorkerMessage)] = []
        for index in workers.indices {
            said += workers[index].handle(.started, at: now).map { (index, $0) }
        }
        waiting += try answer(said)
        // Welcomes, then the membership and the first assignment.
        while committed == 0, !waiting.isEmpty { waiting = try round(waiting) }
        let start = tally
        var decoding: [Double] = []
        var machine: [Double] = []
        var encoding: [Double] = []
        var worker: [Double] = []
        var sum = Tally()
        for _ in 0..<steps {
            tally = Tally()
            let before = committed
            while committed == before, !waiting.isEmpty { waiting = try round(waiting) }
            decoding.append(tally.decoding)
            machine.append(tally.machine)
            encoding.append(tally.encoding)
            worker.append(tally.worker / Double(count))
            sum.messagesIn += tally.messagesIn
            sum.messagesOut += tally.messagesOut
            sum.bytesIn += tally.bytesIn
            sum.bytesOut += tally.bytesOut
            sum.commit = max(sum.commit, tally.commit)
        }
        guard committed == steps + 1 else {
            throw TrainingBenchmarkError.ended("\(committed) of \(steps + 1) steps were committed.")
        }
        tally = Tally()
        now = now + .milliseconds(260)
        said = []
        for index in workers.indices {
            said += workers[index].handle(.tick(progress: 0), at: now).map { (index, $0) }
        }
        _ = try answer(said)
        let begin = threadProcessorSeconds()
        let ticked = coordinator.handle(.tick, at: now)
        tally.machine += threadProcessorSeconds() - begin
        _ = try deliver(ticked)
        return Row(
            workers: count,
            steps: steps,
            messagesIn: Double(sum.messagesIn) / Double(steps),
            messagesOut: Double(sum.messagesOut) / Double(steps),
            bytesIn: Double(sum.bytesIn) / Double(steps),
            bytesOut: Double(sum.bytesOut) / Double(steps),
            commitBytes: sum.commit,
            assignBytes: start.assign,
            decodingSeconds: Self.median(decoding),
            machineSeconds: Self.median(machine),
            encodingSeconds: Self.median(encoding),
            workerSeconds: Self.median(worker),
            startBytesOut: Double(start.bytesOut),
            startSeconds: start.coordinator,
            heartbeatBytes: Double(tally.bytesIn + tally.bytesOut),
            heartbeatSeconds: tally.coordinator
        )
    }

    /// All workers read what was sent to them and answer, and the coordinator reads that; returns what it sends.
    private mutating func round(_ sent: [(Int, CoordinatorMessage)]) throws -> [(Int, CoordinatorMessage)] {
        now = now + .milliseconds(1)
        var said: [(Int, WorkerMessage)] = []
        let begin = threadProcessorSeconds()
        for (index, message) in sent { said += workers[index].handle(.message(message), at: now).map { (index, $0) } }
        tally.worker += threadProcessorSeconds() - begin
        return try answer(said)
    }

    /// The coordinator reads messages of workers.
    private mutating func answer(_ said: [(Int, WorkerMessage)]) throws -> [(Int, CoordinatorMessage)] {
        now = now + .milliseconds(1)
        let encoded = try said.map { ($0.0, try WireProtocol.encode($0.1)) }
        tally.messagesIn += encoded.count
        tally.bytesIn += encoded.reduce(0) { $0 + $1.1.count }
        var begin = threadProcessorSeconds()
        let decoded = try encoded.map { ($0.0, try WireProtocol.decodeWorkerMessage($0.1)) }
        tally.decoding += threadProcessorSeconds() - begin
        var actions: [CoordinatorMachine.Action] = []
        begin = threadProcessorSeconds()
        for (index, message) in decoded {
            actions += coordinator.handle(.message(from: PeerID(UInt64(index)), message), at: now)
        }
        tally.machine += threadProcessorSeconds() - begin
        return try deliver(actions)
    }

    /// Encodes what the coordinator sends, each message once, as its shell does.
    private mutating func deliver(_ actions: [CoordinatorMachine.Action]) throws -> [(Int, CoordinatorMessage)] {
        var sent: [(Int, CoordinatorMessage)] = []
        for action in actions {
            let peers: [PeerID]
            let message: CoordinatorMessage
            var isBroadcast = false
            switch action {
            case .send(let peer, let one): (peers, message) = ([peer], one)
            case .broadcast(let all, let one): (peers, message, isBroadcast) = (all, one, true)
            case .record:
                committed += 1
                continue
            case .end(let outcome): throw TrainingBenchmarkError.ended(outcome.message)
            default: continue
            }
            var begin = threadProcessorSeconds()
            let bytes = isBroadcast ? try encoder.encode(message) : try WireProtocol.encode(message)
            tally.encoding += threadProcessorSeconds() - begin
            begin = threadProcessorSeconds()
            let decoded = try decoder.decode(bytes)
            // Each of them reads it.
            tally.worker += (threadProcessorSeconds() - begin) * Double(peers.count)
            tally.messagesOut += peers.count
            tally.bytesOut += bytes.count * peers.count
            if case .commit = message.body { tally.commit = max(tally.commit, bytes.count) }
            if case .assign = message.body { tally.assign = max(tally.assign, bytes.count) }
            sent += peers.map { (Int($0.rawValue), decoded) }
        }
        return sent
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        if sorted.isEmpty { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}
