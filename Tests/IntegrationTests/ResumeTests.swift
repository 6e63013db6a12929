import Foundation
import Testing

extension Processes {
    /// What `resume` does with runs that are complete, empty or damaged.
    @Suite(.serialized) struct Resuming {
        @Test(.timeLimit(.minutes(15)))
        func completeDamagedAndMissingRuns() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let launched = try runner.run(runner.launchArguments(configuration, run: "run"))
            try #require(launched.status == 0, "\(launched.errors)")
            let reference = try runner.inspect("run")

            // Complete: says so, changes nothing.
            let metrics = try Data(contentsOf: URL(fileURLWithPath: runner.path("run/metrics.jsonl")))
            let again = try runner.run(["resume", runner.path("run")])
            #expect(again.status == 0)
            #expect(again.errors.contains("already complete"))
            #expect(try Data(contentsOf: URL(fileURLWithPath: runner.path("run/metrics.jsonl"))) == metrics)

            // A run in the folder already.
            let twice = try runner.run(runner.launchArguments(configuration, run: "run"))
            #expect(twice.status == 64)
            #expect(twice.errors.contains("pleura resume"))

            // A flipped bit in the newest checkpoint: refused by name, the one before is used, same end.
            let folder = runner.path("run/checkpoints")
            let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("step-") }
            let newest = try #require(names.max())
            var bytes = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(newest)"))
            bytes[bytes.count / 2] ^= 0x10
            try bytes.write(to: URL(fileURLWithPath: "\(folder)/\(newest)"))
            let resumed = try runner.run(["resume", runner.path("run")])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(resumed.errors.contains(newest))
            #expect(try runner.inspect("run").stateSHA256 == reference.stateSHA256)

            // What the position and the weights stand on cannot change half-way.
            for (change, told) in [
                ("network.base_width=16", "`network.base_width` is 8, not 16"),
                ("run.seed=8", "`run.seed` is 7, not 8"),
                ("collectives.dtype=bf16", "`collectives.dtype` is fp32, not bf16"),
                ("training.microbatches=4", "`training.microbatches` is 3, not 4"),
            ] {
                let other = try runner.run(["resume", runner.path("run"), "--set", change])
                #expect(other.status == 78)
                #expect(other.errors.contains(told), "\(other.errors)")
            }

            // No run at all.
            let nothing = try runner.run(["resume", runner.path("nowhere")])
            #expect(nothing.status == 66)
            #expect(nothing.errors.contains("nowhere"))
        }
    }
}
