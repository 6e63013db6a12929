import Foundation
import Testing

/// All tests with processes of their own: one after the other, since each takes the machine's cores.
@Suite(.serialized) enum Processes {}

/// The built program, as a user runs it.
struct ProgramRunner {
    /// A folder of the test's own, removed at its end.
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    /// The program stands beside the tests.
    static var program: URL {
        get throws {
            let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("pleura")
        }
    }

    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
        var seconds: Double
    }

    /// Starts the program; standard output and error go to files.
    ///
    /// `directory` is its working directory, `errors` a file for standard error that is there already, and `prefix` a
    /// command that becomes the program, such as `ip netns exec NAME`.
    func start(
        _ arguments: [String],
        environment: [String: String] = [:],
        directory: String? = nil,
        errors: String? = nil,
        prefix: [String] = []
    ) throws -> RunningProgram {
        try RunningProgram(
            arguments,
            prefix: prefix,
            environment: environment,
            folder: folder,
            directory: directory,
            errors: errors
        )
    }

    /// Runs the program to its end.
    @discardableResult
    func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
        try start(arguments, environment: environment).finish()
    }

    // MARK: A small data set and a small run

    /// Writes phantoms and shards, `images` of 64 × 64.
    func makeShards(images: Int = 24) throws -> String {
        let synthesized = try run([
            "synthesize", path("data"), "--images", "\(images)", "--size", "128", "--seed", "3", "--positives", "0.5",
        ])
        try #require(synthesized.status == 0, "\(synthesized.errors)")
        let sharded = try run([
            "shard", "--dicom", path("data/dicom-images-train"), "--labels", path("data/train-rle.csv"), "--size", "64",
            "--folds", "3", "--output", path("shards"),
        ])
        try #require(sharded.status == 0, "\(sharded.errors)")
        return path("shards")
    }

    /// Writes the configuration of a run of some seconds whose last batch is short, and returns its path.
    func writeConfiguration(_ changes: String = "") throws -> String {
        let text = """
            run: {directory: \(path("run")), seed: 7}
            data:
              shards: \(path("shards"))
              folds: {validation: [0]}
              channels: 1
              normalisation: {mean: 0.5, std: 0.25}
            sampler: {policy: all}
            loss: {dice_per: microbatch}
            schedule: {name: constant, warmup_steps: 0}
            network: {architecture: unet-small, base_width: 8}
            optimizer: {name: adam, learning_rate: 1e-3, clip_norm: 1}
            training: {epochs: 2, microbatches: 3, microbatch_size: 2}
            validation: {every_epochs: 1}
            checkpoint: {every_steps: 2, keep_last: 10}
            averaging: {ema: 0.9}
            workers: {count: 2, threads: 1, heartbeat_seconds: 0.25}
            \(changes)
            """
        let file = path("config.yaml")
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        return file
    }

    /// `launch` with overrides.
    func launchArguments(_ configuration: String, run: String, _ extra: [String] = []) -> [String] {
        ["launch", configuration, "--set", "run.directory=\(path(run))"] + extra
    }

    struct Inspection: Decodable {
        var step: Int
        var weightsSHA256: String
        var stateSHA256: String

        enum CodingKeys: String, CodingKey {
            case step
            case weightsSHA256 = "weights_sha256"
            case stateSHA256 = "state_sha256"
        }
    }

    func inspect(_ run: String) throws -> Inspection {
        let outcome = try self.run(["inspect", path(run), "--json", "-"])
        try #require(outcome.status == 0, "\(outcome.errors)")
        return try JSONDecoder().decode(Inspection.self, from: Data(outcome.output.utf8))
    }

    /// The lines of the run's metrics of a kind.
    func metrics(_ run: String, kind: String) throws -> [[String: Any]] {
        let text = try String(contentsOfFile: path("\(run)/metrics.jsonl"), encoding: .utf8)
        return try text.split(separator: "\n").compactMap {
            let line = try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
            return line?["kind"] as? String == kind ? line : nil
        }
    }
}

/// A process of the program.
final class RunningProgram {
    let process = Process()
    private let output: URL
    private let errors: URL
    private let began = ContinuousClock.now

    init(
        _ arguments: [String],
        prefix: [String],
        environment: [String: String],
        folder: URL,
        directory: String?,
        errors given: String?
    ) throws {
        let name = UUID().uuidString
        output = folder.appendingPathComponent("\(name).out")
        errors = folder.appendingPathComponent("\(name).err")
        for file in [output, errors] { try Data().write(to: file) }
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        let program = try ProgramRunner.program
        process.executableURL = prefix.isEmpty ? program : URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = (prefix.isEmpty ? [] : prefix + [program.path]) + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: given.map(URL.init(fileURLWithPath:)) ?? errors)
        try process.run()
    }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    var errorText: String { (try? String(contentsOf: errors, encoding: .utf8)) ?? "" }

    /// Looks until `isMet` holds; false where the process ended or a minute passed before.
    func wait(until isMet: () -> Bool) -> Bool {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if isMet() { return true }
            if !process.isRunning { return isMet() }
            // The condition is in files of another process, which sends no event here.
            usleep(2_000)
        }
        return false
    }

    func finish() throws -> ProgramRunner.Outcome {
        process.waitUntilExit()
        let elapsed = ContinuousClock.now - began
        return ProgramRunner.Outcome(
            status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
            output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8),
            seconds: Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
        )
    }

    /// The worker processes that this one has started and that live.
    var workers: [Int32] { children(running: "worker") }

    /// The process that leads the run, where it lives.
    var coordinator: Int32? { children(running: "coordinate").first }

    /// The `ssh` processes through which it has started workers on other hosts.
    var connections: [Int32] {
        children.filter {
            (try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8))?.hasPrefix("ssh") ?? false
        }
    }

    /// Processes whose parent is this one and that run a command of the program's.
    private func children(running command: String) -> [Int32] {
        children.filter { child in
            let line = (try? String(contentsOfFile: "/proc/\(child)/cmdline", encoding: .utf8)) ?? ""
            let words = line.split(separator: "\0")
            return words.count > 1 && words[1] == command
        }
    }

    /// Processes whose parent is this one.
    private var children: [Int32] {
        // The kernel lists them by the thread that started them.
        let tasks = "/proc/\(process.processIdentifier)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
        return threads.flatMap { thread in
            let text = (try? String(contentsOfFile: "\(tasks)/\(thread)/children", encoding: .utf8)) ?? ""
            return text.split(separator: " ").compactMap { Int32($0) }
        }.sorted()
    }

    deinit { if process.isRunning { process.terminate() } }
}
