import Numerics
package import Reduction

/// Which microbatches two workers compute, so that one that computes wrongly is found.
///
/// In an audited step every compute thread has one microbatch more, another worker's; so many steps are audited that the
/// share of audited microbatches is `rate`. Auditing some microbatches of every step would make all threads wait for the
/// few that audit. The costs are `rate` of the computation, or a little more where runs are uneven.
package struct AuditPolicy: Hashable, Sendable {
    /// The share of microbatches, from 0 to 1.
    package var rate: Double
    /// The run's seed.
    package var seed: UInt64

    package init(rate: Double, seed: UInt64) {
        self.rate = rate
        self.seed = seed
    }

    package static let none = AuditPolicy(rate: 0, seed: 0)

    /// The audited microbatches of `plan`'s step, ascending, each with a worker that is not its owner.
    ///
    /// A pure function of the plan and its arguments. Nobody is audited where nobody else is there.
    ///
    /// - Parameter slow: workers that audit only where no other one can.
    package func audits(
        of plan: ReductionPlan,
        members: [Member],
        slow: Set<WorkerNumber> = []
    ) -> [Assignment.Audit] {
        let leafCount = plan.tree.leafCount
        guard rate > 0, members.count > 1 else { return [] }
        let threads = WorkSplit.capacities(of: members).reduce(0, +)
        let count = min(leafCount, max(threads, Int((rate * Double(leafCount)).rounded(.up))))
        let step = UInt32(truncatingIfNeeded: plan.step)
        let draw = RandomSequence(seed: seed, purpose: .audit, epoch: step)
        guard Double(draw.uniform(0)) < rate * Double(leafCount) / Double(count) else { return [] }
        let order = (0..<leafCount).map { (draw.word(1 + $0), $0) }.sorted { $0 < $1 }
        return auditors(of: order.prefix(count).map(\.1).sorted(), plan, members: members, slow: slow)
    }

    /// Gives each of `microbatches` to a worker that is not its owner, one for each thread before any has two.
    package func auditors(
        of microbatches: [Int],
        _ plan: ReductionPlan,
        members: [Member],
        slow: Set<WorkerNumber>
    ) -> [Assignment.Audit] {
        guard members.count > 1 else { return [] }
        let owners = plan.owners
        var seats: [WorkerNumber] = []
        return microbatches.map { microbatch in
            func position() -> Int? { seats.firstIndex { $0 != owners[microbatch] } }
            if position() == nil {
                let able = members.filter { !slow.contains($0.worker) }
                let more = able.flatMap { Array(repeating: $0.worker, count: max(1, Int($0.threads))) }
                seats += more.contains { $0 != owners[microbatch] } ? more : members.map(\.worker)
            }
            return Assignment.Audit(microbatch: microbatch, worker: position().map { seats.remove(at: $0) } ?? 0)
        }
    }
}

extension ReductionPlan {
    /// The worker that computes each microbatch.
    fileprivate var owners: [Worker] {
        var result = [Worker](repeating: 0, count: tree.leafCount)
        for contribution in contributions {
            for leaf in tree.leaves(of: contribution.node) { result[leaf] = contribution.owner }
        }
        return result
    }
}

extension CoordinatorMachine {
    private var slowMembers: Set<WorkerNumber> {
        Set(members.map(\.number).filter { speeds.slowness(of: $0) != nil })
    }

    /// The audits of a step's first attempt.
    func audits(of plan: ReductionPlan) -> [Assignment.Audit] {
        if configuration.audits.rate <= 0 { return [] }
        return configuration.audits.audits(of: plan, members: membership.members, slow: slowMembers)
    }

    /// The audits of a further attempt by `plan`: the same microbatches, each by somebody who is there and does not own it.
    func audits(_ audits: [Assignment.Audit], for plan: ReductionPlan) -> [Assignment.Audit] {
        if audits.isEmpty { return [] }
        let owners = plan.owners
        let present = Set(plan.members)
        var kept = audits.filter { present.contains($0.worker) && owners[$0.microbatch] != $0.worker }
        let covered = Set(kept.map(\.microbatch))
        let bare = Set(audits.map(\.microbatch)).subtracting(covered).sorted()
        kept += configuration.audits.auditors(
            of: bare,
            plan,
            members: membership.members,
            slow: slowMembers
        )
        return kept.sorted { ($0.microbatch, $0.worker) < ($1.microbatch, $1.worker) }
    }

