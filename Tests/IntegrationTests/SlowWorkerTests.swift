import Foundation
import Testing

/// A run whose workers the test starts one by one, so that they may differ.
struct UnevenRun {
    let coordinator: RunningProgram
    let workers: [RunningProgram]

    /// Starts `launch` with `settings` and a worker for each entry of `faults`; empty: one without.
    init(_ runner: ProgramRunner, _ configuration: String, run: String, faults: [String], _ settings: [String]) throws {
        let coordinator = try runner.start(
            runner.launchArguments(configuration, run: run, settings) + [
                "--no-local-workers", "--bind", "tcp://127.0.0.1:*", "--workers", "\(faults.count)",
            ]
        )
        self.coordinator = coordinator
        var endpoint: String?
        let isThere = coordinator.wait {
            // The line is whole once the next character has come.
            endpoint = coordinator.errorText.firstMatch(of: /--coordinator (tcp:\/\/\S+:\d+)\s/).map { String($0.1) }
            return endpoint != nil
        }
        try #require(isThere, "\(coordinator.errorText)")
        let address = try #require(endpoint)
        workers = try faults.map { fault in
            try runner.start(["worker", "--coordinator", address] + (fault.isEmpty ? [] : ["--fault", fault]))
        }
    }

    /// What the coordinator has said, once it has ended; the workers' ends are waited for too.
    func finish() throws -> (outcome: ProgramRunner.Outcome, workers: [ProgramRunner.Outcome]) {
        let outcome = try coordinator.finish()
        return (outcome, try workers.map { try $0.finish() })
    }
}

extension Processes {
    /// Work goes to workers by their speed; who is slow is named with the reason.
    @Suite(.serialized) struct SlowWorkers {
        private let runner: ProgramRunner
        private let configuration: String
        private static let length = [
            "--set", "training.microbatches=16", "--set", "training.epochs=1000", "--set", "training.steps=24",
            "--set", "validation.every_epochs=0", "--set", "checkpoint.every_steps=0", "--set", "network.base_width=16",
        ]

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards(images: 96)
            configuration = try runner.writeConfiguration()
        }

        private struct Share: Decodable {
            var images: Double
        }

        private struct Step: Decodable {
            var workers: [Share]
        }

        private func steps(_ run: String) throws -> [Step] {
            try runner.metrics(run, kind: "step").map {
                try JSONDecoder().decode(Step.self, from: JSONSerialization.data(withJSONObject: $0))
            }
        }

        private func whole() throws -> String {
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole", Self.length))
            try #require(whole.status == 0, "\(whole.errors)")
            return try runner.inspect("whole").stateSHA256
        }

        @Test(.timeLimit(.minutes(15)), arguments: ["slow=4", "slow=4@8"])
        func aWorkerFourTimesAsSlowCostsWhatItLacks(fault: String) throws {
            defer { runner.remove() }
            let hash = try whole()
            let (outcome, workers) = try UnevenRun(
                runner,
                configuration,
                run: "uneven",
                faults: ["", fault],
                Self.length
            ).finish()
            #expect(outcome.status == 0, "\(outcome.errors)\n\(workers.map(\.errors))")
            #expect(try runner.inspect("uneven").stateSHA256 == hash)
            #expect(outcome.errors.contains(/worker \d on host \S+ is slow: .*\(compute\)/), "\(outcome.errors)")
            // The slow one computes less, though not nothing. What that is worth in time is the matter of
            // `benchmarks/slow.py`, which fails below 85 % of the ideal.
            let images = try #require(steps("uneven").last?.workers.map(\.images))
            #expect((images.min() ?? 0) >= 2 && (images.max() ?? 0) >= 3 * (images.min() ?? 0), "\(images)")
        }

        @Test(.timeLimit(.minutes(15)))
        func aWorkerThatWaitsForItsSamplesIsNamedForIt() throws {
            defer { runner.remove() }
            let (outcome, workers) = try UnevenRun(
                runner,
                configuration,
                run: "starved",
                faults: ["load=150", ""],
                Self.length
            ).finish()
            #expect(outcome.status == 0, "\(outcome.errors)\n\(workers.map(\.errors))")
            #expect(outcome.errors.contains(/worker \d on host \S+ is slow: .*\(data\)/), "\(outcome.errors)")
            #expect(try runner.inspect("starved").stateSHA256 == whole())
            let status = try runner.run(["status", runner.path("starved")])
            #expect(status.output.contains("data ×"), "\(status.output)")
        }
    }
}
