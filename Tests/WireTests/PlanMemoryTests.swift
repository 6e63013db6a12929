import Coordination
import Reduction
import Testing
import Wire

/// A plan that many steps share is said once.
@Suite struct PlanMemoryTests {
    private static func commit(_ step: UInt64, next: Assignment?, fencing: UInt64 = 3) -> CoordinatorMessage {
        CoordinatorMessage(
            fencing: fencing,
            body: .commit(
                Commit(
                    step: step,
                    hyperparameters: SampleMessages.hyperparameters,
                    wantsStateDigest: false,
                    next: next
                )
            )
        )
    }

    private static func assignment(_ step: UInt64, leaves: Int = 64, workers: Int = 64) -> Assignment {
        var assignment = SampleMessages.assignment(step: step, leaves: leaves, workers: workers)
        assignment.plan.generation = 0
        return assignment
    }

    private static func assign(_ assignment: Assignment, fencing: UInt64 = 3) -> CoordinatorMessage {
        CoordinatorMessage(fencing: fencing, body: .assign(assignment))
    }

    @Test func whatIsReadIsWhatWasSaid() throws {
        var encoder = PlanningEncoder()
        var decoder = PlanningDecoder()
        // A step begun twice, the last batch of an epoch, other members, and a commit that nothing follows.
        var again = Self.assignment(11)
        again.plan.generation = 2
        var audited = Self.assignment(16)
        audited.audits = [.init(microbatch: 3, worker: 8), .init(microbatch: 3, worker: 10)]
        let messages = [
            Self.assign(Self.assignment(7)), Self.commit(7, next: Self.assignment(8)),
            CoordinatorMessage(fencing: 3, body: .heartbeat), Self.commit(8, next: Self.assignment(9, leaves: 5)),
            Self.commit(9, next: Self.assignment(10)), Self.commit(10, next: Self.assignment(11)), Self.assign(again),
            Self.commit(11, next: Self.assignment(12)), Self.commit(12, next: Self.assignment(13, workers: 63)),
            Self.commit(13, next: Self.assignment(14, workers: 63)), Self.commit(14, next: nil),
            Self.assign(Self.assignment(15)), Self.commit(15, next: audited),
            Self.commit(16, next: Self.assignment(17)),
        ]
        var lengths: [Int] = []
        for message in messages {
            let bytes = try encoder.encode(message)
            #expect(try decoder.decode(bytes) == message)
            lengths.append(bytes.count)
        }
        #expect(lengths.indices.filter { lengths[$0] < 80 } == [1, 2, 5, 7, 9, 10, 12, 13])
    }

    @Test func aPlanThatWasNotReadIsRefused() throws {
        var encoder = PlanningEncoder()
        _ = try encoder.encode(Self.assign(Self.assignment(7)))
        let bytes = try encoder.encode(Self.commit(7, next: Self.assignment(8)))
        let refusal = WireError.badField("commit.repeated", found: "a plan that this receiver does not hold")
        #expect(throws: refusal) { try WireProtocol.decodeCoordinatorMessage(bytes) }
        for assignment in [nil, Self.assignment(6), SampleMessages.assignment(step: 7)] {
            var decoder = PlanningDecoder()
            if let assignment { _ = try decoder.decode(try WireProtocol.encode(Self.assign(assignment))) }
            #expect(throws: refusal) { try decoder.decode(bytes) }
        }
    }

    /// What a coordinator says that was only stopped must not harm those that obey its successor.
    @Test func aSucceededCoordinatorChangesNothing() throws {
        var old = PlanningEncoder()
        var new = PlanningEncoder()
        var decoder = PlanningDecoder()
        _ = try decoder.decode(try old.encode(Self.assign(Self.assignment(7))))
        _ = try decoder.decode(try new.encode(Self.assign(Self.assignment(7, workers: 63), fencing: 4)))
        let late = try decoder.decode(try old.encode(Self.commit(7, next: Self.assignment(8))))
        #expect(late == Self.commit(7, next: nil))
        let commit = Self.commit(7, next: Self.assignment(8, workers: 63), fencing: 4)
        #expect(try decoder.decode(try new.encode(commit)) == commit)
    }
}