    /// Compares what was found of each audited microbatch of a step that all have reported.
    ///
    /// - Returns: whether the step may count. Else it is begun again, a third worker deciding, or without the culprit; or
    ///   the run has ended, since nobody can decide.
    mutating func passesAudits(_ step: StepInFlight, _ reports: [MemberReport]) -> Bool {
        let audits = step.assignment.audits
        if audits.isEmpty { return true }
        let number = step.assignment.step
        var found: [Int: [(worker: WorkerNumber, digest: Digest)]] = [:]
        for said in reports {
            for audit in said.report.audits {
                found[Int(audit.microbatch), default: []].append((said.worker, audit.digest))
            }
        }
        if let silent = absentee(step.assignment, found) {
            suspect(silent, .violation("it reported step \(number) without the digest of a microbatch that it audits."))
            return false
        }
        var open: [Int] = []
        var wrong: Set<WorkerNumber> = []
        for microbatch in Set(audits.map(\.microbatch)).sorted() {
            let digests = found[microbatch] ?? []
            guard let first = digests.first, digests.contains(where: { $0.digest != first.digest }) else { continue }
            let minority = minority(digests.map { ($0.worker, $0.digest) })
            if minority.isEmpty { open.append(microbatch) } else { wrong.formUnion(minority) }
        }
        if !wrong.isEmpty {
            condemn(wrong, of: step, found)
            return false
        }
        guard let disputed = open.first else { return true }
        var thirds: [Assignment.Audit] = []
        for microbatch in open {
            let parties = Set((found[microbatch] ?? []).map(\.worker))
            let others = members.map(\.number).filter { !parties.contains($0) }
            let usual = others.filter { speeds.slowness(of: $0) == nil }
            guard let third = (usual.isEmpty ? others : usual).first else { continue }
            thirds.append(Assignment.Audit(microbatch: microbatch, worker: third))
        }
        let who = names(of: (found[disputed] ?? []).map(\.worker).sorted())
        let what = "The gradient of microbatch \(disputed) of step \(number) is not the same on \(who)"
        guard thirds.count == open.count else {
            end(
                .diverged,
                what + ", and there is no further worker to decide: one of these machines computes wrongly. Check "
                    + "their memory, and resume with three workers or without the bad one."
            )
            return false
        }
        log(.warning, what + "; \(names(of: Set(thirds.map(\.worker)).sorted())) decides")
        repeatStep(step, audits: (audits + thirds).sorted { ($0.microbatch, $0.worker) < ($1.microbatch, $1.worker) })
        return false
    }

    /// A member that has not reported an audit that it owes.
    private func absentee(
        _ assignment: Assignment,
        _ found: [Int: [(worker: WorkerNumber, digest: Digest)]]
    ) -> Int? {
        let owners = assignment.plan.owners
        for audit in assignment.audits {
            let reporters = (found[audit.microbatch] ?? []).map(\.worker)
            for worker in [owners[audit.microbatch], audit.worker] where !reporters.contains(worker) {
                return members.firstIndex { $0.number == worker }
            }
        }
        return nil
    }

    /// Puts those out whose gradients are not those of the majority; the step goes on without them, and what they computed
    /// of it is computed by others.
    private mutating func condemn(
        _ wrong: Set<WorkerNumber>,
        of step: StepInFlight,
        _ found: [Int: [(worker: WorkerNumber, digest: Digest)]]
    ) {
        let faults = members.filter { wrong.contains($0.number) }.map { member in
            let microbatch = found.keys.sorted().first { microbatch in
                minority((found[microbatch] ?? []).map { ($0.worker, $0.digest) }).contains(member.number)
            }
            let others = (found[microbatch ?? 0] ?? []).map(\.worker).filter { !wrong.contains($0) }.sorted()
            return fault(
                of: member,
                .violation(
                    "its gradient of microbatch \(microbatch ?? 0) of step \(step.assignment.step) is not the one that "
                        + "\(names(of: others)) found. Check this machine's memory; its gradients of earlier steps "
                        + "that were not audited may be wrong too."
                )
            )
        }
        expel(faults)
    }
}
