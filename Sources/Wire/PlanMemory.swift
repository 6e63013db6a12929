package import Coordination
import Reduction

/// Says the plan of a step once where the steps after it are shared out alike: it is the one part of a step's messages
/// that grows with the number of workers, and it goes to all of them.
///
/// The coordinator's side. Use it for what goes to all members, and for nothing else: what it has encoded, all of them must
/// read, in this order.
package struct PlanningEncoder: Sendable {
    private var plan: ReductionPlan?

    package init() {}

    /// As `WireProtocol.encode`; a commit whose next step repeats the plan of its own names that plan.
    package mutating func encode(_ message: CoordinatorMessage) throws(WireError) -> [UInt8] {
        switch message.body {
        case .assign(let assignment): plan = assignment.plan
        case .commit(let commit):
            guard let next = commit.next else { break }
            let known = plan
            plan = next.plan
            guard let known, known.step == commit.step, known.repeats(in: next.plan) else { break }
            var bare = message
            var short = commit
            short.next = nil
            bare.body = .commit(short)
            var encoded = Pleura_Wire_FromCoordinator(bare)
            var repeated = Pleura_Wire_Assign(next)
            repeated.generation = known.generation
            repeated.members = []
            repeated.nodeLevels = []
            repeated.nodeIndices = []
            repeated.nodeOwners = []
            encoded.commit.repeated = repeated
            return try WireProtocol.bytes(of: encoded, limit: WireProtocol.maximumCoordinatorMessageBytes)
        default: break
        }
        return try WireProtocol.encode(message)
    }
}

/// The worker's side of `PlanningEncoder`: remembers the plan that was read last.
package struct PlanningDecoder: Sendable {
    private var plan: ReductionPlan?
    /// The highest incarnation of a coordinator so far: of lower ones nothing is remembered.
    private var fencing: UInt64 = 0

    package init() {}

    /// As `WireProtocol.decodeCoordinatorMessage`. A commit that names a plan which was not read before is refused; one of
    /// a coordinator that has been succeeded is read without its next step, since nobody obeys it.
    package mutating func decode(_ bytes: [UInt8], checksHash: Bool = true) throws(WireError) -> CoordinatorMessage {
        var encoded = try WireProtocol.message(
            Pleura_Wire_FromCoordinator.self,
            in: bytes,
            shape: Pleura_Wire_FromCoordinator.shape,
            limit: WireProtocol.maximumCoordinatorMessageBytes,
            checksHash: checksHash
        )
        var repeated: Pleura_Wire_Assign?
        if case .commit(var commit)? = encoded.body, commit.hasRepeated, !commit.hasNext {
            repeated = commit.repeated
            commit.clearRepeated()
            encoded.body = .commit(commit)
        }
        var message = try encoded.message()
        guard message.fencing >= fencing else { return message }
        fencing = message.fencing
        switch message.body {
        case .assign(let assignment): plan = assignment.plan
        case .commit(var commit):
            if let repeated {
                guard var next = plan, next.step == commit.step, next.generation == repeated.generation,
                    next.tree.leafCount == repeated.leafCount
                else {
                    throw .badField("commit.repeated", found: "a plan that this receiver does not hold")
                }
                next.step += 1
                next.generation = 0
                commit.next = Assignment(
                    plan: next,
                    membership: repeated.membership,
                    wantsStateDigest: repeated.wantsStateDigest,
                    audits: try repeated.audits()
                )
                message.body = .commit(commit)
            }
            if let next = commit.next { plan = next.plan }
        default: break
        }
        return message
    }
}

extension ReductionPlan {
    /// Whether `next` is this plan for the step after it, at its first attempt.
    fileprivate func repeats(in next: ReductionPlan) -> Bool {
        next.step == step + 1 && next.generation == 0 && next.tree == tree && next.members == members
            && next.contributions == contributions
    }
}
