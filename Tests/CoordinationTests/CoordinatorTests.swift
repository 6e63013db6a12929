import Coordination
import Reduction
import Testing

@Suite struct CoordinatorTests {
    // MARK: Joining

    @Test func workersThatDoNotFitAreRefusedWithTheReason() {
        let cases: [((inout Hello) -> Void, String)] = [
            ({ $0.protocolVersion = 2 }, "speaks protocol version 1, the worker 2"),
            ({ $0.programVersion = "0.9" }, "program version 1.0, the worker 0.9"),
            ({ $0.job = "other" }, "serves job other, this coordinator runs job job"),
            ({ $0.numericsProfiles = ["bf16-dot"] }, "numerics profile is fp32, the worker's machine honours bf16-dot"),
            ({ $0.datasetDigest = "else" }, "data set has digest data, the worker's else"),
            ({ $0.threads = 0 }, "at least one compute thread"),
            ({ $0.seat = Seat(worker: 1, fencing: 6, completedSteps: 3) }, "earlier coordinator"),
        ]
        for (change, reason) in cases {
            var rig = CoordinatorRig()
            _ = rig.handle(.start(resume: nil))
            var hello = CoordinatorRig.hello(0)
            change(&hello)
            #expect(rig.say(0, .hello(hello)).refusal?.contains(reason) == true)
        }
    }

