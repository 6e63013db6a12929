import Collectives
import Foundation
import Glibc
import Platform
import Reduction
import Synchronization
import Testing

/// How the members of a test reach each other.
enum Wiring: String, CaseIterable, Sendable {
    case sharedMemory, zeromq
    /// Two hosts in name: shared memory within each, frames between them.
    case mixed

    var transport: TransportChoice {
        switch self {
        case .sharedMemory: .sharedMemory
        case .zeromq: .zeromq
        case .mixed: .auto
        }
    }

    func host(of member: Int) -> String {
        self == .mixed ? "host-\(member / 2 % 2)" : PeerAddress.hostIdentity()
    }
}

/// The members of one job, as threads of this process.
final class Group: Sendable {
    let members: [Allreduce]
    let layout: BucketLayout
    let roundedCount: Int
    /// Bytes that all members have sent as frames' payloads.
    let sent = Mutex(0)
    let job = UInt64.random(in: .min ... .max)

    init(
        _ count: Int,
        layout: BucketLayout,
        maximumNodes: Int = 8,
        wiring: Wiring,
        roundedCount: Int = 0,
        additions: VectorAdditions = .portable,
        keys: [PlaneKeys] = []
    ) throws {
        self.layout = layout
        self.roundedCount = roundedCount
        let job = job
        members = try (0..<count).map { member in
            var configuration = Allreduce.Configuration(
                worker: UInt32(member),
                incarnation: .random(in: .min ... .max),
                job: job,
                layout: layout,
                maximumNodes: maximumNodes,
                transport: wiring.transport,
                additions: additions,
                host: wiring.host(of: member)
            )
            configuration.roundedCount = roundedCount
            if keys.indices.contains(member) { configuration.keys = keys[member] }
            return try Allreduce(configuration)
        }
    }

    var addresses: [PeerAddress] { members.map(\.address) }

    func close() { for member in members { member.close() } }
}

extension ReductionPlan {
    /// Contiguous runs of `leaves` in equal shares, as the fewest nodes.
    static func even(
        step: UInt64,
        generation: UInt32 = 0,
        leaves: Int,
        members: [Worker]
    ) -> ReductionPlan {
        let tree = SumTree(leafCount: leaves)
        let contributions = members.indices.flatMap { index in
            tree.cover(of: leaves * index / members.count..<leaves * (index + 1) / members.count).map {
                Contribution(node: $0, owner: members[index])
            }
        }
        return ReductionPlan(
            step: step,
            generation: generation,
            tree: tree,
            members: members,
            contributions: contributions.sorted { $0.node < $1.node }
        )
    }
}

extension BucketLayout {
    /// Buckets of the given sizes.
    init(sizes: [Int]) {
        var end = 0
        self.init(
            buckets: sizes.map { size in
                defer { end += size }
                return end..<end + size
            }
        )
    }
}

/// A port that takes connections and never speaks.
final class SilentListener {
    let port: UInt16
    private let descriptor: Int32

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 8) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(isListening)
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }
}

/// What a test finds on a thread of its own, where `#expect` does not know which test it belongs to.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// As `#expect`, for code inside `onThread`.
func expect(_ condition: Bool, _ message: String) throws {
    if !condition { throw Failure(message) }
}

/// Runs blocking work on a thread of its own.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        do {
            try OwnedThread(name: "test") { continuation.resume(with: Result(catching: body)) }.detach()
        } catch { continuation.resume(throwing: error) }
    }
}

/// Fills the nodes as a worker's backward passes would, publishing bucket by bucket from the last one on.
func contribute(
    _ nodes: [Allreduce.OwnedNode],
    to allreduce: Allreduce,
    plan: ReductionPlan,
    layout: BucketLayout,
    pattern: TestPattern = .random,
    roundedCount: Int = 0
) {
    for bucket in layout.buckets.indices.reversed() {
        for owned in nodes {
            pattern.forEachBlock(
                of: layout.buckets[bucket],
                owned.node,
                plan.tree,
                step: plan.step,
                roundedCount: roundedCount
            ) { first, values in
                for index in values.indices { owned.buffer[first + index] = values[index] }
            }
        }
        allreduce.publish(bucket: bucket)
    }
}

/// How many elements of the sums are not the bits of the canonical order.
func wrongElements(
    _ sums: ReducedSums,
    plan: ReductionPlan,
    layout: BucketLayout,
    pattern: TestPattern = .random,
    roundedCount: Int = 0
) -> Int {
    var wrong = 0
    var covered = 0
    sums.forEachPiece(in: 0..<layout.elementCount) { piece, values in
        covered += piece.count
        pattern.forEachBlock(of: piece, plan.tree.root, plan.tree, step: plan.step, roundedCount: roundedCount) {
            first,
            expected in
            for index in expected.indices {
                if values[first - piece.lowerBound + index].bitPattern != expected[index].bitPattern { wrong += 1 }
            }
        }
    }
    return wrong + abs(covered - layout.elementCount)
}

extension Group {
    /// Takes all members of `plan` through one step; returns the digest that all agree on.
    func step(_ plan: ReductionPlan, within limit: Duration = .seconds(30)) async throws -> UInt64 {
        let digests = try await withThrowingTaskGroup(of: (digest: UInt64, wrong: Int).self) { tasks in
            for worker in plan.members {
                let member = members[Int(worker)]
                tasks.addTask { [self] in
                    try await onThread { [self] in
                        let nodes = try member.begin(plan: plan, peers: addresses)
                        contribute(nodes, to: member, plan: plan, layout: layout, roundedCount: roundedCount)
                        let sums = try member.waitReduced(within: limit)
                        defer { member.release(step: plan.step) }
                        sent.withLock { $0 += sums.timings.sentBytes }
                        let wrong = wrongElements(sums, plan: plan, layout: layout, roundedCount: roundedCount)
                        return (sums.digest, wrong)
                    }
                }
            }
            return try await tasks.reduce(into: []) { $0.append($1) }
        }
        #expect(digests.allSatisfy { $0.wrong == 0 }, "wrong elements: \(digests.map(\.wrong))")
        #expect(Set(digests.map(\.digest)).count == 1, "digests differ: \(digests.map(\.digest))")
        return try #require(digests.first).digest
    }
}

/// Random numbers that a seed repeats (SplitMix64), for tests whose data are drawn: a failure tells the seed.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
