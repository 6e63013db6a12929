extension CoordinatorMachine {
    /// The steps that are committed, by the record of commits and what the members tell; nil where nobody can say.
    ///
    /// A step is committed only when every member has reported the sums of it, and it is recorded before that is said. So of
    /// honest members each has applied the last step of the record or holds its sums, and none is further. Whoever tells
    /// something else is put out, unless most of the run's members contradict the record: then lines of it are lost (a full
    /// disk, a power failure), and of the members' tales the one counts that most of those who are back can have lived. Where
    /// none is, nobody is trusted.
    mutating func judge(_ waiting: inout Reattaching) -> UInt64? {
        let steps = recordedSteps(&waiting) ?? toldSteps(&waiting)
        guard let steps, !members.isEmpty else { return nil }
        let others = members.filter { !isWithin(reach: steps, $0) }.map(\.number)
        putOut(others, &waiting, "it stands at step %, the others at \(steps).")
        return comparesSums(before: steps, &waiting) && !members.isEmpty ? steps : nil
    }

    /// What the record tells, where it can be whole: those who contradict it are put out.
    private mutating func recordedSteps(_ waiting: inout Reattaching) -> UInt64? {
        let known = waiting.reattachment
        guard let recorded = known.recordedSteps, recorded >= progress.completedSteps else { return nil }
        let outliers = members.filter { !isWithin(reach: recorded, $0) }.map(\.number)
        if 2 * outliers.count > known.membership.members.count { return nil }
        putOut(outliers, &waiting, "it says that it stands at step %, and \(recorded) steps are recorded.")
        return recorded
    }

    /// What most of those who are back can have lived.
    private mutating func toldSteps(_ waiting: inout Reattaching) -> UInt64? {
        for candidate in Set(members.compactMap(\.seat?.committedSteps)).sorted(by: >) {
            let supporters = members.count { isWithin(reach: candidate, $0) }
            if 2 * supporters > members.count { return candidate }
        }
        if members.isEmpty { return nil }
        let tales = members.map { "\(names(of: [$0.number])) at step \($0.seat?.committedSteps ?? 0)" }
        waiting.disagreement =
            "The workers of the coordinator that died do not agree about the run: " + tales.joined(separator: ", ")
            + "."
        return nil
    }

    /// Whether those who hold sums of the last committed step agree about them; a minority is put out.
    private mutating func comparesSums(before steps: UInt64, _ waiting: inout Reattaching) -> Bool {
        guard steps > 0 else { return true }
        let digests = members.compactMap { member in
            member.seat?.reports.first { $0.step == steps - 1 }.map { (member.number, $0.sumsDigest) }
        }
        guard let sentence = disagreement(digests, about: .sums(step: steps - 1)) else { return true }
        let wrong = minority(digests)
        if wrong.isEmpty {
            waiting.disagreement = sentence
            return false
        }
        log(.error, sentence)
        putOut(wrong, &waiting, "the sums of step \(steps - 1) that it holds differ from those of the majority.")
        return true
    }

    /// Puts members out; in `reason` the sign % stands for a member's committed steps.
    private mutating func putOut(_ numbers: [WorkerNumber], _ waiting: inout Reattaching, _ reason: String) {
        for number in numbers {
            guard let position = members.firstIndex(where: { $0.number == number }) else { continue }
            let member = members[position]
            let steps = "\(member.seat?.committedSteps ?? 0)"
            let words = reason.split(separator: "%", omittingEmptySubsequences: false).joined(separator: steps)
            let fault = fault(of: member, .absent(words))
            waiting.faults.append(fault)
            noteLoss(of: member, fault)
            remove(position)
        }
    }

    /// Whether the member stands at `steps`, or can be told to apply the step before.
    private func isWithin(reach steps: UInt64, _ member: MemberState) -> Bool {
        guard let seat = member.seat else { return false }
        return seat.committedSteps == steps || (steps > 0 && seat.holdsSums(of: steps - 1) && !seat.isApplying)
    }
}