    @Test func aWorkerTooManyIsRefused() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        #expect(rig.say(2, .hello(CoordinatorRig.hello(2))).refusal?.contains("has its 2 workers") == true)
    }

    /// One that comes before the run has begun waits until it has.
    @Test func aWorkerMoreThanExpectedJoinsLaterWhereTheMaximumAllowsIt() {
        var rig = CoordinatorRig(maximum: 3)
        _ = rig.handle(.start(resume: nil))
        for worker: UInt64 in 0..<3 { #expect(rig.say(worker, .hello(CoordinatorRig.hello(worker))).refusal == nil) }
        #expect(rig.say(3, .hello(CoordinatorRig.hello(3))).refusal?.contains("has its 3 workers") == true)
        _ = rig.say(2, .ready(CoordinatorRig.ready()))
        _ = rig.say(0, .ready(CoordinatorRig.ready()))
        // The first two begin without it.
        let begun = rig.say(1, .ready(CoordinatorRig.ready()))
        #expect(
            begun.contains {
                if case .journal(.membership(let membership, _, _)) = $0 {
                    membership.members.count == 2
                } else {
                    false
                }
            }
        )
    }

    @Test func aWrongDataSetIsRefusedWhenItIsKnown() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil))
        _ = rig.say(0, .hello(CoordinatorRig.hello(0)))
        var ready = CoordinatorRig.ready()
        ready.datasetDigest = "else"
        let actions = rig.say(0, .ready(ready))
        #expect(actions.refusal?.contains("data set has digest data") == true)
        // Its place is free again.
        #expect(rig.say(5, .hello(CoordinatorRig.hello(5))).refusal == nil)
    }

    @Test func aWorkerThatWasPutOutIsToldWhenItSpeaksAgain() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil))
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .hello(CoordinatorRig.hello(worker))) }
        let beat = Heartbeat(phase: .preparing, step: 0, progress: 1, inPhase: .zero)
        // Worker 1 is silent for too long while it prepares; another takes its place.
        let passed = rig.pass(.seconds(6), heartbeats: [0: beat])
        #expect(
            passed.contains { if case .evict(1, _, _, _) = $0 { true } else { false } }
        )
        #expect(rig.say(2, .hello(CoordinatorRig.hello(2))).refusal == nil)
        for body: WorkerMessage.Body in [.heartbeat(beat), .ready(CoordinatorRig.ready())] {
            #expect(rig.say(1, body).refusal?.contains("no sign of life for 5.") == true)
            // Of one that was never here no more is known.
            #expect(rig.say(9, body).refusal?.contains("no part of this run") == true)
        }
        // Members are not refused.
        #expect(rig.say(0, .heartbeat(beat)).refusal == nil)
    }

    @Test func aWorkerThatWasLostIsToldWhy() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        let beat = Heartbeat(phase: .computing, step: 1, progress: 1, inPhase: .zero)
        while !rig.handle(.tick, after: .milliseconds(250)).contains(where: {
            if case .evict(1, _, _, _) = $0 { true } else { false }
        }) {
            _ = rig.say(0, .heartbeat(beat))
            if rig.now > Instant(nanoseconds: 60_000_000_000) { break }
        }
        #expect(rig.say(1, .heartbeat(beat)).refusal?.contains("Worker 1 on host host1") == true)
    }

    @Test func theRunBeginsWhenAllAreReady() {
        var rig = CoordinatorRig()
        let bodies = rig.begin().broadcasts
        guard case .membership(let membership)? = bodies.first, case .assign(let assignment)? = bodies.last else {
            Issue.record("no membership and assignment: \(bodies)")
            return
        }
        #expect(membership.members.map(\.worker) == [0, 1])
        #expect(assignment.step == 0 && assignment.plan.tree.leafCount == 4)
        #expect(assignment.microbatches(of: 0) == [0, 1] && assignment.microbatches(of: 1) == [2, 3])
    }

    @Test func workersThatStartFromDifferentStatesAreNamed() {
        var rig = CoordinatorRig(workers: 3)
        _ = rig.handle(.start(resume: nil))
        for worker: UInt64 in 0..<3 { _ = rig.say(worker, .hello(CoordinatorRig.hello(worker))) }
        _ = rig.say(0, .ready(CoordinatorRig.ready(digest: 1)))
        _ = rig.say(1, .ready(CoordinatorRig.ready(digest: 2)))
        let outcome = rig.say(2, .ready(CoordinatorRig.ready(digest: 1))).outcome
        #expect(outcome?.kind == .diverged)
        #expect(outcome?.message.contains("worker 1 on host host1 differs from the other 2") == true)
    }

    @Test func missingWorkersEndTheWait() {
        var rig = CoordinatorRig(workers: 3)
        _ = rig.handle(.start(resume: nil))
        _ = rig.say(0, .hello(CoordinatorRig.hello(0)))
        let beat = Heartbeat(phase: .preparing, step: 0, progress: 0, inPhase: .zero)
        let actions = rig.pass(.seconds(61), heartbeats: [0: beat])
        #expect(actions.outcome?.kind == .notStarted)
        #expect(actions.outcome?.message.contains("2 of 3 workers to join") == true)
        // The wait is worth one line, not one for each tick.
        #expect(actions.log.filter { $0.hasPrefix("waiting for 2 of 3") }.count == 1)
    }

    @Test func aChildThatExitsBeforeItJoinsEndsTheRun() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil))
        let outcome = rig.handle(.processExited(incarnation: 55, processID: 77, .exited(78))).outcome
        #expect(outcome?.kind == .notStarted)
        #expect(outcome?.message.contains("process 77) exited with status 78 before the run began") == true)
    }

    // MARK: Steps

    @Test func aStepIsCommittedWhenAllAgree() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        #expect(rig.say(0, .reduced(CoordinatorRig.reduced(0))).broadcasts.isEmpty)
        let actions = rig.say(1, .reduced(CoordinatorRig.reduced(0)))
        guard case .commit(let commit)? = actions.broadcasts.first else {
            Issue.record("no commit: \(actions)")
            return
        }
        #expect(commit.step == 0 && commit.next?.step == 1 && commit.hyperparameters.learningRate == 0.1)
        // A second report, a stranger and an old step change nothing.
        #expect(rig.say(1, .reduced(CoordinatorRig.reduced(0))).broadcasts.isEmpty)
        #expect(rig.say(9, .reduced(CoordinatorRig.reduced(1))).isEmpty)
        #expect(rig.machine.ignoredMessages == 2)
        #expect(rig.machine.progress.completedSteps == 1)
    }

    @Test func sumsThatDifferEndTheRun() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        _ = rig.say(0, .reduced(CoordinatorRig.reduced(0, sums: 1)))
        let outcome = rig.say(1, .reduced(CoordinatorRig.reduced(0, sums: 2))).outcome
        #expect(outcome?.kind == .diverged)
        #expect(outcome?.message.contains("the sums of step 0") == true)
        #expect(outcome?.completedSteps == 0)
    }

    @Test func sumsThatAreNotFiniteStopOrSkip() {
        for policy in [NonFinitePolicy.stop, .skip] {
            var rig = CoordinatorRig(onNonFinite: policy)
            _ = rig.begin()
            let report = CoordinatorRig.reduced(0, nonFinite: "decoder.weight is NaN")
            _ = rig.say(0, .reduced(report))
            let actions = rig.say(1, .reduced(report))
            if policy == .stop {
                #expect(actions.outcome?.message.contains("decoder.weight is NaN") == true)
            } else if case .commit(let commit)? = actions.broadcasts.first {
                #expect(commit.hyperparameters.skipsUpdate)
            } else {
                Issue.record("the step was not skipped: \(actions)")
            }
        }
    }

    @Test func aReportFromTheFutureIsAViolation() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        let actions = rig.say(1, .reduced(CoordinatorRig.reduced(3)))
        #expect(actions.lost[1]?.contains("broke the protocol") == true)
        #expect(actions.outcome == nil && actions.assignment?.plan.members == [0])
    }

    // MARK: Faults

    @Test func aSilentWorkerIsNamedWithPhaseStepAndTime() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        _ = rig.say(1, .heartbeat(Heartbeat(phase: .computing, step: 0, progress: 1, inPhase: .zero)))
        let beat = Heartbeat(phase: .reducing, step: 0, progress: 1, inPhase: .zero)
        let actions = rig.pass(.seconds(6), heartbeats: [0: beat])
        let message = actions.lost[1] ?? ""
        #expect(message.hasPrefix("Worker 1 on host host1 (process 4001) was lost while computing at step 0, 5."))
        #expect(message.contains("no sign of life for 5."))
    }

    @Test func aWorkerThatStandsStillIsToldFromThoseThatWaitForIt() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        // Both are alive; worker 1 computes for ever, worker 0 waits for it in the reduction.
        let actions = rig.pass(
            .seconds(125),
            heartbeats: [
                0: Heartbeat(phase: .reducing, step: 0, progress: 5, inPhase: .zero),
                1: Heartbeat(phase: .computing, step: 0, progress: 3, inPhase: .zero),
            ]
        )
        let message = actions.lost[1] ?? ""
        #expect(message.hasPrefix("Worker 1 on host host1 (process 4001) stands still while computing at step 0"))
        #expect(actions.log.contains { $0.hasPrefix("waiting for worker 1 on host host1, computing at step 0") })
    }

    @Test func progressPutsTheDeadlineOff() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        for round in 0..<4 {
            let actions = rig.pass(
                .seconds(100),
                heartbeats: [
                    0: Heartbeat(phase: .reducing, step: 0, progress: 5, inPhase: .zero),
                    1: Heartbeat(phase: .computing, step: 0, progress: UInt64(round), inPhase: .zero),
                ]
            )
            #expect(actions.outcome == nil)
        }
    }

    @Test func progressWhilePreparingPutsTheDeadlineOff() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil))
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .hello(CoordinatorRig.hello(worker))) }
        _ = rig.say(0, .ready(CoordinatorRig.ready()))
        let waiting = Heartbeat(phase: .waiting, step: 0, progress: 0, inPhase: .zero)
        for piece in 1..<5 {
            let beat = Heartbeat(phase: .preparing, step: 0, progress: UInt64(piece), inPhase: .zero)
            #expect(rig.pass(.seconds(100), heartbeats: [0: waiting, 1: beat]).outcome == nil)
        }
        let beat = Heartbeat(phase: .preparing, step: 0, progress: 4, inPhase: .zero)
        // The others begin without the one that stands still; it may still come.
        let actions = rig.pass(.seconds(40), heartbeats: [0: waiting, 1: beat])
        #expect(actions.outcome == nil, "\(String(describing: actions.outcome)) \(actions.log)")
        #expect(actions.assignment?.plan.members == [0])
        #expect(actions.log.contains { $0.contains("worker 1 on host host1") && $0.contains("begins with 1 workers") })
    }

    @Test func twoThatAccuseEachOtherEndByAFixedRule() {
        for order in [[0, 1], [1, 0]] as [[UInt64]] {
            var rig = CoordinatorRig()
            _ = rig.begin()
            for worker in order {
                let report = FailureReport(
                    step: 0,
                    phase: .reducing,
                    message: "no answer.",
                    suspect: WorkerNumber(1 - worker)
                )
                #expect(rig.say(worker, .failure(report)).outcome == nil)
            }
            let lost = rig.handle(.tick, after: .milliseconds(301)).lost
            #expect(lost.count == 1)
            #expect(lost[1]?.contains("worker 0 cannot reach it: no answer.") == true)
        }
    }

    @Test func theExitOfTheProcessIsBetterEvidenceThanAnAccusation() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        let report = FailureReport(step: 0, phase: .reducing, message: "no answer.", suspect: 1)
        #expect(rig.say(0, .failure(report)).lost.isEmpty)
        let actions = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(11)))
        #expect(actions.lost[1]?.contains("was killed by signal 11 (SIGSEGV)") == true)
    }

    @Test func aWorkerThatLeavesDrainsARunThatNeedsIt() {
        var rig = CoordinatorRig(minimum: 2)
        _ = rig.begin()
        #expect(rig.say(1, .leaving(reason: "SIGTERM")).outcome == nil)
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        let digest = Digest(high: 4, low: 4)
        _ = rig.say(0, .applied(completedSteps: 1, stateDigest: digest))
        let actions = rig.say(1, .applied(completedSteps: 1, stateDigest: digest))
        #expect(
            actions.contains {
                if case .beginCheckpoint(let order) = $0 { order.reason == .end } else { false }
            }
        )
        let outcome = rig.handle(.checkpointDurable(completedSteps: 1)).outcome
        #expect(outcome?.kind == .drained && outcome?.savedSteps == 1)
        #expect(outcome?.message.contains("worker 1 on host host1 asked to leave: SIGTERM") == true)
    }

    // MARK: Recovery

    @Test func aLostWorkersLeavesAreSharedAndNothingElseIsDoneAgain() {
        var rig = CoordinatorRig(workers: 3)
        _ = rig.begin(workers: 3)
        _ = rig.say(0, .reduced(CoordinatorRig.reduced(0)))
        let actions = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
        guard let again = actions.assignment else {
            Issue.record("the step was not begun anew: \(actions)")
            return
        }
        #expect(again.step == 0 && again.generation == 1 && again.plan.members == [0, 2] && again.plan.defect == nil)
        #expect(again.microbatches(of: 0).starts(with: [0]) && again.microbatches(of: 2).contains(2))
        // A late report of the first attempt counts for nothing.
        #expect(rig.say(2, .reduced(CoordinatorRig.reduced(0))).broadcasts.isEmpty)
        for worker: UInt64 in [0, 2] { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0, generation: 1))) }
        #expect(rig.machine.progress.completedSteps == 1)
    }

    @Test func aWorkerJoinsBetweenTwoSteps() {
        var rig = CoordinatorRig(workers: 2)
        _ = rig.begin()
        _ = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
        let welcome = rig.say(2, .hello(CoordinatorRig.hello(2)))
        #expect(welcome.refusal == nil && welcome.broadcasts.isEmpty)
        _ = rig.say(2, .ready(CoordinatorRig.ready()))
        let digest = Digest(high: 4, low: 4)
        _ = rig.say(0, .reduced(CoordinatorRig.reduced(0, generation: 1)))
        // Nothing follows the commit: all stand still for the joiner, whose state comes from a checkpoint.
        let settled = rig.say(0, .applied(completedSteps: 1, stateDigest: digest))
        #expect(settled.contains { if case .beginCheckpoint(let order) = $0 { order.reason == .join } else { false } })
        let saved = rig.handle(.checkpointDurable(completedSteps: 1, file: "step-1.h5"))
        let sources = saved.compactMap { action -> ResumeSource? in
            guard case .send(PeerID(2), let message) = action, case .welcome(let welcome) = message.body else {
                return nil
            }
            return welcome.resume
        }
        #expect(sources.map(\.file) == ["step-1.h5"] && sources.map(\.completedSteps) == [1])
        var ready = CoordinatorRig.ready(1)
        ready.stateDigest = digest
        let joined = rig.say(2, .ready(ready))
        #expect(joined.assignment?.step == 1 && joined.assignment?.plan.members == [0, 2])
    }

    @Test func aJoinerWithAnotherStateIsTurnedDown() {
        var rig = CoordinatorRig(workers: 2)
        _ = rig.begin()
        _ = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
        _ = rig.say(2, .hello(CoordinatorRig.hello(2)))
        _ = rig.say(2, .ready(CoordinatorRig.ready()))
        _ = rig.say(0, .reduced(CoordinatorRig.reduced(0, generation: 1)))
        _ = rig.say(0, .applied(completedSteps: 1, stateDigest: Digest(high: 4, low: 4)))
        _ = rig.handle(.checkpointDurable(completedSteps: 1, file: "step-1.h5"))
        let actions = rig.say(2, .ready(CoordinatorRig.ready(1)))
        #expect(actions.refusal?.contains("not that of the others") == true)
        // The run goes on without it.
        #expect(actions.assignment?.plan.members == [0])
    }

    @Test func belowItsMinimumARunSavesItsStateAndWaits() {
        var rig = CoordinatorRig(workers: 2, minimum: 2)
        _ = rig.begin()
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        let lost = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
        #expect(lost.assignment == nil)
        #expect(lost.log.contains { $0.contains("paused at step 1: 1 of at least 2 workers are left; waits 60.0 s") })
        let applied = rig.say(0, .applied(completedSteps: 1, stateDigest: nil))
        #expect(applied.contains { if case .beginCheckpoint(let order) = $0 { order.reason == .pause } else { false } })
        _ = rig.handle(.checkpointDurable(completedSteps: 1, file: "step-1.h5"))
        let beat = Heartbeat(phase: .waiting, step: 1, progress: 1, inPhase: .zero)
        let outcome = rig.pass(.seconds(61), heartbeats: [0: beat]).outcome
        #expect(outcome?.kind == .workerLost && outcome?.savedSteps == 1)
        #expect(outcome?.message.contains("1 more workers to join (1 of at least 2 are here)") == true)
    }

    /// A joiner that takes longer to load than the pause lasts, and fails.
    @Test func aPauseThatIsOverWhenAJoinerFailsEndsAtTheNextTick() {
        var rig = CoordinatorRig(workers: 2, minimum: 2)
        _ = rig.begin()
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .applied(completedSteps: 1, stateDigest: nil)) }
        _ = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
        _ = rig.say(2, .hello(CoordinatorRig.hello(2)))
        _ = rig.say(2, .ready(CoordinatorRig.ready()))
        _ = rig.handle(.checkpointDurable(completedSteps: 1, file: "step-1.h5"))
        let loading = Heartbeat(phase: .preparing, step: 1, progress: 1, inPhase: .zero)
        let waiting = Heartbeat(phase: .waiting, step: 1, progress: 1, inPhase: .zero)
        let waited = rig.pass(.seconds(100), heartbeats: [0: waiting, 2: loading])
        #expect(waited.outcome == nil && rig.machine.wait?.sentence.contains("to load the state") == true)
        _ = rig.handle(.processExited(incarnation: 102, processID: 4002, .signal(9)))
        #expect(rig.machine.wait.map { $0.deadline > rig.now } == true)
        let ended = rig.pass(.seconds(1), heartbeats: [0: waiting])
        #expect(ended.outcome?.kind == .workerLost && ended.outcome?.savedSteps == 1)
    }

    @Test func aMinorityWithOtherSumsIsPutOutAndTheStepBeginsAnew() {
        var rig = CoordinatorRig(workers: 3)
        _ = rig.begin(workers: 3)
        _ = rig.say(0, .reduced(CoordinatorRig.reduced(0)))
        _ = rig.say(1, .reduced(CoordinatorRig.reduced(0, sums: 8)))
        let actions = rig.say(2, .reduced(CoordinatorRig.reduced(0)))
        #expect(actions.outcome == nil && actions.lost[1]?.contains("the sums of step 0") == true)
        #expect(actions.assignment?.generation == 1 && actions.assignment?.plan.members == [0, 2])
    }

    @Test func aWorkerThatLeavesIsLetGoBetweenTwoSteps() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        #expect(rig.say(1, .leaving(reason: "SIGTERM")).outcome == nil)
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        let digest = Digest(high: 4, low: 4)
        _ = rig.say(0, .applied(completedSteps: 1, stateDigest: digest))
        let actions = rig.say(1, .applied(completedSteps: 1, stateDigest: digest))
        #expect(
            actions.contains {
                guard case .send(PeerID(1), let message) = $0, case .finish(let finish) = message.body else {
                    return false
                }
                return finish.kind == .drained && finish.message.contains("left the run at step 1")
            }
        )
        #expect(actions.outcome == nil && actions.assignment?.plan.members == [0])
    }

    @Test func onlyASecondRequestToTheCoordinatorItselfStopsAtOnce() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        #expect(rig.say(1, .leaving(reason: "SIGTERM")).outcome == nil)
        // The same signal, sent to all: the coordinator's own is its first, and its echo is no second.
        #expect(rig.handle(.drainRequested(reason: "SIGTERM")).outcome == nil)
        #expect(rig.say(0, .leaving(reason: "SIGTERM")).outcome == nil)
        #expect(rig.handle(.drainRequested(reason: "SIGTERM"), after: .milliseconds(2)).outcome == nil)
        #expect(rig.handle(.drainRequested(reason: "SIGTERM"), after: .milliseconds(900)).outcome == nil)
        let outcome = rig.handle(.drainRequested(reason: "Ctrl-C"), after: .milliseconds(98)).outcome
        #expect(outcome?.kind == .stopped)
        #expect(outcome?.message.contains("for the second time: Ctrl-C") == true)
    }

    @Test func theLogOfAWorkerThatNeverJoinedIsNamed() {
        var rig = CoordinatorRig()
        _ = rig.handle(.start(resume: nil))
        let note = "Its log is logs/worker-0.log; it ends: pleura: no such CPU."
        let outcome = rig.handle(.processExited(incarnation: 55, processID: 77, .exited(78), note: note)).outcome
        #expect(outcome?.message.contains("before the run began. \(note)") == true)
    }

    @Test func aDrainWhileTheBestStateWaitsSavesIt() {
        var rig = CoordinatorRig(
            validation: ValidationSchedule(interval: .steps(2), sampleCount: 1, countsPerSample: 1),
            checkpoints: CheckpointPolicy(everySteps: 1, best: 1)
        )
        _ = rig.begin()
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        // The checkpoint of step 1 is in flight while step 2 is done and validated.
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(1))) }
        let digest = Digest(high: 4, low: 4)
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .applied(completedSteps: 2, stateDigest: digest)) }
        let held = rig.say(0, .validated(ValidationResult(round: 1, samples: 0..<1, counts: [7])))
        #expect(!held.contains { if case .beginCheckpoint = $0 { true } else { false } })
        #expect(held.broadcasts.isEmpty)
        _ = rig.handle(.drainRequested(reason: "Ctrl-C"))
        let begun = rig.handle(.checkpointDurable(completedSteps: 1))
        #expect(
            begun.contains {
                if case .beginCheckpoint(let order) = $0 { order.completedSteps == 2 && order.isBest } else { false }
            }
        )
        #expect(rig.handle(.checkpointDurable(completedSteps: 2)).outcome?.kind == .drained)
    }

    @Test func theBestAreRankedAndOfEqualOnesTheEarlierIsAhead() {
        var progress = RunProgress.fresh(scheduleState: [])
        var places: [Int?] = []
        for score in [0.5, 0.7, 0.7, .nan, 0.6, 0.7, 0.9] {
            progress.completedSteps += 10
            let score = ValidationScore(score: score, metrics: [])
            places.append(progress.conclude(score, policy: CoordinatorRig.Policy(), patience: nil, keeping: 3))
        }
        #expect(places == [0, 0, 1, nil, 2, 2, 0])
        #expect(progress.ranking.map(\.completedSteps) == [70, 20, 30])
        #expect(progress.best?.score == 0.9 && progress.isAtBest)
        // With none kept the best one is known all the same.
        var alone = RunProgress.fresh(scheduleState: [])
        let score = ValidationScore(score: 1, metrics: [])
        #expect(alone.conclude(score, policy: CoordinatorRig.Policy(), patience: nil, keeping: 0) == 0)
        #expect(alone.best?.score == 1)
    }

    @Test func aPauseOfTheClockDoesNotRunBackwards() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        let beat = Heartbeat(phase: .computing, step: 0, progress: 1, inPhase: .zero)
        _ = rig.pass(.seconds(3), heartbeats: [0: beat, 1: beat])
        rig.now = Instant(nanoseconds: 0)
        let actions = rig.pass(.seconds(2), heartbeats: [0: beat, 1: beat])
        #expect(actions.outcome == nil)
    }

    @Test func aPausedCoordinatorDoesNotBlameItsWorkers() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        let beat = Heartbeat(phase: .computing, step: 0, progress: 1, inPhase: .zero)
        _ = rig.pass(.seconds(1), heartbeats: [0: beat, 1: beat])
        // The machine was suspended for a minute; the heartbeats lie unread in the socket.
        let woken = rig.handle(.tick, after: .seconds(60))
        #expect(woken.outcome == nil)
        #expect(woken.log.contains("the coordinator itself stood still for 59.8 s"))
        #expect(rig.pass(.seconds(3), heartbeats: [0: beat, 1: beat]).outcome == nil)
        // A worker that stays silent is found all the same.
        #expect(rig.pass(.seconds(8), heartbeats: [0: beat]).lost.keys.sorted() == [1])
    }

    /// Heartbeats that are read before the timer fires must not look younger than they are.
    @Test func aCoordinatorThatWasPausedForLongFindsASilentWorkerAsSoonAsEver() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        let beat = Heartbeat(phase: .computing, step: 0, progress: 1, inPhase: .zero)
        _ = rig.pass(.seconds(1), heartbeats: [0: beat, 1: beat])
        rig.now = rig.now + .seconds(3600)
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .heartbeat(beat)) }
        #expect(rig.handle(.tick).outcome == nil)
        #expect(rig.pass(.seconds(8), heartbeats: [0: beat]).lost.keys.sorted() == [1])
    }

    /// What is said twice counts once, however late the second one comes.
    @Test func messagesThatComeTwiceChangeNothing() {
        var rig = CoordinatorRig(
            validation: ValidationSchedule(
                interval: .steps(2),
                sampleCount: 4,
                countsPerSample: 1,
                samplesPerRequest: 1
            ),
            checkpoints: CheckpointPolicy(everySteps: 1)
        )
        _ = rig.begin()
        let digest = Digest(high: 4, low: 4)
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(0))) }
        let share = CheckpointShare(part: 0, parts: 2)
        func piece(_ failure: String?) -> WorkerMessage.Body {
            .checkpointPiece(CheckpointPiece(completedSteps: 1, share: share, byteCount: 1, failure: failure))
        }
        _ = rig.say(0, piece(nil))
        let doubled = rig.say(0, piece("its state stands at step 2."))
        #expect(!doubled.contains { if case .abandonCheckpoint = $0 { true } else { false } })
        for worker: UInt64 in 0..<2 { _ = rig.say(worker, .reduced(CoordinatorRig.reduced(1))) }
        // The digest of step 2 is taken; that of step 1, said again, takes nothing away from it.
        _ = rig.say(0, .applied(completedSteps: 2, stateDigest: digest))
        _ = rig.say(0, .applied(completedSteps: 1, stateDigest: nil))
        let settled = rig.say(1, .applied(completedSteps: 2, stateDigest: digest))
        #expect(settled.lost.isEmpty)
        #expect(
            settled.contains {
                if case .send(_, let message) = $0, case .validate = message.body { true } else { false }
            }
        )
        let result = ValidationResult(round: 1, samples: 0..<1, counts: [7])
        #expect(rig.say(0, .validated(result)).lost.isEmpty)
        #expect(rig.say(0, .validated(result)).lost.isEmpty)
        // Counts of another number are wrong all the same.
        let wrong = ValidationResult(round: 1, samples: 1..<2, counts: [7, 8])
        #expect(rig.say(1, .validated(wrong)).lost.keys.sorted() == [1])
    }

    @Test func aJoinersReadyThatComesTwiceIsNoOtherState() {
        var rig = CoordinatorRig(workers: 2)
        _ = rig.begin()
        _ = rig.handle(.processExited(incarnation: 101, processID: 4001, .signal(9)))
        _ = rig.say(2, .hello(CoordinatorRig.hello(2)))
        _ = rig.say(2, .ready(CoordinatorRig.ready()))
        let digest = Digest(high: 4, low: 4)
        _ = rig.say(0, .reduced(CoordinatorRig.reduced(0, generation: 1)))
        _ = rig.say(0, .applied(completedSteps: 1, stateDigest: digest))
        _ = rig.handle(.checkpointDurable(completedSteps: 1, file: "step-1.h5"))
        #expect(rig.say(2, .ready(CoordinatorRig.ready())).refusal == nil)
        var ready = CoordinatorRig.ready(1)
        ready.stateDigest = digest
        #expect(rig.say(2, .ready(ready)).assignment?.plan.members == [0, 2])
    }

    @Test func nothingHappensAfterTheEnd() {
        var rig = CoordinatorRig()
        _ = rig.begin()
        #expect(rig.handle(.stopRequested(reason: "test")).outcome?.kind == .stopped)
        #expect(rig.handle(.tick).isEmpty)
        #expect(rig.say(0, .reduced(CoordinatorRig.reduced(0))).isEmpty)
    }
}
