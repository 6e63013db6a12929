package import Diagnostics
import Foundation
import Glibc
import Messaging
import Numerics
import Platform
import Synchronization

/// Gives many inputs to all decoders of this program: none may end the process, hang or take memory out of proportion.
///
/// Case n of a seed is the same on every machine and in every run, so that a case that fails can be repeated alone. A
/// trap or a signal ends the process with a line that names the case.
package struct FuzzRun: Sendable {
    package struct Options: Sendable {
        package var cases: UInt64
        package var seed: UInt64
        /// The first case: others than 0 to repeat one.
        package var first: UInt64 = 0
        /// The names of targets; empty for all.
        package var targets: [String] = []
        /// Neither time nor memory is limited: for a program that was built with a sanitizer, which takes much of both.
        package var isUnlimited = false

        package init(cases: UInt64, seed: UInt64) {
            self.cases = cases
            self.seed = seed
        }
    }

    package struct Row: Sendable {
        package var target: String
        package var cases = 0
        package var accepted = 0
        package var slowest = Duration.zero
    }

    package struct Failure: ReportableError {
        package let description: String
        package var exitStatus: ExitStatus { .internal }
    }

    /// How long one case may take.
    package static let caseLimit = Duration.seconds(2)
    /// What the process may take beside what it had at the start: a thousand times the largest input.
    package static let memoryLimit = 128 << 20

    /// The names of all targets.
    package static func targetNames() throws -> [String] { try FuzzTarget.all().map(\.name) }

    private let options: Options

    package init(_ options: Options) { self.options = options }

    /// Runs all cases on the calling thread; throws `Failure` at the first that breaks a rule.
    package func run() throws -> [Row] {
        let targets =
            options.targets.isEmpty
            ? try FuzzTarget.all()
            : try (FuzzTarget.all() + FuzzTarget.broken()).filter { options.targets.contains($0.name) }
        guard !targets.isEmpty else {
            throw Failure(description: "No target has such a name; known are \(try Self.targetNames()).")
        }
        // Cases are dealt out by weight.
        let deal = targets.enumerated().flatMap { index, target in Array(repeating: index, count: target.weight) }
        var rows = targets.map { Row(target: $0.name) }
        // What the first use of each decoder takes stays.
        for target in targets { for sample in target.samples { _ = try? target.decode(sample) } }
        let place = CasePlace(seed: options.seed)
        if !options.isUnlimited { place.watch(limit: Self.caseLimit) }
        defer { place.end() }
        let memory = Self.peakBytes
        if !options.isUnlimited { Self.limitMemory() }
        let clock = ContinuousClock()
        for number in options.first..<options.first + options.cases {
            // A turn through the deal has another order each time, so that no target sees one residue of numbers alone.
            var random = FuzzRandom(seed: options.seed &* 0x9e37_79b9_7f4a_7c15 ^ number &* 0xd134_2543_de82_ef95)
            let index = deal[random.below(deal.count)]
            let target = targets[index]
            var input = FuzzMutation.input(of: target.samples, isText: target.isText, &random)
            if !random.onceIn(4) { input = target.mends(input) }
            place.begin(number)
            let start = clock.now
            var isAccepted = false
            do {
                isAccepted = try target.decode(input)
            } catch let defect as FuzzDefect {
                throw Failure(description: "\(place.name(number)), target \(target.name): \(defect).")
            } catch {
                // Refused, as it should be.
            }
            let time = clock.now - start
            rows[index].cases += 1
            if isAccepted { rows[index].accepted += 1 }
            rows[index].slowest = max(rows[index].slowest, time)
            if options.isUnlimited { continue }
            if time > Self.caseLimit {
                throw Failure(description: "\(place.name(number)), target \(target.name), took \(time).")
            }
            if number % 256 == 0, Self.peakBytes > memory + Self.memoryLimit {
                throw Failure(
                    description: "Up to \(place.name(number)), target \(target.name), the process took "
                        + "\((Self.peakBytes - memory) >> 20) MiB more than at the start."
                )
            }
        }
        return rows
    }

    /// The most memory that the process had; getrusage's figure begins with that of the process that started it.
    private static var peakBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }) else { return 0 }
        return (line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }

    /// A request for memory beyond the limit fails, and Swift then ends the process, in the case that asked for it.
    private static func limitMemory() {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        guard let pages = text.split(separator: " ").first.flatMap({ UInt($0) }) else { return }
        let bytes = rlim_t(pages * 4096) + rlim_t(4 * memoryLimit)
        var limit = rlimit(rlim_cur: bytes, rlim_max: rlim_t.max)
        guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = min(bytes, limit.rlim_max)
        setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    }
}

/// Which case runs, for those who must tell when it never ends or ends the process.
private final class CasePlace: Sendable {
    /// Read by a signal handler, which may touch nothing that can be locked or allocated.
    nonisolated(unsafe) static let shared: UnsafeMutablePointer<UInt64> = {
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
        words.initialize(repeating: 0, count: 2)
        return words
    }()

    private let seed: UInt64
    private let current = Atomic<UInt64>(.max)
    private let isOver = Atomic<Bool>(false)
    private let wakeUp: WakeUp?

    init(seed: UInt64) {
        self.seed = seed
        wakeUp = try? WakeUp()
        Self.shared[0] = seed
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE] { signal(number, Self.tell) }
    }

    func name(_ number: UInt64) -> String { "Case \(number) of seed \(seed)" }

    func begin(_ number: UInt64) {
        Self.shared[1] = number
        current.store(number, ordering: .relaxed)
    }

    /// Ends the process where one case goes on for longer than `limit`.
    func watch(limit: Duration) {
        let thread = try? OwnedThread(name: "pleura-fuzz") { [self] in
            guard let wakeUp else { return }
            var poller = Poller()
            _ = poller.add(descriptor: wakeUp.descriptor)
            var seen = UInt64.max
            while true {
                try? poller.wait(milliseconds: Int(limit.components.seconds) * 2000)
                if isOver.load(ordering: .relaxed) { return }
                let number = current.load(ordering: .relaxed)
                if number == seen && number != .max {
                    // At once: what follows waits for nobody. Where it cannot be written, the status tells.
                    try? StandardStream.error.write("pleura: \(name(number)) does not end.\n")
                    _exit(ExitStatus.internal.rawValue)
                }
                seen = number
            }
        }
        thread?.detach()
    }

    func end() {
        isOver.store(true, ordering: .relaxed)
        wakeUp?.signal()
    }

    private static let tell: @convention(c) (Int32) -> Void = { number in
        func say(_ text: StaticString) { _ = write(2, text.utf8Start, text.utf8CodeUnitCount) }
        func say(_ number: UInt64) {
            var left = number
            var divisor: UInt64 = 1
            while left / divisor >= 10 { divisor *= 10 }
            while divisor > 0 {
                var digit = UInt8(48 + left / divisor)
                _ = write(2, &digit, 1)
                left %= divisor
                divisor /= 10
            }
        }
        say("\npleura: Case ")
        say(shared[1])
        say(" of seed ")
        say(shared[0])
        say(" ended the program by signal ")
        say(UInt64(number))
        say(".\n")
        _exit(70)
    }
}
