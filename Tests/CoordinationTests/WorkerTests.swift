import Coordination
import Testing

@Suite struct WorkerTests {
    /// A worker machine, given messages by hand.
    private struct Rig {
        var machine = WorkerMachine(
            configuration: WorkerConfiguration(
                protocolVersion: 1,
                programVersion: "1.0",
                hostName: "here",
                hostIdentity: "b",
                processID: 12,
                threads: 2,
                numericsProfiles: ["fp32"],
                job: nil,
                incarnation: 99,
                endpoints: [],
                datasetDigest: nil,
                coordinator: "tcp://there:1"
            )
        )
        var now = Instant(nanoseconds: 0)

        mutating func handle(
            _ event: WorkerMachine.Event,
            after delay: Duration = .milliseconds(1)
        ) -> [WorkerMachine.Action] {
            now = now + delay
            return machine.handle(event, at: now)
        }

        mutating func hear(_ body: CoordinatorMessage.Body, fencing: UInt64 = 5) -> [WorkerMachine.Action] {
            handle(.message(CoordinatorMessage(fencing: fencing, body: body)))
        }

        static let members = [1, 2].map {
            Member(
                worker: $0,
                hostName: "h\($0)",
                hostIdentity: "b",
                threads: 2,
                endpoints: []
            )
        }

        static func assignment(_ step: UInt64, generation: UInt32 = 0, members: [Member] = members) -> Assignment {
            Assignment(
                plan: WorkSplit.plan(step: step, generation: generation, leafCount: 4, members: members),
                membership: 1,
                wantsStateDigest: false
            )
        }

        static func report(_ step: UInt64, generation: UInt32 = 0) -> ReducedReport {
            ReducedReport(
                step: step,
                generation: generation,
                sumsDigest: Digest(high: 1, low: 1),
                stateDigest: nil,
                losses: [],
                gradientNorm: 0,
                nonFinite: nil,
                timings: StepTimings()
            )
        }

        /// Brings the worker to the beginning of step 0, as worker 2.
        mutating func begin() -> [WorkerMachine.Action] {
            _ = handle(.started)
            _ = hear(
                .welcome(
                    Welcome(
                        job: "j",
                        worker: 2,
                        configuration: "",
                        datasetDigest: "d",
                        numericsProfile: "fp32",
                        resume: nil,
                        timing: CoordinatorTiming().forWorkers
                    )
                )
            )
            _ = handle(
                .prepared(
                    Ready(
                        completedSteps: 0,
                        stateDigest: Digest(high: 0, low: 0),
                        datasetDigest: "d",
                        networkDigest: "n"
                    )
                )
            )
            _ = hear(.membership(Membership(version: 1, members: Self.members)))
            return hear(.assign(Self.assignment(0)))
        }

        mutating func commit(_ step: UInt64, next: Assignment? = nil) -> [WorkerMachine.Action] {
            hear(
                .commit(
                    Commit(
                        step: step,
                        hyperparameters: StepHyperparameters(learningRate: 1),
                        wantsStateDigest: false,
                        next: next
                    )
                )
            )
        }
    }

    private func begun(_ actions: [WorkerMachine.Action]) -> StepWork? {
        for case .beginStep(let work) in actions { return work }
        return nil
    }

    private func sent(_ actions: [WorkerMachine.Action]) -> [WorkerMessage.Body] {
        actions.compactMap { if case .send(let message) = $0 { message.body } else { nil } }
    }

    private func exit(_ actions: [WorkerMachine.Action]) -> WorkerOutcome? {
        for case .exit(let outcome) in actions { return outcome }
        return nil
    }

    /// SIGTERM and SIGHUP from a service manager, or one signal twice, ask once.
    @Test func onlyALaterSecondRequestEndsAWorkerAtOnce() {
        var rig = Rig()
        _ = rig.begin()
        #expect(sent(rig.handle(.leaveRequested(reason: "SIGTERM"))) == [.leaving(reason: "SIGTERM")])
        let echo = rig.handle(.leaveRequested(reason: "SIGHUP"), after: .milliseconds(10))
        #expect(exit(echo) == nil && sent(echo).isEmpty)
        #expect(exit(rig.handle(.leaveRequested(reason: "SIGTERM"), after: .milliseconds(990)))?.kind == .left)
    }

