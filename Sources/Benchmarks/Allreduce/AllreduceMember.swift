import CSystem
package import Collectives
import Foundation
package import Reduction

/// One process of an all-reduce without training: for the benchmark and for tests with real processes.
///
/// It obeys commands on standard input and answers each on standard output, in lines of JSON.
package enum AllreduceMember {
    package struct Setup: Codable, Sendable {
        package var worker: ReductionPlan.Worker
        package var incarnation: UInt64
        package var job: UInt64
        package var elements: Int
        package var bucketElements: Int
        package var maximumNodes: Int
        package var transport: TransportChoice
        /// Another name for this host; nil for its own.
        package var host: String?
        package var pattern: TestPattern
        /// Whether to collect the sums in private memory, as Gloo does, rather than to read them in place.
        package var gathers: Bool
        /// See `Allreduce.Configuration`.
        package var roundedElements: Int
        /// Keys of this member; nil: frames are not encrypted.
        package var keys: PlaneKeys?

        package init(
            worker: ReductionPlan.Worker,
            incarnation: UInt64,
            job: UInt64,
            elements: Int,
            bucketElements: Int,
            maximumNodes: Int,
            transport: TransportChoice,
            host: String? = nil,
            pattern: TestPattern = .integers,
            gathers: Bool = false,
            roundedElements: Int = 0,
            keys: PlaneKeys? = nil
        ) {
            self.worker = worker
            self.incarnation = incarnation
            self.job = job
            self.elements = elements
            self.bucketElements = bucketElements
            self.maximumNodes = maximumNodes
            self.transport = transport
            self.host = host
            self.pattern = pattern
            self.gathers = gathers
            self.roundedElements = roundedElements
            self.keys = keys
        }

        package var layout: BucketLayout {
            BucketLayout(
                buckets: stride(from: 0, to: elements, by: max(1, bucketElements)).map {
                    $0..<min($0 + max(1, bucketElements), elements)
                }
            )
        }
    }

    package struct Plan: Codable, Sendable {
        package var step: UInt64
        package var generation: UInt32
        package var leaves: Int
        package var members: [ReductionPlan.Worker]
        /// The nodes as `level:index:owner`.
        package var contributions: [String]
        package var deadlineSeconds: Double
        /// Whether to answer `run` with `ready` and stop for ever before publishing the last bucket: for tests of those
        /// who wait.
        package var stalls = false

        package init(_ plan: ReductionPlan, deadlineSeconds: Double) {
            step = plan.step
            generation = plan.generation
            leaves = plan.tree.leafCount
            members = plan.members
            contributions = plan.contributions.map { "\($0.node.level):\($0.node.index):\($0.owner)" }
            self.deadlineSeconds = deadlineSeconds
        }

        var plan: ReductionPlan? {
            var nodes: [ReductionPlan.Contribution] = []
            for text in contributions {
                let parts = text.split(separator: ":").compactMap { Int($0) }
                guard parts.count == 3, let owner = ReductionPlan.Worker(exactly: parts[2]) else { return nil }
                nodes.append(.init(node: TreeNode(level: parts[0], index: parts[1]), owner: owner))
            }
            guard leaves > 0 else { return nil }
            return ReductionPlan(
                step: step,
                generation: generation,
                tree: SumTree(leafCount: leaves),
                members: members,
                contributions: nodes
            )
        }
    }

    package enum Command: Codable, Sendable {
        /// Make an all-reduce, in place of any earlier one; answered by `address`.
        case setUp(Setup)
        /// Follow a plan and fill the nodes; answered by `ready`.
        case begin(Plan, peers: [PeerAddress])
        /// Publish at the time (of the monotonic clock, in nanoseconds), wait and verify; answered by `reduced`.
        case run(at: UInt64)
        /// End; no answer.
        case finish
    }

    package enum Reply: Codable, Sendable {
        case address(PeerAddress)
        case ready
        case reduced(Result)
        case failed(String, seconds: Double)
    }

    package struct Result: Codable, Sendable {
        /// When the last sum was there, in nanoseconds of the monotonic clock.
        package var end: UInt64
        package var digest: UInt64
        package var wrongElements: Int
        package var busySeconds: Double
        package var waitedSeconds: Double
    }

    /// Runs until standard input ends.
    package static func run(_ additions: VectorAdditions = .portable) throws {
        try MemberLoop(LineChannel(input: 0, output: 1), additions).run()
    }
}

/// Nanoseconds of the clock that all processes of a host share.
func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

