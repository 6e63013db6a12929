package import Diagnostics
package import Foundation
import Reduction

/// Times the all-reduce between real processes of this machine and verifies every sum.
///
/// A sample is the time from the instant at which all members publish to the one at which the last of them has all
/// sums. Filling and verifying stand outside it.
package struct AllreduceBenchmark: Sendable {
    package struct Options: Sendable {
        package var workers: Int
        package var byteCounts: [Int]
        package var transport: TransportChoice
        package var iterations: Int
        package var warmUps: Int
        package var bucketBytes: Int

        package init(
            workers: Int, byteCounts: [Int], transport: TransportChoice, iterations: Int, warmUps: Int, bucketBytes: Int
        ) {
            self.workers = workers
            self.byteCounts = byteCounts
            self.transport = transport
            self.iterations = iterations
            self.warmUps = warmUps
            self.bucketBytes = bucketBytes
        }
    }

    /// The times of one size in one variant.
    package struct Times: Codable, Sendable {
        package var median_s: Double
        package var min_s: Double
        package var p99_s: Double
        package var max_s: Double
        /// The bus bandwidth of nccl-tests: bytes / median · 2(N-1)/N, in 10⁹ bytes a second.
        package var busbw_gb_s: Double
        /// The longest that a communication thread worked in the median sample.
        package var busy_s: Double
    }

    /// One size. The row's own figures are for sums that every member has in private contiguous memory, as Gloo leaves
    /// them; `in_place` for sums that every member reads where their owners added them, as training does.
    package struct Row: Codable, Sendable {
        package var bytes: Int
        package var median_s: Double
        package var min_s: Double
        package var p99_s: Double
        package var busbw_gb_s: Double
        package var busy_s: Double
        package var in_place: Times
    }

    package struct Report: Codable, Sendable {
        package var benchmark = "allreduce"
        package var workers: Int
        package var transport: String
        package var iterations: Int
        package var bucket_bytes: Int
        package var processors: Int
        /// Every element of every sample, warm-ups included, on every member.
        package var verified: Bool
        package var rows: [Row]
    }

    /// What went wrong, as a user reads it.
    package struct Failure: ReportableError {
        package let description: String
        package let exitStatus: ExitStatus
    }

    private let options: Options
    private let executable: URL
    private let arguments: [String]

    /// `executable` with `arguments` must run `AllreduceMember.run`.
    package init(_ options: Options, executable: URL, arguments: [String]) {
        self.options = options
        self.executable = executable
        self.arguments = arguments
    }

    /// Runs the benchmark on the calling thread, which must be one of the caller's own; throws `Failure`, for wrong
    /// sums too.
    package func run(progress: (String) -> Void) throws -> Report {
        var members: [MemberProcess] = []
        defer { members.forEach { $0.finish() } }
        do {
            for worker in 0..<options.workers {
                members.append(try MemberProcess(worker: worker, executable: executable, arguments: arguments))
            }
            var rows: [Row] = []
            for bytes in options.byteCounts {
                let gathered = try time(bytes, gathers: true, members)
                let inPlace = try time(bytes, gathers: false, members)
                progress(
                    "\(bytes) bytes: \(gathered.median_s) s into private memory, \(inPlace.median_s) s in place")
                rows.append(
                    Row(
                        bytes: bytes, median_s: gathered.median_s, min_s: gathered.min_s, p99_s: gathered.p99_s,
                        busbw_gb_s: gathered.busbw_gb_s, busy_s: gathered.busy_s, in_place: inPlace))
            }
            return Report(
                workers: options.workers, transport: options.transport.rawValue, iterations: options.iterations,
                bucket_bytes: options.bucketBytes, processors: ProcessInfo.processInfo.activeProcessorCount,
                verified: true, rows: rows)
        } catch let failure as MemberProcess.Failure {
            members.forEach { $0.kill() }
            throw Failure(description: failure.description, exitStatus: .temporary)
        }
    }

    private func time(_ bytes: Int, gathers: Bool, _ members: [MemberProcess]) throws -> Times {
        var addresses: [PeerAddress] = []
        for (worker, member) in members.enumerated() {
            try member.send(
                .setUp(
                    .init(
                        worker: UInt32(worker), incarnation: .random(in: .min ... .max), job: 1, elements: bytes / 4,
                        bucketElements: options.bucketBytes / 4, maximumNodes: 1, transport: options.transport,
                        gathers: gathers)))
            guard case .address(let address) = try answer(member) else { throw Self.unexpected(worker) }
            addresses.append(address)
        }
        let tree = SumTree(leafCount: options.workers)
        var samples: [(time: Double, busy: Double)] = []
        for step in 0..<options.warmUps + options.iterations {
            let plan = ReductionPlan(
                step: UInt64(step), generation: 0, tree: tree, members: (0..<options.workers).map(UInt32.init),
                contributions: (0..<options.workers).map { .init(node: .leaf($0), owner: UInt32($0)) })
            for member in members {
                try member.send(.begin(.init(plan, deadlineSeconds: 60), peers: addresses))
            }
            for (worker, member) in members.enumerated() {
                guard case .ready = try answer(member) else { throw Self.unexpected(worker) }
            }
            let sample = try sample(members, bytes, step)
            if step >= options.warmUps { samples.append(sample) }
        }
        samples.sort { $0.time < $1.time }
        let median = samples[samples.count / 2]
        let factor = 2 * Double(options.workers - 1) / Double(options.workers)
        return Times(
            median_s: median.time, min_s: samples[0].time,
            p99_s: samples[min(samples.count - 1, Int((Double(samples.count) * 0.99).rounded(.up)) - 1)].time,
            max_s: samples[samples.count - 1].time, busbw_gb_s: Double(bytes) / median.time * factor * 1e-9,
            busy_s: median.busy)
    }

    private func sample(
        _ members: [MemberProcess], _ bytes: Int, _ step: Int
    ) throws -> (time: Double, busy: Double) {
        // Far enough ahead for every member to have read it.
        let start = monotonicNanoseconds() + 2_000_000
        for member in members { try member.send(.run(at: start)) }
        var end = start
        var busy = 0.0
        var digests: Set<UInt64> = []
        for (worker, member) in members.enumerated() {
            guard case .reduced(let result) = try answer(member) else { throw Self.unexpected(worker) }
            if result.wrongElements > 0 {
                throw Failure(
                    description: """
                        \(result.wrongElements) of \(bytes / 4) sums were wrong on member \(worker) in iteration \
                        \(step) of \(bytes) bytes over \(options.transport.rawValue).
                        """, exitStatus: .internal)
            }
            end = max(end, result.end)
            busy = max(busy, result.busySeconds)
            digests.insert(result.digest)
        }
        if digests.count != 1 {
            throw Failure(
                description: "The members' digests differ in iteration \(step) of \(bytes) bytes.",
                exitStatus: .internal)
        }
        return (Double(end - start) * 1e-9, busy)
    }

    private func answer(_ member: MemberProcess) throws -> AllreduceMember.Reply {
        let reply = try member.reply(within: .seconds(90))
        if case .failed(let description, _) = reply {
            throw Failure(description: description, exitStatus: .temporary)
        }
        return reply
    }

    private static func unexpected(_ worker: Int) -> Failure {
        Failure(description: "Member \(worker) gave another answer than was asked for.", exitStatus: .internal)
    }
}
