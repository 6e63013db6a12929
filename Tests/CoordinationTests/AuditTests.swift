import Coordination
import Reduction
import Testing

/// A worker whose gradients are wrong is found before they count, named and put out.
@Suite struct AuditTests {
    private static func members(_ threads: [UInt32]) -> [Member] {
        threads.enumerated().map {
            Member(worker: WorkerNumber($0), hostName: "h", hostIdentity: "b", threads: $1, endpoints: [])
        }
    }

    private static func owner(of microbatch: Int, in plan: ReductionPlan) -> WorkerNumber? {
        plan.contributions.first { plan.tree.leaves(of: $0.node).contains(microbatch) }?.owner
    }

    @Test(arguments: [0.01, 0.1, 0.5, 1])
    func theShareOfAuditedMicrobatchesIsTheRate(rate: Double) {
        let policy = AuditPolicy(rate: rate, seed: 5)
        for threads in [[1, 1], [2, 1, 1], [4, 4, 4, 4]] as [[UInt32]] {
            let members = Self.members(threads)
            var audited = 0
            for step in 0..<4000 as Range<UInt64> {
                let plan = WorkSplit.plan(step: step, generation: 0, leafCount: 16, members: members)
                let audits = policy.audits(of: plan, members: members)
                audited += audits.count
                #expect(Set(audits.map(\.microbatch)).count == audits.count)
                #expect(audits.allSatisfy { Self.owner(of: $0.microbatch, in: plan) != $0.worker })
                // No thread has two while another has none.
                if audits.count <= members.reduce(0, { $0 + Int($1.threads) }), members.count > 2 {
                    for member in members {
                        #expect(audits.count { $0.worker == member.worker } <= Int(member.threads) + 1)
                    }
                }
            }
            let share = Double(audited) / (16 * 4000)
            #expect(abs(share - rate) <= 0.25 * rate, "\(threads): \(share)")
        }
    }

    @Test func nobodyIsAuditedAloneOrAtRateZero() {
        let alone = Self.members([2])
        let plan = WorkSplit.plan(step: 0, generation: 0, leafCount: 4, members: alone)
        #expect(AuditPolicy(rate: 1, seed: 1).audits(of: plan, members: alone).isEmpty)
        let both = Self.members([1, 1])
        let other = WorkSplit.plan(step: 0, generation: 0, leafCount: 4, members: both)
        #expect(AuditPolicy.none.audits(of: other, members: both).isEmpty)
        #expect(AuditPolicy(rate: 1, seed: 1).audits(of: other, members: both).map(\.microbatch) == [0, 1, 2, 3])
        // A slow worker audits only where nobody else can.
        let three = Self.members([1, 1, 1])
        let third = WorkSplit.plan(step: 0, generation: 0, leafCount: 4, members: three)
        let audits = AuditPolicy(rate: 1, seed: 1).audits(of: third, members: three, slow: [1])
        #expect(audits.count == 4 && audits.allSatisfy { $0.worker != 1 })
    }

    // MARK: The coordinator

    /// What `worker` reports of the attempt, its gradients being wrong where `isWrong`.
    private func report(
        _ worker: WorkerNumber,
        _ assignment: Assignment,
        isWrong: Bool = false
    ) -> WorkerMessage.Body {
        var report = CoordinatorRig.reduced(
            assignment.step,
            state: assignment.wantsStateDigest ? 1 : nil,
            generation: assignment.generation
        )
        let microbatches = Set(assignment.audits.map(\.microbatch)).filter { microbatch in
            Self.owner(of: microbatch, in: assignment.plan) == worker
                || assignment.audits.contains { $0.microbatch == microbatch && $0.worker == worker }
        }
        report.audits = microbatches.sorted().map {
            AuditDigest(microbatch: UInt32($0), digest: Digest(high: UInt64($0), low: isWrong ? UInt64(worker) + 1 : 0))
        }
        return .reduced(report)
    }

    private func answer(
        _ rig: inout CoordinatorRig,
        _ assignment: Assignment,
        wrong: Set<WorkerNumber>
    ) -> [CoordinatorMachine.Action] {
        assignment.plan.members.flatMap { worker in
            rig.say(UInt64(worker), report(worker, assignment, isWrong: wrong.contains(worker)))
        }
    }