private final class MemberLoop {
    private let channel: LineChannel
    private var setup: AllreduceMember.Setup?
    private var allreduce: Allreduce?
    private var plan: (ReductionPlan, AllreduceMember.Plan)?
    private var gather: UnsafeMutableBufferPointer<Float>?

    private let additions: VectorAdditions

    init(_ channel: LineChannel, _ additions: VectorAdditions) {
        self.channel = channel
        self.additions = additions
    }

    deinit { gather?.deallocate() }

    func run() throws {
        while true {
            let command: AllreduceMember.Command
            do { command = try channel.receive(AllreduceMember.Command.self, within: .seconds(3600)) } catch LineChannel
                .Failure.ended
            {
                allreduce?.close()
                return
            }
            if case .finish = command {
                allreduce?.close()
                return
            }
            let start = monotonicNanoseconds()
            do { try channel.send(try obey(command)) } catch let error as AllreduceError {
                let seconds = Double(monotonicNanoseconds() - start) * 1e-9
                try channel.send(AllreduceMember.Reply.failed(error.description, seconds: seconds))
            }
        }
    }

    private func obey(_ command: AllreduceMember.Command) throws -> AllreduceMember.Reply {
        switch command {
        case .setUp(let setup):
            allreduce?.close()
            var configuration = Allreduce.Configuration(
                worker: setup.worker,
                incarnation: setup.incarnation,
                job: setup.job,
                layout: setup.layout,
                maximumNodes: setup.maximumNodes,
                transport: setup.transport,
                additions: additions,
                host: setup.host ?? PeerAddress.hostIdentity()
            )
            configuration.roundedCount = setup.roundedElements
            configuration.keys = setup.keys
            let made = try Allreduce(configuration)
            allreduce = made
            self.setup = setup
            gather?.deallocate()
            gather = setup.gathers ? Self.privateMemory(setup.elements) : nil
            return .address(made.address)
        case .begin(let sent, let peers):
            guard let allreduce, let setup, let plan = sent.plan else {
                throw LineChannel.Failure.malformed("begin")
            }
            let nodes = try allreduce.begin(plan: plan, peers: peers, gather: gather?.baseAddress)
            for owned in nodes where owned.isPublished.contains(false) || owned.isPublished.isEmpty {
                setup.pattern.forEachBlock(
                    of: 0..<setup.elements,
                    owned.node,
                    plan.tree,
                    step: plan.step,
                    roundedCount: setup.roundedElements
                ) { first, values in
                    if let base = values.baseAddress { (owned.buffer + first).update(from: base, count: values.count) }
                }
            }
            self.plan = (plan, sent)
            return .ready
        case .run(let start): return try reduce(at: start)
        case .finish: throw LineChannel.Failure.ended
        }
    }

    private func reduce(at start: UInt64) throws -> AllreduceMember.Reply {
        guard let allreduce, let setup, let (plan, sent) = plan else { throw LineChannel.Failure.malformed("run") }
        // Spinning, so that all members begin within a microsecond.
        while monotonicNanoseconds() < start {}
        let buckets = setup.layout.buckets.indices
        for bucket in sent.stalls ? buckets.dropLast() : buckets { allreduce.publish(bucket: bucket) }
        if sent.stalls {
            try channel.send(AllreduceMember.Reply.ready)
            while true { pause() }
        }
        let sums = try allreduce.waitReduced(within: .seconds(sent.deadlineSeconds))
        let end = monotonicNanoseconds()
        var wrong = 0
        sums.forEachPiece(in: 0..<setup.elements) { piece, values in
            setup.pattern.forEachBlock(
                of: piece,
                plan.tree.root,
                plan.tree,
                step: plan.step,
                roundedCount: setup.roundedElements
            ) { first, expected in
                let found = values + (first - piece.lowerBound)
                for index in expected.indices where found[index].bitPattern != expected[index].bitPattern { wrong += 1 }
            }
        }
        allreduce.release(step: plan.step)
        return .reduced(
            .init(
                end: end,
                digest: sums.digest,
                wrongElements: wrong,
                busySeconds: sums.timings.busy.inSeconds,
                waitedSeconds: sums.timings.waited.inSeconds
            )
        )
    }

    /// Memory as a program would have it for its gradients: huge pages where there are any, touched.
    private static func privateMemory(_ elements: Int) -> UnsafeMutableBufferPointer<Float> {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(64, elements * 4), alignment: 2 << 20)
        if let base = bytes.baseAddress { system_advise_huge(base, bytes.count) }
        let floats = bytes.bindMemory(to: Float.self)
        floats.initialize(repeating: 0)
        return floats
    }
}
