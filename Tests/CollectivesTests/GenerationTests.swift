import Collectives
import Foundation
import Reduction
import Testing

@Suite(.serialized, .timeLimit(.minutes(15)))
struct GenerationTests {
    @Test("A later plan goes on with what survivors have published", arguments: Wiring.allCases)
    func survivorsFinish(_ wiring: Wiring) async throws {
        let layout = BucketLayout(sizes: [1000, 300])
        let group = try Group(3, layout: layout, wiring: wiring)
        let first = ReductionPlan.even(step: 4, leaves: 3, members: [0, 1, 2])
        // Member 2 takes part and publishes all but bucket 0.
        for member in group.members.prefix(2) {
            contribute(
                try member.begin(plan: first, peers: group.addresses),
                to: member,
                plan: first,
                layout: layout
            )
        }
        _ = try group.members[2].begin(plan: first, peers: group.addresses)
        group.members[2].publish(bucket: 1)
        let error = await #expect(throws: AllreduceError.self) {
            try await onThread { try group.members[0].waitReduced(within: .milliseconds(300)) }
        }
        let text = "\(try #require(error))"
        #expect(text.contains("worker 2") && text.contains("node 0:2 of bucket 0"), "\(text)")
        guard case .timedOut(_, let behind, _, _, _)? = error else { throw Failure("not timed out: \(text)") }
        // Member 1 owes sums too, but for want of member 2's contribution.
        #expect(behind == [2])

        // Its leaf goes to member 1, whose own node stays what it is.
        var second = first
        second.generation = 1
        second.members = [0, 1]
        second.contributions[2].owner = 1
        for member in group.members.prefix(2) {
            let nodes = try member.begin(plan: second, peers: group.addresses)
            #expect(nodes.first?.isPublished == [true, true])
            for owned in nodes.dropFirst() {
                #expect(owned.isPublished == [false, false])
                for bucket in layout.buckets.indices {
                    TestPattern.random.forEachBlock(
                        of: layout.buckets[bucket],
                        owned.node,
                        second.tree,
                        step: second.step
                    ) { first, values in
                        for index in values.indices { owned.buffer[first + index] = values[index] }
                    }
                    member.publish(bucket: bucket, node: owned.node)
                }
            }
        }
        var digests: Set<UInt64> = []
        for member in group.members.prefix(2) {
            let sums = try await onThread { try member.waitReduced(within: .seconds(30)) }
            #expect(wrongElements(sums, plan: second, layout: layout) == 0)
            digests.insert(sums.digest)
            member.release(step: 4)
        }
        #expect(digests.count == 1)
        // And the next step is an ordinary one.
        _ = try await group.step(.even(step: 5, leaves: 5, members: [0, 1]))
        group.close()
    }

    @Test("A deadline tells what was never connected and what was dropped")
    func deadlineTellsOfConnectionsAndFrames() async throws {
        let layout = BucketLayout(sizes: [1000])
        let group = try Group(2, layout: layout, wiring: .zeromq)
        var silent = group.addresses[1]
        // Takes connections and says nothing: the test's own socket, which speaks no ZMTP.
        let listener = try SilentListener()
        silent.endpoint = "tcp://127.0.0.1:\(listener.port)"
        let plan = ReductionPlan.even(step: 0, leaves: 2, members: [0, 1])
        _ = try group.members[0].begin(plan: plan, peers: [silent])
        let error = await #expect(throws: AllreduceError.self) {
            try await onThread { try group.members[0].waitReduced(within: .milliseconds(300)) }
        }
        #expect("\(try #require(error))".contains("no connection to worker 1 at tcp://127.0.0.1:\(listener.port)"))
        group.close()
    }

    @Test("Another machine's loopback address is refused with the reason")
    func loopbackOfAnotherMachine() throws {
        let group = try Group(2, layout: BucketLayout(sizes: [100]), wiring: .zeromq)
        var far = group.addresses[1]
        far.host = "another-boot-id/pid:[1]/1000"
        let plan = ReductionPlan.even(step: 0, leaves: 2, members: [0, 1])
        #expect {
            try group.members[0].begin(plan: plan, peers: [far])
        } throws: { error in
            guard case .unreachable(1, let reason)? = error as? AllreduceError else { return false }
            return reason.contains("another host") && reason.contains("tcp://127.0.0.1:") && reason.contains("--listen")
        }
        far.endpoint = "tcp://192.0.2.1:7000"
        #expect(throws: Never.self) { try group.members[0].begin(plan: plan, peers: [far]) }
        group.close()
    }

    @Test("Who waits for a plan hears that another took its place")
    func superseded() async throws {
        let layout = BucketLayout(sizes: [100])
        let group = try Group(2, layout: layout, wiring: .sharedMemory)
        let first = ReductionPlan.even(step: 0, leaves: 2, members: [0, 1])
        let member = group.members[0]
        _ = try member.begin(plan: first, peers: group.addresses)
        async let waiting = onThread { try member.waitReduced(within: .seconds(30)) }
        let second = ReductionPlan.even(step: 0, generation: 1, leaves: 2, members: [0])
        contribute(
            try await onThread { try member.begin(plan: second, peers: group.addresses) },
            to: member,
            plan: second,
            layout: layout
        )
        // The wait may have begun after the second plan; it then gets that plan's sums.
        do {
            let sums = try await waiting
            #expect(sums.generation == 1)
        } catch let error as AllreduceError {
            #expect(error == .superseded(step: 0, generation: 0))
        }
        let sums = try await onThread { try member.waitReduced(within: .seconds(30)) }
        #expect(wrongElements(sums, plan: second, layout: layout) == 0)
        group.close()
    }

    @Test(
        "A member that joins later is served, though the others heard of it before their plan",
        arguments: Wiring.allCases
    )
    func joining(_ wiring: Wiring) async throws {
        let layout = BucketLayout(sizes: [900, 400])
        let group = try Group(3, layout: layout, wiring: wiring)
        for step in 0..<3 as Range<UInt64> {
            _ = try await group.step(.even(step: step, leaves: 4, members: [0, 1]))
        }
        for step in 3..<6 as Range<UInt64> {
            _ = try await group.step(.even(step: step, leaves: 4, members: [0, 1, 2]))
        }
        // Out and in again.
        _ = try await group.step(.even(step: 6, leaves: 4, members: [0, 2]))
        _ = try await group.step(.even(step: 7, leaves: 4, members: [0, 1, 2]))
        group.close()
    }
}