    @Test func aThirdWorkerDecidesAndTheWrongSumNeverCounts() throws {
        for culprit in 0..<3 as Range<WorkerNumber> {
            var rig = CoordinatorRig(workers: 3, audits: AuditPolicy(rate: 1, seed: 3), microbatches: 6)
            let first = try #require(rig.begin(workers: 3).assignment)
            #expect(first.audits.count == 6)
            var actions = answer(&rig, first, wrong: [culprit])
            // Nothing is committed; a third worker is asked for each microbatch in dispute.
            #expect(rig.machine.progress.completedSteps == 0)
            #expect(actions.log.contains { $0.contains("is not the same on") && $0.contains("decides") })
            let second = try #require(actions.assignment)
            #expect(second.step == 0 && second.generation == 1 && second.plan.contributions == first.plan.contributions)
            #expect(second.audits.count > first.audits.count)
            actions = answer(&rig, second, wrong: [culprit])
            let sentence = try #require(actions.lost[culprit])
            #expect(actions.lost.count == 1)
            #expect(sentence.contains("its gradient of microbatch") && sentence.contains("of step 0"), "\(sentence)")
            #expect(rig.machine.progress.completedSteps == 0)
            // The others compute what it had, audit each other, and the step counts.
            let last = try #require(actions.assignment)
            #expect(last.step == 0 && last.generation == 2 && last.plan.defect == nil && last.plan.members.count == 2)
            #expect(Set(last.audits.map(\.microbatch)).count == 6)
            actions = answer(&rig, last, wrong: [])
            #expect(rig.machine.progress.completedSteps == 1)
        }
    }

    @Test func twoThatDisagreeStopAndSaySo() throws {
        var rig = CoordinatorRig(audits: AuditPolicy(rate: 1, seed: 3))
        let first = try #require(rig.begin().assignment)
        let outcome = try #require(answer(&rig, first, wrong: [1]).outcome)
        #expect(outcome.kind == .diverged && outcome.completedSteps == 0)
        for part in ["microbatch 0 of step 0", "worker 0 on host host0", "worker 1 on host host1", "no further worker"]
        {
            #expect(outcome.message.contains(part), "\(outcome.message)")
        }
    }

    @Test func threeThatAllDifferStop() throws {
        var rig = CoordinatorRig(workers: 3, audits: AuditPolicy(rate: 1, seed: 3))
        let first = try #require(rig.begin(workers: 3).assignment)
        let second = try #require(answer(&rig, first, wrong: [0, 1]).assignment)
        #expect(answer(&rig, second, wrong: [0, 1]).outcome?.kind == .diverged)
    }

    @Test func aWorkerThatKeepsItsDigestsBackIsPutOut() throws {
        var rig = CoordinatorRig(workers: 3, audits: AuditPolicy(rate: 1, seed: 3))
        let first = try #require(rig.begin(workers: 3).assignment)
        _ = rig.say(0, report(0, first))
        _ = rig.say(1, report(1, first))
        let actions = rig.say(2, .reduced(CoordinatorRig.reduced(0)))
        #expect(actions.lost[2]?.contains("without the digest of a microbatch") == true)
        #expect(rig.machine.progress.completedSteps == 0)
    }

    @Test func auditsGoOnWhereAnAuditorIsLost() throws {
        var rig = CoordinatorRig(workers: 3, audits: AuditPolicy(rate: 1, seed: 3))
        let first = try #require(rig.begin(workers: 3).assignment)
        let next = try #require(rig.handle(.processExited(incarnation: 102, processID: 4002, .signal(9))).assignment)
        #expect(next.generation == 1 && next.plan.members == [0, 1])
        #expect(Set(next.audits.map(\.microbatch)) == Set(first.audits.map(\.microbatch)))
        #expect(next.audits.allSatisfy { Self.owner(of: $0.microbatch, in: next.plan) != $0.worker && $0.worker < 2 })
        _ = answer(&rig, next, wrong: [])
        #expect(rig.machine.progress.completedSteps == 1)
    }

    @Test func theFirstMicrobatchThatIsNotFiniteIsNamed() throws {
        var rig = CoordinatorRig(workers: 3)
        _ = rig.begin(workers: 3)
        for (worker, microbatch) in [nil, 3, 2].enumerated() as EnumeratedSequence<[UInt32?]> {
            var report = CoordinatorRig.reduced(0, nonFinite: "finding \(worker)")
            report.nonFiniteMicrobatch = microbatch
            let actions = rig.say(UInt64(worker), .reduced(report))
            if worker == 2 {
                #expect(actions.outcome?.message.contains("worker 2 on host host2 reports: finding 2") == true)
            }
        }
    }
}
