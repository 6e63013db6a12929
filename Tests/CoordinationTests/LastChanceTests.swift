import Coordination
import Testing

/// Checkpoints that the run waits for are tried more than once.
@Suite struct LastChanceTests {
    /// A run of one step, at its last checkpoint; the order of it.
    private static func atTheEnd(workers: UInt64 = 2) -> (rig: CoordinatorRig, orders: [CheckpointOrder]) {
        var rig = CoordinatorRig(workers: Int(workers), steps: 1)
        _ = rig.begin(workers: workers)
        for worker in 0..<workers { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        var actions: [CoordinatorMachine.Action] = []
        for worker in 0..<workers {
            actions += rig.say(worker, .applied(completedSteps: 1, stateDigest: Digest(high: 4, low: 4)))
        }
        return (rig, actions.orders)
    }

    private static func failure(_ piece: CheckpointOrder.Piece) -> WorkerMessage.Body {
        .checkpointPiece(
            CheckpointPiece(
                completedSteps: 1,
                share: piece.share,
                byteCount: 0,
                failure: "The bulk connection to the coordinator was lost: the connection broke."
            )
        )
    }

    private static let beat = Heartbeat(phase: .waiting, step: 1, progress: 1, inPhase: .zero)

    @Test func aShareThatWasLostIsAskedForAtOnceOfAnother() throws {
        var (rig, orders) = Self.atTheEnd()
        let order = try #require(orders.first)
        #expect(order.reason == .end && order.pieces.map(\.worker) == [0, 1])
        let actions = rig.say(1, Self.failure(order.pieces[1]))
        #expect(actions.outcome == nil)
        #expect(
            actions.log.contains { $0.contains("attempt 2 of 5 begins now") && $0.contains("the connection broke") }
        )
        // All hold the same state, and worker 0 could hand it over.
        let again = try #require(actions.orders.first)
        #expect(again.reason == .end && again.pieces.map(\.worker) == [0] && again.pieces[0].share.parts == 1)
        // What the other says of the attempt before is not taken for this one.
        #expect(rig.say(1, Self.failure(order.pieces[1])).orders.isEmpty)
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .completed)
    }

    @Test func aDiskThatFailsForAWhileLosesNothing() throws {
        var (rig, _) = Self.atTheEnd()
        for (attempt, pause) in [(2, 1), (3, 2), (4, 4)] {
            let failed = rig.handle(.checkpointFailed(completedSteps: 1, reason: "the disk is busy."))
            #expect(failed.outcome == nil && failed.orders.isEmpty)
            #expect(
                failed.log.contains { $0.contains("attempt \(attempt) of 5 begins in \(pause).0 s") },
                "\(failed.log)"
            )
            let waited = rig.pass(.milliseconds(1000 * pause - 250), heartbeats: [0: Self.beat, 1: Self.beat])
            #expect(waited.orders.isEmpty)
            let begun = rig.pass(.milliseconds(500), heartbeats: [0: Self.beat, 1: Self.beat])
            #expect(begun.orders.map(\.reason) == [.end])
        }
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .completed)
    }

    @Test func aDiskThatFailsToTheLastIsAFailure() {
        var (rig, _) = Self.atTheEnd()
        var attempts = 0
        var outcome: RunOutcome?
        while outcome == nil, attempts < 10 {
            attempts += 1
            outcome = rig.handle(.checkpointFailed(completedSteps: 1, reason: "no space left.")).outcome
            if outcome == nil { _ = rig.pass(.seconds(10), heartbeats: [0: Self.beat, 1: Self.beat]) }
        }
        #expect(outcome?.kind == .notSaved)
        #expect(outcome?.message.contains("could not be saved in \(attempts) attempts within ") == true)
        #expect(outcome?.message.contains("no space left") == true)
        // Begun for half a minute, and never without a second one.
        #expect(attempts == 4, "\(attempts)")
    }

    @Test func anAttemptThatTakesLongIsFollowedByOneMore() {
        var (rig, _) = Self.atTheEnd()
        let stuck = rig.pass(.seconds(62), heartbeats: [0: Self.beat, 1: Self.beat])
        #expect(stuck.outcome == nil && stuck.orders.count == 1, "\(stuck.log)")
    }

    @Test func whereTheLastHolderDiesNothingIsLeftToTry() {
        var (rig, _) = Self.atTheEnd(workers: 1)
        _ = rig.handle(.checkpointFailed(completedSteps: 1, reason: "the disk is busy."))
        let lost = rig.handle(.processExited(incarnation: 100, processID: 4000, .signal(9)))
        #expect(lost.outcome?.kind == .workerLost)
    }

    @Test func aDrainTriesAgainToo() throws {
        var rig = CoordinatorRig()
        _ = rig.begin()
        _ = rig.handle(.drainRequested(reason: "SIGTERM"))
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        var actions: [CoordinatorMachine.Action] = []
        for worker: UInt64 in 0..<2 {
            actions += rig.say(worker, .applied(completedSteps: 1, stateDigest: Digest(high: 4, low: 4)))
        }
        let order = try #require(actions.orders.first)
        #expect(rig.say(0, Self.failure(order.pieces[0])).orders.map(\.reason) == [.end])
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .drained)
    }

    @Test func ofAPeriodicOneTheNextStepIsSaved() throws {
        var rig = CoordinatorRig(checkpoints: CheckpointPolicy(everySteps: 5))
        _ = rig.begin()
        var actions: [CoordinatorMachine.Action] = []
        for step: UInt64 in 0..<5 {
            for worker: UInt64 in 0..<2 { actions += rig.say(worker, .reduced(CoordinatorRig.reduced(step))) }
        }
        let order = try #require(actions.orders.first)
        #expect(order.completedSteps == 5 && order.reason == .interval)
        let piece = CheckpointPiece(completedSteps: 5, share: order.pieces[0].share, byteCount: 0, failure: "it broke.")
        let failed = rig.say(0, .checkpointPiece(piece))
        #expect(failed.orders.isEmpty && failed.log.contains { $0.contains("The next step is saved in its place.") })
        actions = []
        for worker: UInt64 in 0..<2 { actions += rig.say(worker, .reduced(CoordinatorRig.reduced(5))) }
        #expect(actions.orders.map(\.completedSteps) == [6] && actions.orders.first?.pieces.map(\.worker) == [1])
        // A full disk is tried when the next one is due.
        let full = rig.handle(.checkpointFailed(completedSteps: 6, reason: "no space left."))
        #expect(full.log.contains { $0.contains("The next checkpoint comes when it is due.") })
    }
}

extension [CoordinatorMachine.Action] {
    fileprivate var orders: [CheckpointOrder] {
        compactMap { action in
            if case .beginCheckpoint(let order) = action { order } else { nil }
        }
    }
}