    @Test func aStepFromAssignmentToTheNext() throws {
        var rig = Rig()
        let work = try #require(begun(rig.begin()))
        #expect(work.microbatches == [2, 3] && work.worker == 2)
        #expect(rig.machine.phase == .computing)
        for index in work.microbatches {
            _ = rig.handle(.microbatchComputed(step: 0, generation: 0, index: index))
        }
        #expect(rig.machine.phase == .reducing)
        #expect(sent(rig.handle(.reduced(Rig.report(0)))) == [.reduced(Rig.report(0))])
        let applying = rig.commit(0, next: Rig.assignment(1))
        #expect(applying.contains { if case .apply(step: 0, _, _) = $0 { true } else { false } })
        // The next step begins only at the state it stands on.
        #expect(begun(applying) == nil)
        let applied = rig.handle(.applied(completedSteps: 1, stateDigest: nil))
        #expect(begun(applied)?.assignment.step == 1)
        #expect(sent(applied) == [.applied(completedSteps: 1, stateDigest: nil)])
    }

    @Test func aSnapshotIsTakenOfItsStepAndNoOther() {
        var rig = Rig()
        _ = rig.begin()
        _ = rig.handle(.reduced(Rig.report(0)))
        _ = rig.commit(0, next: Rig.assignment(1))
        let request = CheckpointRequest(completedSteps: 1, share: CheckpointShare(part: 0, parts: 1))
        #expect(!rig.hear(.checkpoint(request)).contains(.streamSnapshot(request)))
        let applied = rig.handle(.applied(completedSteps: 1, stateDigest: nil))
        #expect(applied.contains(.streamSnapshot(request)))
        // Before the next step begins, so that nothing has changed.
        let snapshot = applied.firstIndex(of: .streamSnapshot(request)) ?? 0
        let begin = applied.firstIndex { if case .beginStep = $0 { true } else { false } } ?? 0
        #expect(snapshot < begin)
        let late = CheckpointRequest(completedSteps: 0, share: CheckpointShare(part: 0, parts: 1))
        guard case .checkpointPiece(let piece)? = sent(rig.hear(.checkpoint(late))).first else {
            Issue.record("no piece")
            return
        }
        #expect(piece.failure != nil)
    }

    @Test func aHigherGenerationReplacesTheAttempt() {
        var rig = Rig()
        _ = rig.begin()
        let actions = rig.hear(.assign(Rig.assignment(0, generation: 1)))
        #expect(actions.contains(.abandonStep(step: 0, generation: 0)))
        #expect(begun(actions)?.assignment.generation == 1)
        // What is still reported of the old one counts no more; the same one again is ignored.
        #expect(sent(rig.handle(.reduced(Rig.report(0)))).isEmpty)
        #expect(begun(rig.hear(.assign(Rig.assignment(0, generation: 1)))) == nil)
        #expect(begun(rig.hear(.assign(Rig.assignment(0, generation: 0)))) == nil)
        #expect(sent(rig.handle(.reduced(Rig.report(0, generation: 1)))).count == 1)
    }

    @Test func onlyTheHighestIncarnationIsObeyed() {
        var rig = Rig()
        _ = rig.begin()
        _ = rig.hear(.heartbeat, fencing: 6)
        let old = rig.hear(.finish(Finish(kind: .stopped, message: "old")), fencing: 5)
        #expect(exit(old) == nil)
        #expect(rig.machine.ignoredMessages == 1)
        let new = rig.hear(.finish(Finish(kind: .drained, message: "new")), fencing: 6)
        #expect(exit(new) == WorkerOutcome(kind: .finished(.drained), message: "new"))
    }

