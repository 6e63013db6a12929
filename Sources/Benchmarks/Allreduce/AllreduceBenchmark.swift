package import Collectives
package import Diagnostics
package import Foundation
package import Messaging
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
        /// Whether all elements are summed as bfloat16.
        package var rounds: Bool
        /// What protects frames; nil: nothing.
        package var protection: PlaneKeys.Protection?

        package init(
            workers: Int,
            byteCounts: [Int],
            transport: TransportChoice,
            iterations: Int,
            warmUps: Int,
            bucketBytes: Int,
            rounds: Bool,
            protection: PlaneKeys.Protection? = nil
        ) {
            self.workers = workers
            self.byteCounts = byteCounts
            self.transport = transport
            self.iterations = iterations
            self.warmUps = warmUps
            self.bucketBytes = bucketBytes
            self.rounds = rounds
            self.protection = protection
        }
    }

    /// The times of one size in one variant.
    package struct Times: Codable, Sendable {
        package var medianSeconds: Double
        package var minimumSeconds: Double
        package var percentile99Seconds: Double
        package var maximumSeconds: Double
        /// The bus bandwidth of nccl-tests: bytes / median · 2(N-1)/N, in 10⁹ bytes a second.
        package var busBandwidth: Double
        /// The longest that a communication thread worked in the median sample.
        package var busySeconds: Double

        private enum CodingKeys: String, CodingKey {
            case medianSeconds = "median_s"
            case minimumSeconds = "min_s"
            case percentile99Seconds = "p99_s"
            case maximumSeconds = "max_s"
            case busBandwidth = "busbw_gb_s"
            case busySeconds = "busy_s"
        }
    }

    /// One size.
    ///
    /// The row's own figures are for sums that every member has in private contiguous memory, as Gloo leaves them;
    /// `in_place` for sums that every member reads where their owners added them, as training does.
    package struct Row: Codable, Sendable {
        package var bytes: Int
        package var medianSeconds: Double
        package var minimumSeconds: Double
        package var percentile99Seconds: Double
        package var busBandwidth: Double
        package var busySeconds: Double
        package var inPlace: Times

        private enum CodingKeys: String, CodingKey {
            case bytes
            case medianSeconds = "median_s"
            case minimumSeconds = "min_s"
            case percentile99Seconds = "p99_s"
            case busBandwidth = "busbw_gb_s"
            case busySeconds = "busy_s"
            case inPlace = "in_place"
        }
    }

    package struct Report: Codable, Sendable {
        package var benchmark = "allreduce"
        package var workers: Int
        package var transport: String
        /// `fp32` or `bf16`; `bytes` of the rows are those of fp32 in both.
        package var dtype: String
        /// `encrypted`, `authenticated` or `none`: how frames over ZeroMQ are protected.
        package var security: String
        package var iterations: Int
        package var bucketBytes: Int
        package var processors: Int
        /// Every element of every sample, warm-ups included, on every member.
        package var verified: Bool
        package var rows: [Row]

        private enum CodingKeys: String, CodingKey {
            case benchmark, workers, transport, dtype, security, iterations, processors, verified, rows
            case bucketBytes = "bucket_bytes"
        }
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
                let inPlace = try time(bytes, gathers: false, members)
                // Over ZeroMQ alone every member has all sums in memory of its own, contiguous, already.
                let gathered = options.transport == .zeromq ? inPlace : try time(bytes, gathers: true, members)
                progress(
                    "\(bytes) bytes: \(gathered.medianSeconds) s into private memory, \(inPlace.medianSeconds) s in place"
                )
                rows.append(
                    Row(
                        bytes: bytes,
                        medianSeconds: gathered.medianSeconds,
                        minimumSeconds: gathered.minimumSeconds,
                        percentile99Seconds: gathered.percentile99Seconds,
                        busBandwidth: gathered.busBandwidth,
                        busySeconds: gathered.busySeconds,
                        inPlace: inPlace
                    )
                )
            }
            return Report(
                workers: options.workers,
                transport: options.transport.rawValue,
                dtype: options.rounds ? "bf16" : "fp32",
                security: options.protection?.rawValue ?? "none",
                iterations: options.iterations,
                bucketBytes: options.bucketBytes,
                processors: ProcessInfo.processInfo.activeProcessorCount,
                verified: true,
                rows: rows
            )
        } catch let failure as MemberProcess.Failure {
            members.forEach { $0.kill() }
            throw Failure(description: failure.description, exitStatus: .temporary)
        }
    }

    private func time(_ bytes: Int, gathers: Bool, _ members: [MemberProcess]) throws -> Times {
        var addresses: [PeerAddress] = []
        let keys = try options.protection.map { try Self.keys(members.count, $0) }
        for (worker, member) in members.enumerated() {
            try member.send(
                .setUp(
                    .init(
                        worker: UInt32(worker),
                        incarnation: .random(in: .min ... .max),
                        job: 1,
                        elements: bytes / 4,
                        bucketElements: options.bucketBytes / 4,
                        maximumNodes: 1,
                        transport: options.transport,
                        gathers: gathers,
                        roundedElements: options.rounds ? bytes / 4 : 0,
                        keys: keys?[worker]
                    )
                )
            )
            guard case .address(let address) = try answer(member) else { throw Self.unexpected(worker) }
            addresses.append(address)
        }
        let tree = SumTree(leafCount: options.workers)
        var samples: [(time: Double, busy: Double)] = []
        for step in 0..<options.warmUps + options.iterations {
            let plan = ReductionPlan(
                step: UInt64(step),
                generation: 0,
                tree: tree,
                members: (0..<options.workers).map(UInt32.init),
                contributions: (0..<options.workers).map { .init(node: .leaf($0), owner: UInt32($0)) }
            )
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
            medianSeconds: median.time,
            minimumSeconds: samples[0].time,
            percentile99Seconds: samples[min(samples.count - 1, Int((Double(samples.count) * 0.99).rounded(.up)) - 1)]
                .time,
            maximumSeconds: samples[samples.count - 1].time,
            busBandwidth: Double(bytes) / median.time * factor * 1e-9,
            busySeconds: median.busy
        )
    }

    /// Keys for members, which know each other.
    package static func keys(
        _ count: Int,
        _ protection: PlaneKeys.Protection = .encrypted
    ) throws(MessagingError) -> [PlaneKeys] {
        var pairs: [CurvePair] = []
        for _ in 0..<count { pairs.append(try CurveKeys.generatePair()) }
        let names = pairs.enumerated().map { ("worker-\($0)", $1.publicKey) }
        guard let workers = AllowList(Dictionary(names) { first, _ in first }) else {
            throw .failed(reason: "two new keys are the same")
        }
        return pairs.enumerated().map {
            PlaneKeys(name: "worker-\($0)", pair: $1, workers: workers, protection: protection)
        }
    }

    private func sample(
        _ members: [MemberProcess],
        _ bytes: Int,
        _ step: Int
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
                        """,
                    exitStatus: .internal
                )
            }
            end = max(end, result.end)
            busy = max(busy, result.busySeconds)
            digests.insert(result.digest)
        }
        if digests.count != 1 {
            throw Failure(
                description: "The members' digests differ in iteration \(step) of \(bytes) bytes.",
                exitStatus: .internal
            )
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
