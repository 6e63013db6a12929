import Collectives
import Configuration
import Coordination
import Glibc
import KernelSelection
import ModelSetup
import Optimization
import Reduction
import Storage
import Synchronization
import TestSupport
import Testing
import WorkerRuntime

/// A worker's engine without a coordinator: orders by hand, events in a list.
@Suite(.serialized, .timeLimit(.minutes(15)))
struct WorkerEngineTests {
    private final class Events: Sendable {
        private let all = Mutex<[WorkerMachine.Event]>([])
        func append(_ event: WorkerMachine.Event) { all.withLock { $0.append(event) } }
        func contains(_ isWanted: (WorkerMachine.Event) -> Bool) -> Bool {
            all.withLock { $0.contains(where: isWanted) }
        }
        /// Returns once there was such an event, or a failure.
        func wait(for isWanted: (WorkerMachine.Event) -> Bool) {
            let failures = failures.count
            while !contains(isWanted) && self.failures.count == failures { usleep(1_000) }
        }
        var failures: [String] {
            all.withLock { $0 }.compactMap { if case .failed(let message, _) = $0 { message } else { nil } }
        }
    }

    private let folder: TemporaryFolder
    private let engine: WorkerEngine
    private let events = Events()

    init() throws {
        folder = try TemporaryFolder()
        try NoiseShards.write(to: folder.path)
        let dataset = try Dataset.open(folder.path)
        let configuration = try RunConfiguration.parse(
            """
            run: {directory: unused, seed: 7}
            data: {shards: unused, folds: {validation: [0]}}
            network: {architecture: unet-small, base_width: 4}
            training: {epochs: 2, microbatches: 8, microbatch_size: 1}
            # Longer than a test may take: nothing that waits for a peer comes to its end by itself.
            workers: {timeouts: {phase_seconds: 86400}}
            """,
            file: "the test's configuration"
        )
        let setup = try RunSetup(configuration, dataset: dataset)
        engine = try WorkerEngine(
            setup: setup,
            programs: ProgramSet(setup),
            dataset: dataset,
            variant: .reference,
            threads: 1,
            worker: 0,
            incarnation: 1,
            job: "job",
            transport: .zeromq,
            listen: "tcp://127.0.0.1:*",
            advertisedHost: nil,
            host: PeerAddress.hostIdentity(),
            report: { [events] in events.append($0) }
        )
        engine.state.initialize()
    }

    /// The work of a step whose microbatches are shared among `members`.
    private func work(step: UInt64, leaves: Int, members: [(WorkerNumber, PeerAddress)]) throws -> StepWork {
        let membership = Membership(
            version: 1,
            members: try members.map { worker, address in
                Member(
                    worker: worker,
                    hostName: "host\(worker)",
                    hostIdentity: address.host,
                    threads: 1,
                    endpoints: [try address.text]
                )
            }
        )
        let plan = WorkSplit.plan(step: step, generation: 0, leafCount: leaves, members: membership.members)
        let assignment = Assignment(plan: plan, membership: 1, wantsStateDigest: false)
        return StepWork(
            assignment: assignment,
            membership: membership,
            worker: 0,
            microbatches: assignment.microbatches(of: 0)
        )
    }

    @Test func ordersOutOfRangeAreReported() throws {
        engine.validate(ValidationRequest(round: 0, completedSteps: 0, samples: 0..<1000))
        #expect(events.failures.last?.contains("samples 0..<1000 of 4") == true, "\(events.failures)")
        let own = [(WorkerNumber(0), engine.allreduce.address)]
        engine.begin(try work(step: 2, leaves: 8, members: own))
        #expect(events.failures.last?.contains("step 2 of a run that has 2") == true, "\(events.failures)")
        engine.begin(try work(step: 0, leaves: 9, members: own))
        #expect(events.failures.last?.contains("has 9 microbatches, the step itself 8") == true, "\(events.failures)")
        #expect(events.failures.count == 3)
        engine.close()
    }

    /// Numbers that the optimizer does not know are no update: the weights stay, and the worker says so.
    @Test func numbersOfAnotherOptimizerChangeNothing() throws {
        defer { engine.close() }
        engine.begin(try work(step: 0, leaves: 8, members: [(0, engine.allreduce.address)]))
        events.wait { if case .reduced = $0 { true } else { false } }
        let before = engine.state.digest()
        for words in [[], [1], [UInt32](repeating: 0, count: 1024)] {
            engine.apply(step: 0, StepHyperparameters(learningRate: 1, optimizer: words), wantsStateDigest: false)
            events.wait { if case .applied = $0 { true } else { false } }
            #expect(events.failures.last?.hasPrefix("The coordinator sent \(words.count) numbers") == true)
        }
        #expect(engine.state.digest() == before)
        let words = engine.setup.optimizer.words(step: 1, rate: 1e-3)
        engine.apply(step: 0, StepHyperparameters(learningRate: 1e-3, optimizer: words), wantsStateDigest: false)
        events.wait { if case .applied = $0 { true } else { false } }
        #expect(events.failures.count == 3 && engine.state.digest() != before)
    }

    @Test func closingGivesUpMicrobatchesThatHaveNotBegun() throws {
        engine.begin(try work(step: 0, leaves: 8, members: [(0, engine.allreduce.address)]))
        // Returns although seven microbatches wait for the one thread.
        engine.close()
        #expect(events.failures.isEmpty)
    }

    @Test func closingDoesNotWaitForAPeersSums() throws {
        // Listens, but never contributes: it has begun no step.
        let other = try Allreduce(
            .init(
                worker: 1,
                incarnation: 2,
                job: PeerAddress.jobNumber(of: "job"),
                layout: engine.setup.buckets,
                maximumNodes: 8,
                transport: .zeromq
            )
        )
        defer { other.close() }
        engine.begin(try work(step: 0, leaves: 8, members: [(0, engine.allreduce.address), (1, other.address)]))
        // Returns, within the suite's limit.
        engine.close()
        #expect(events.failures.isEmpty)
    }
}