    /// What is said twice is done once, however late the second one comes.
    @Test func messagesThatComeTwiceChangeNothing() {
        var rig = Rig()
        _ = rig.begin()
        _ = rig.handle(.reduced(Rig.report(0)))
        _ = rig.commit(0)
        _ = rig.handle(.applied(completedSteps: 1, stateDigest: nil))
        let validation = ValidationRequest(round: 1, completedSteps: 1, samples: 0..<2)
        #expect(rig.hear(.validate(validation)).contains(.validate(validation)))
        _ = rig.handle(.validated(ValidationResult(round: 1, samples: 0..<2, counts: [1, 2])))
        let request = CheckpointRequest(completedSteps: 1, share: CheckpointShare(part: 0, parts: 1))
        #expect(rig.hear(.checkpoint(request)).contains(.streamSnapshot(request)))
        #expect(begun(rig.hear(.assign(Rig.assignment(1)))) != nil)
        #expect(rig.hear(.assign(Rig.assignment(1))).isEmpty)
        #expect(rig.hear(.validate(validation)).isEmpty)
        #expect(rig.commit(0).isEmpty)
        _ = rig.handle(.reduced(Rig.report(1)))
        #expect(rig.hear(.validate(validation)).isEmpty)
        #expect(rig.hear(.assign(Rig.assignment(1))).isEmpty)
        _ = rig.commit(1, next: Rig.assignment(2))
        _ = rig.handle(.applied(completedSteps: 2, stateDigest: nil))
        // A request for a state that is past would be refused, and the refusal would spoil the checkpoint.
        #expect(rig.hear(.checkpoint(request)).isEmpty)
        #expect(rig.hear(.validate(validation)).isEmpty)
        #expect(rig.machine.completedSteps == 2 && rig.machine.phase == .computing)
    }

    @Test func aStateIsLoadedOnceWhenItsWelcomeComesTwice() {
        var rig = Rig()
        _ = rig.handle(.started)
        func welcome(_ steps: UInt64?) -> CoordinatorMessage.Body {
            .welcome(
                Welcome(
                    job: "j",
                    worker: 2,
                    configuration: "",
                    datasetDigest: "d",
                    numericsProfile: "fp32",
                    resume: steps.map { ResumeSource(completedSteps: $0, file: "step-\($0).h5", folder: "") },
                    timing: CoordinatorTiming().forWorkers
                )
            )
        }
        func isRestoring(_ actions: [WorkerMachine.Action]) -> Bool {
            actions.contains { if case .restore = $0 { true } else { false } }
        }
        func ready(_ steps: UInt64) -> WorkerMachine.Event {
            .prepared(
                Ready(
                    completedSteps: steps,
                    stateDigest: Digest(high: 1, low: 1),
                    datasetDigest: "d",
                    networkDigest: "n"
                )
            )
        }
        _ = rig.hear(welcome(nil))
        _ = rig.handle(ready(0))
        #expect(isRestoring(rig.hear(welcome(5))))
        _ = rig.handle(ready(5))
        // Whoever asks again is told again that it is there.
        let again = rig.hear(welcome(5))
        #expect(!isRestoring(again) && again.count == 1)
        #expect(isRestoring(rig.hear(welcome(7))))
        _ = rig.handle(ready(7))
        #expect(rig.hear(welcome(5)).isEmpty)
    }

    /// A clock that jumps while nobody has answered yet, and one that jumps later.
    @Test func aClockThatJumpsEndsNoWait() {
        var rig = Rig()
        _ = rig.handle(.started)
        #expect(exit(rig.handle(.tick(progress: 0), after: .seconds(3600))) == nil)
        rig = Rig()
        _ = rig.begin()
        // What was said meanwhile is read before the timer fires, and is no younger than that.
        rig.now = rig.now + .seconds(3600)
        _ = rig.hear(.heartbeat)
        #expect(exit(rig.handle(.tick(progress: 0))) == nil)
        var waited = Duration.zero
        while exit(rig.handle(.tick(progress: 0), after: .milliseconds(250))) == nil, waited < .seconds(60) {
            waited += .milliseconds(250)
        }
        #expect(waited > .seconds(9) && waited < .seconds(16))
    }

