import Coordination
import Testing

/// A run with fewer workers than its minimum computes no steps; it ends in order all the same where none is left to compute.
@Suite struct EndBelowMinimumTests {
    private static let digest = Digest(high: 4, low: 4)
    private static let waiting = Heartbeat(phase: .waiting, step: 1, progress: 1, inPhase: .zero)

    /// Both workers apply step 0; worker 0 first.
    private static func applyFirstStep(_ rig: inout CoordinatorRig) -> [CoordinatorMachine.Action] {
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        var actions: [CoordinatorMachine.Action] = []
        for worker: UInt64 in 0..<2 { actions += rig.say(worker, .applied(completedSteps: 1, stateDigest: digest)) }
        return actions
    }

    private static func loseWorker1(_ rig: inout CoordinatorRig) -> [CoordinatorMachine.Action] {
        rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
    }

    @Test func theLastValidationTakesWhoIsLeft() {
        var rig = CoordinatorRig(
            minimum: 2,
            validation: ValidationSchedule(
                interval: .steps(5),
                sampleCount: 4,
                countsPerSample: 1,
                samplesPerRequest: 1
            ),
            steps: 1
        )
        _ = rig.begin()
        var actions = Self.applyFirstStep(&rig) + Self.loseWorker1(&rig)
        #expect(!actions.log.contains { $0.contains("paused") }, "\(actions.log)")
        var requests = actions.requests(of: PeerID(0))
        var answered = 0
        while !requests.isEmpty, answered < 10 {
            let request = requests.removeFirst()
            answered += 1
            let result = ValidationResult(round: request.round, samples: request.samples, counts: [3])
            actions = rig.say(0, .validated(result))
            requests += actions.requests(of: PeerID(0))
        }
        #expect(answered == 4)
        #expect(actions.contains { if case .beginCheckpoint(let order) = $0 { order.reason == .end } else { false } })
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .completed)
    }

    /// The disk takes longer for the last checkpoint than a pause lasts.
    @Test func aSlowLastCheckpointIsWaitedForAsLongAsItGetsOn() throws {
        var rig = CoordinatorRig(minimum: 2, steps: 1)
        _ = rig.begin()
        for piece in Self.applyFirstStep(&rig).pieces {
            let handedOver = CheckpointPiece(completedSteps: 1, share: piece.share, byteCount: 1, failure: nil)
            _ = rig.say(UInt64(piece.worker), .checkpointPiece(handedOver))
        }
        let lost = Self.loseWorker1(&rig)
        #expect(lost.outcome == nil && !lost.log.contains { $0.contains("paused") }, "\(lost.log)")
        #expect(rig.pass(.seconds(100), heartbeats: [0: Self.waiting]).outcome == nil)
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .completed)
    }

    /// One that asks to leave when no step is left to compute needs nobody in its place.
    @Test func whoeverLeavesBeforeTheLastValidationEndsNothing() {
        var rig = CoordinatorRig(
            minimum: 2,
            validation: ValidationSchedule(
                interval: .steps(5),
                sampleCount: 1,
                countsPerSample: 1,
                samplesPerRequest: 1
            ),
            steps: 1
        )
        _ = rig.begin()
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        _ = rig.say(1, .leaving(reason: "SIGTERM"))
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .applied(completedSteps: 1, stateDigest: Self.digest)) }
        _ = rig.say(0, .validated(ValidationResult(round: 1, samples: 0..<1, counts: [3])))
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .completed)
    }

    // MARK: Drains

    @Test func aDrainThatLosesAWorkerWaitsForNoOther() {
        var rig = CoordinatorRig(minimum: 2)
        _ = rig.begin()
        _ = Self.applyFirstStep(&rig)
        _ = rig.handle(.drainRequested(reason: "SIGTERM"))
        let lost = Self.loseWorker1(&rig)
        // The step in flight is given up: too few are left to compute it.
        #expect(lost.broadcasts.contains { if case .abandon(1, _, _) = $0 { true } else { false } })
        #expect(!lost.log.contains { $0.contains("paused") }, "\(lost.log)")
        #expect(lost.orders.map(\.reason) == [.end])
        // It is tried again, as every last checkpoint is.
        for _ in 0..<3 {
            let failed = rig.handle(.checkpointFailed(completedSteps: 1, reason: "the disk is busy."))
            #expect(failed.outcome == nil && failed.log.contains { $0.contains("This is the last checkpoint") })
            #expect(!rig.pass(.seconds(6), heartbeats: [0: Self.waiting]).orders.isEmpty)
        }
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .drained)
    }

    @Test func aDrainEndsAPauseWithItsStateSaved() {
        var rig = CoordinatorRig(minimum: 2)
        _ = rig.begin()
        _ = Self.applyFirstStep(&rig)
        #expect(Self.loseWorker1(&rig).log.contains { $0.contains("paused at step 1") })
        _ = rig.handle(.checkpointFailed(completedSteps: 1, reason: "the disk is busy."))
        #expect(rig.handle(.drainRequested(reason: "SIGTERM")).outcome == nil)
        let saving = rig.pass(.seconds(2), heartbeats: [0: Self.waiting])
        #expect(saving.orders.map(\.reason) == [.end] && saving.outcome == nil)
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome?.kind == .drained)
    }

    // MARK: Pauses

    /// With steps left to compute a pause ends; but no wait begins after its deadline.
    @Test func aPauseThatIsOverWhenItsCheckpointIsSavedEndsAtTheNextTick() {
        var rig = CoordinatorRig(minimum: 2)
        _ = rig.begin()
        _ = Self.applyFirstStep(&rig)
        for piece in Self.loseWorker1(&rig).pieces {
            let handedOver = CheckpointPiece(completedSteps: 1, share: piece.share, byteCount: 1, failure: nil)
            _ = rig.say(UInt64(piece.worker), .checkpointPiece(handedOver))
        }
        #expect(rig.pass(.seconds(100), heartbeats: [0: Self.waiting]).outcome == nil)
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome == nil)
        #expect(rig.machine.wait.map { $0.deadline > rig.now } == true)
        let ended = rig.pass(.seconds(1), heartbeats: [0: Self.waiting])
        #expect(ended.outcome?.kind == .workerLost && ended.outcome?.savedSteps == 1)
    }

    /// A state that could not be saved in a pause is tried once more before the run ends with it lost.
    @Test func aPauseDoesNotEndBeforeItsCheckpointIsTriedAgain() {
        var rig = CoordinatorRig(minimum: 2)
        _ = rig.begin()
        _ = Self.applyFirstStep(&rig)
        _ = Self.loseWorker1(&rig)
        _ = rig.pass(.milliseconds(59_500), heartbeats: [0: Self.waiting])
        let failed = rig.handle(.checkpointFailed(completedSteps: 1, reason: "the disk is busy."))
        #expect(failed.outcome == nil)
        let again = rig.pass(.seconds(3), heartbeats: [0: Self.waiting])
        #expect(again.outcome == nil && again.orders.map(\.reason) == [.pause], "\(again.log)")
        #expect(rig.handle(.checkpointDurable(completedSteps: 1)).outcome == nil)
        let ended = rig.pass(.seconds(60), heartbeats: [0: Self.waiting])
        #expect(ended.outcome?.kind == .workerLost && ended.outcome?.savedSteps == 1)
    }
}

extension [CoordinatorMachine.Action] {
    fileprivate var orders: [CheckpointOrder] {
        compactMap { action in
            if case .beginCheckpoint(let order) = action { order } else { nil }
        }
    }

    fileprivate func requests(of peer: PeerID) -> [ValidationRequest] {
        compactMap { action in
            if case .send(peer, let message) = action, case .validate(let request) = message.body {
                request
            } else {
                nil
            }
        }
    }

    fileprivate var pieces: [CheckpointOrder.Piece] { orders.flatMap(\.pieces) }
}
