import Coordination
import Reduction
import Testing
import Wire

@Suite struct RoundTripTests {
    @Test(arguments: SampleMessages.worker.indices)
    func workerMessagesComeBack(index: Int) throws {
        let message = WorkerMessage(incarnation: 0xDEAD_BEEF_0123_4567, body: SampleMessages.worker[index])
        #expect(try WireProtocol.decodeWorkerMessage(WireProtocol.encode(message)) == message)
    }

    @Test(arguments: SampleMessages.coordinator.indices)
    func coordinatorMessagesComeBack(index: Int) throws {
        let message = CoordinatorMessage(fencing: .max, body: SampleMessages.coordinator[index])
        #expect(try WireProtocol.decodeCoordinatorMessage(WireProtocol.encode(message)) == message)
    }

    /// The samples must hold every kind of message, or the tests above and the fuzzer miss one.
    @Test func samplesHoldEveryKind() {
        func name(_ value: some Any) -> String { String(describing: value).prefix { $0 != "(" }.description }
        #expect(Set(SampleMessages.worker.map(name)).count == 9)
        #expect(Set(SampleMessages.coordinator.map(name)).count == 11)
    }

    @Test func bitsOfHyperparametersSurvive() throws {
        var values = SampleMessages.hyperparameters
        values.learningRate = Float(bitPattern: 0x7FC0_1234)
        let message = CoordinatorMessage(
            fencing: 1,
            body: .commit(Commit(step: 1, hyperparameters: values, wantsStateDigest: false, next: nil))
        )
        let back = try WireProtocol.decodeCoordinatorMessage(WireProtocol.encode(message))
        guard case .commit(let commit) = back.body else {
            Issue.record("a commit came back as \(back.body)")
            return
        }
        #expect(commit.hyperparameters.learningRate.bitPattern == 0x7FC0_1234)
        #expect(commit.hyperparameters.optimizer == [0x8000_0000, 0, .max])
    }

    @Test func longSentencesAreCutAndCleaned() throws {
        let sentence = "bell \u{7} escape \u{1B}[2J " + String(repeating: "ü", count: 5000)
        let message = WorkerMessage(incarnation: 1, body: .leaving(reason: sentence))
        let back = try WireProtocol.decodeWorkerMessage(WireProtocol.encode(message))
        guard case .leaving(let reason) = back.body else {
            Issue.record("leaving came back as \(back.body)")
            return
        }
        #expect(reason.hasPrefix("bell   escape  [2J üü"))
        #expect(reason.hasSuffix("ü…"))
        #expect(reason.utf8.count <= 4096)
    }

    /// The largest messages that a run of 4,096 workers needs fit.
    @Test func largeRunsFit() throws {
        let members = (0..<4096).map {
            Member(
                worker: WorkerNumber($0),
                hostName: "node-\($0).cluster.example.org",
                hostIdentity: "3b1f5a0e-0000-0000-0000-000000000000/4026531840",
                threads: 128,
                endpoints: ["tcp://10.10.10.10:40000"]
            )
        }
        let membership = CoordinatorMessage(fencing: 1, body: .membership(Membership(version: 1, members: members)))
        #expect(try WireProtocol.encode(membership).count < WireProtocol.maximumCoordinatorMessageBytes)
        let plan = WorkSplit.plan(step: 1, generation: 0, leafCount: 65536, members: members)
        let assign = CoordinatorMessage(
            fencing: 1,
            body: .assign(Assignment(plan: plan, membership: 1, wantsStateDigest: false))
        )
        let bytes = try WireProtocol.encode(assign)
        #expect(try WireProtocol.decodeCoordinatorMessage(bytes) == assign)
    }
}