    @Test func aSilentCoordinatorIsWaitedForThenLeft() {
        var rig = Rig()
        _ = rig.begin()
        var outcome: WorkerOutcome?
        var waited = Duration.zero
        while outcome == nil && waited < .seconds(60) {
            outcome = exit(rig.handle(.tick(progress: 0), after: .milliseconds(250)))
            waited += .milliseconds(250)
        }
        #expect(outcome?.kind == .coordinatorLost)
        #expect(outcome?.message.contains("tcp://there:1 has been gone for 10.") == true)
        #expect(waited > .seconds(9) && waited < .seconds(16))
    }

    @Test func aCoordinatorThatComesBackIsServed() {
        var rig = Rig()
        _ = rig.begin()
        _ = rig.handle(.connectionLost)
        for _ in 0..<30 {
            _ = rig.handle(.tick(progress: 0), after: .milliseconds(250))
        }
        _ = rig.hear(.heartbeat)
        for _ in 0..<16 {
            #expect(exit(rig.handle(.tick(progress: 0), after: .milliseconds(250))) == nil)
        }
    }

    @Test func helloIsRepeatedThenGivenUp() {
        var rig = Rig()
        #expect(sent(rig.handle(.started)).count == 1)
        var hellos = 0
        var outcome: WorkerOutcome?
        while outcome == nil && hellos < 100 {
            let actions = rig.handle(.tick(progress: 0), after: .seconds(1))
            hellos += sent(actions).count
            outcome = exit(actions)
        }
        #expect(hellos == 59)
        #expect(outcome?.message.contains("No coordinator answered at tcp://there:1 for 60.") == true)
    }

    @Test func aPeersFaultIsReportedAndTheWorkerGoesOn() {
        var rig = Rig()
        _ = rig.begin()
        _ = rig.handle(.reduced(Rig.report(0)))
        let actions = rig.handle(.failed(message: "no answer.", suspect: 1))
        #expect(
            sent(actions) == [
                .failure(FailureReport(step: 0, phase: .reduced, message: "no answer.", suspect: 1))
            ]
        )
        // The commit was on its way: what has been reported is applied, and the next step begun.
        _ = rig.commit(0, next: Rig.assignment(1))
        let applied = rig.handle(.applied(completedSteps: 1, stateDigest: nil))
        #expect(begun(applied)?.assignment.step == 1)
        let request = CheckpointRequest(completedSteps: 1, share: CheckpointShare(part: 0, parts: 1))
        #expect(rig.hear(.checkpoint(request)).contains(.streamSnapshot(request)))
    }

    @Test func anOwnFaultExitsSoon() {
        var rig = Rig()
        _ = rig.begin()
        _ = rig.handle(.failed(message: "the disk is gone.", suspect: nil))
        #expect(exit(rig.handle(.tick(progress: 0), after: .milliseconds(500))) == nil)
        let outcome = exit(rig.handle(.tick(progress: 0), after: .milliseconds(600)))
        #expect(outcome == WorkerOutcome(kind: .failed, message: "the disk is gone."))
    }

    @Test func aCommitOfUnknownSumsIsAFailure() {
        var rig = Rig()
        _ = rig.begin()
        guard case .failure(let report)? = sent(rig.commit(0)).first else {
            Issue.record("the commit was taken")
            return
        }
        #expect(report.message.contains("whose sums this worker does not hold"))
        #expect(report.suspect == nil)
    }

    @Test func aPlanThatLeavesTheWorkerOutIsAFailure() {
        var rig = Rig()
        _ = rig.begin()
        let actions = rig.hear(.assign(Rig.assignment(0, generation: 1, members: [Rig.members[0]])))
        guard case .failure(let report)? = sent(actions).first else {
            Issue.record("the plan was taken: \(actions)")
            return
        }
        #expect(report.message.contains("leaves this worker out"))
    }
}
