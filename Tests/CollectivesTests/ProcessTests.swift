import Benchmarks
import Collectives
import Foundation
import Reduction
import Testing

/// Members that are real processes of the program, commanded over pipes.
@Suite(.serialized, .timeLimit(.minutes(15)))
struct ProcessTests {
    private struct Job {
        let members: [MemberProcess]
        let addresses: [PeerAddress]

        init(_ count: Int, wiring: Wiring, elements: Int) throws {
            // Beside the test runner in the build folder.
            let folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            let program = folder.appendingPathComponent("pleura")
            try expect(
                FileManager.default.isExecutableFile(atPath: program.path),
                "\(program.path) is missing: build with `swift build --build-tests`"
            )
            members = try (0..<count).map {
                try MemberProcess(
                    worker: $0,
                    executable: program,
                    arguments: ["bench", "allreduce-member", "--parent", "\(getpid())"]
                )
            }
            let job = UInt64.random(in: .min ... .max)
            addresses = try members.enumerated().map { index, member in
                try member.send(
                    .setUp(
                        .init(
                            worker: UInt32(index),
                            incarnation: .random(in: .min ... .max),
                            job: job,
                            elements: elements,
                            bucketElements: 1 << 16,
                            maximumNodes: 4,
                            transport: wiring.transport,
                            host: wiring.host(of: index),
                            pattern: .random
                        )
                    )
                )
                guard case .address(let address) = try member.reply(within: .seconds(30)) else {
                    throw CancellationError()
                }
                return address
            }
        }

        func begin(_ plan: ReductionPlan, stalled: Int? = nil) throws {
            for worker in plan.members {
                // Longer than the test may take: what ends a wait has been noticed, and not waited for.
                var sent = AllreduceMember.Plan(plan, deadlineSeconds: 3600)
                sent.stalls = Int(worker) == stalled
                try members[Int(worker)].send(.begin(sent, peers: addresses))
            }
            for worker in plan.members {
                guard case .ready = try members[Int(worker)].reply(within: .seconds(30)) else {
                    throw CancellationError()
                }
            }
            for worker in plan.members { try members[Int(worker)].send(.run(at: 0)) }
            if let stalled {
                guard case .ready = try members[stalled].reply(within: .seconds(30)) else { throw CancellationError() }
            }
        }

        /// The digest that all members agree on; their sums are verified.
        func digest(of plan: ReductionPlan) throws -> UInt64 {
            var digests: Set<UInt64> = []
            for worker in plan.members {
                let reply = try members[Int(worker)].reply(within: .seconds(60))
                guard case .reduced(let result) = reply else {
                    throw Failure("worker \(worker) answered \(reply)")
                }
                try expect(result.wrongElements == 0, "worker \(worker) has \(result.wrongElements) wrong sums")
                digests.insert(result.digest)
            }
            guard digests.count == 1, let digest = digests.first else { throw Failure("digests differ: \(digests)") }
            return digest
        }

        func finish() { for member in members { member.finish() } }
    }

    @Test("Processes give the canonical bits", arguments: Wiring.allCases)
    func processesAgree(_ wiring: Wiring) async throws {
        // The members live as long as the thread that makes them.
        try await onThread {
            let job = try Job(3, wiring: wiring, elements: 150_001)
            for step in 0..<4 as Range<UInt64> {
                let plan = ReductionPlan.even(step: step, leaves: 7, members: [0, 1, 2])
                try job.begin(plan)
                _ = try job.digest(of: plan)
            }
            job.finish()
        }
    }

    @Test("kill -9 of one process: the others say who, leave nothing behind, and can go on", arguments: Wiring.allCases)
    func killedMember(_ wiring: Wiring) async throws {
        try await onThread {
            let before = try sharedMemoryNames()
            let job = try Job(3, wiring: wiring, elements: 150_001)
            let plan = ReductionPlan.even(step: 0, leaves: 3, members: [0, 1, 2])
            // Member 2 publishes all but the last bucket and stops.
            try job.begin(plan, stalled: 2)
            try expect(try sharedMemoryNames() == before, "shared memory has a name in /dev/shm while it is used")
            job.members[2].kill()
            for survivor in job.members.prefix(2) {
                guard case .failed(let message, _) = try survivor.reply(within: .seconds(600)) else {
                    throw Failure("a survivor did not notice")
                }
                try expect(message.contains("Worker 2 was lost"), message)
                // What it had not published, and no other bucket: the rest can be summed without it.
                try expect(message.contains("node 0:2 of bucket 2") || wiring != .sharedMemory, message)
                try expect(message.contains("bucket"), message)
            }
            try expect(try sharedMemoryNames() == before, "something stayed in /dev/shm after a death")

            var second = plan
            second.generation = 1
            second.members = [0, 1]
            second.contributions[2].owner = 0
            try job.begin(second)
            _ = try job.digest(of: second)
            job.finish()
            try expect(try sharedMemoryNames() == before, "something stayed in /dev/shm")
        }
    }

    /// What other programs of this machine may add is not of this project.
    private func sharedMemoryNames() throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: "/dev/shm").filter { $0.contains("pleura") })
    }
}
