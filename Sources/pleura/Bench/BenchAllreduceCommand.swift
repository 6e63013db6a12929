import ArgumentParser
import Benchmarks
import CSystem
import Collectives
import Foundation
import KernelSelection

/// `pleura bench allreduce`: times the all-reduce between real worker processes.
struct BenchAllreduceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allreduce",
        abstract: "Times the sum of gradients between worker processes and verifies every element.",
        discussion: """
            Bus bandwidth is that of nccl-tests: bytes / time · 2(N-1)/N. The figures are for sums that every worker \
            has in private memory, as Gloo leaves them; `in_place` gives those of sums read where they were added, as \
            training does.
            """
    )

    @Option(help: "Worker processes.")
    var workers = 2

    @Option(help: "Sizes of the vector, separated by commas; K, M and G are powers of 1024.")
    var bytes = "1M,4M,25M,98M"

    @Option(help: "shared-memory, zeromq or auto.")
    var transport = TransportChoice.sharedMemory

    @Option(help: "fp32, or bf16: summed and sent as bfloat16; --bytes stay those of fp32.")
    var dtype = "fp32"

    @Option(help: "none, encrypted or authenticated: frames over ZeroMQ as between hosts with keys.")
    var security = "none"

    @Option(help: "Samples of each size.")
    var iterations = 20

    @Option(help: "Samples before those, which are verified and not timed.")
    var warmUps = 3

    @Option(help: "Size of a bucket; K, M and G are powers of 1024.")
    var bucketBytes = "4M"

    @Option(help: "Where to write the report as JSON; `-` for standard output.", transform: userPath)
    var json: String?

    func validate() throws {
        guard (1...64).contains(workers) else { throw ValidationError("--workers must be 1 to 64, not \(workers).") }
        guard iterations > 0, warmUps >= 0 else {
            throw ValidationError("--iterations must be at least 1 and --warm-ups at least 0.")
        }
        guard ["fp32", "bf16"].contains(dtype) else {
            throw ValidationError("--dtype is fp32 or bf16, not `\(dtype)`.")
        }
        guard security == "none" || PlaneKeys.Protection(rawValue: security) != nil else {
            throw ValidationError("--security is none, encrypted or authenticated, not `\(security)`.")
        }
        if security != "none" && transport == .sharedMemory {
            throw ValidationError("--security protects frames: give --transport zeromq or auto.")
        }
        _ = try options()
    }

    func run() throws {
        try JSONOutput.requireOwn(json)
        let benchmark = AllreduceBenchmark(
            try options(),
            executable: try ownExecutable(),
            arguments: ["bench", "allreduce-member", "--parent", "\(getpid())"]
        )
        // The members die with the thread that starts them, which is this one.
        let report = try benchmark.run { printError($0) }
        if let json {
            try JSONOutput.write(report, to: json)
            if json == "-" { return }
        }
        try printResult(Self.table(report))
    }

    private func options() throws -> AllreduceBenchmark.Options {
        let sizes = try bytes.split(separator: ",").map { try Self.byteCount(String($0), option: "--bytes") }
        if sizes.isEmpty { throw ValidationError("--bytes names no size.") }
        return AllreduceBenchmark.Options(
            workers: workers,
            byteCounts: sizes,
            transport: transport,
            iterations: iterations,
            warmUps: warmUps,
            bucketBytes: try Self.byteCount(bucketBytes, option: "--bucket-bytes"),
            rounds: dtype == "bf16",
            protection: PlaneKeys.Protection(rawValue: security)
        )
    }

    /// `98M` as a number of bytes: a multiple of 4, up to 16 GiB.
    static func byteCount(_ text: String, option: String) throws -> Int {
        let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
        let unit = text.last.flatMap { units[Character($0.uppercased())] }
        let digits = unit == nil ? Substring(text) : text.dropLast()
        guard let number = Int(digits), (1...1 << 34).contains(number), number * (unit ?? 1) <= 1 << 34,
            number * (unit ?? 1) % 4 == 0
        else {
            throw ValidationError("\(option): `\(text)` is not a size of 4 bytes to 16G in multiples of 4, as in 98M.")
        }
        return number * (unit ?? 1)
    }

    private static func table(_ report: AllreduceBenchmark.Report) -> String {
        func column(_ value: Double, _ format: String) -> String { String(format: format, value) }
        var lines = [
            "\(report.workers) workers, \(report.transport), \(report.dtype), security \(report.security), "
                + "\(report.iterations) samples, all sums verified",
            "       bytes   median ms      min ms      p99 ms   busbw GB/s   in place ms",
        ]
        for row in report.rows {
            lines.append(
                column(Double(row.bytes), "%12.0f") + column(row.medianSeconds * 1e3, "%12.3f")
                    + column(row.minimumSeconds * 1e3, "%12.3f") + column(row.percentile99Seconds * 1e3, "%12.3f")
                    + column(row.busBandwidth, "%13.2f") + column(row.inPlace.medianSeconds * 1e3, "%14.3f")
            )
        }
        return lines.joined(separator: "\n")
    }
}

extension TransportChoice: ExpressibleByArgument {}

/// One member of the benchmark: started by `bench allreduce` and by tests, not by users.
struct BenchAllreduceMemberCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allreduce-member",
        abstract: "Takes part in an all-reduce as standard input says.",
        shouldDisplay: false
    )

    @Option(help: "The process with which this one ends.")
    var parent: Int32

    func run() throws {
        try endWithParent(parent)
        let variant = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
        try AllreduceMember.run(VectorAdditions(variant.table))
    }
}
