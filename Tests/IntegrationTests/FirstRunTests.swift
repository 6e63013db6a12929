import Foundation
import Testing

extension Processes {
    /// What a new user does first: nothing but shards.
    @Suite(.serialized) struct FirstRuns {
        @Test(.timeLimit(.minutes(15)))
        func shardsAreEnough() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let shards = try runner.makeShards()
            let file = runner.path("mine.yaml")
            try "data: {shards: \(shards)}\n".write(toFile: file, atomically: true, encoding: .utf8)
            let short = ["--set", "training.steps=1", "--set", "validation.every_epochs=0"]
            func launch(_ arguments: [String]) throws -> ProgramRunner.Outcome {
                try runner.start(["launch"] + arguments, directory: runner.folder.path).finish()
            }
            let first = try launch([file] + short)
            #expect(first.status == 0, "\(first.errors)")
            #expect(first.errors.contains("the run is runs/mine-1"))
            #expect(first.errors.contains("next: `pleura evaluate runs/mine-1 --best`"), "\(first.errors)")
            let saved = try String(contentsOfFile: runner.path("runs/mine-1/config.yaml"), encoding: .utf8)
            for line in [
                "architecture: unet\n", "encoder: resnet34\n", "policy: positives\n", "name: adamw\n",
                "threads: auto\n",
            ] {
                #expect(saved.contains(line), "\(line)")
            }
            // Of the shards alone, and never into a folder that is there.
            let second = try launch([shards] + short)
            #expect(second.status == 0 && second.errors.contains("the run is runs/shards-1"), "\(second.errors)")
            let third = try launch([file] + short)
            #expect(third.status == 0 && third.errors.contains("the run is runs/mine-2"), "\(third.errors)")

            // A start that cannot begin leaves no folder.
            let refused = try launch([file, "--set", "data.size=100"])
            #expect(refused.status != 0)
            let absent = try launch([file, "--set", "data.shards=nowhere"])
            #expect(absent.status == 66, "\(absent.errors)")
            let names = try FileManager.default.contentsOfDirectory(atPath: runner.path("runs")).sorted()
            #expect(names == ["mine-1", "mine-2", "shards-1"])
        }

        /// A run whose data is damaged ends at once: no worker that comes could do better.
        @Test(.timeLimit(.minutes(15)))
        func aDamagedSampleEndsTheRun() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let shards = try runner.makeShards()
            let path = "\(shards)/shard-00000.h5"
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            // In every third part of the file: some sample of each epoch is read from it.
            for place in stride(from: bytes.count / 4, to: bytes.count * 3 / 4, by: 3000) { bytes[place] ^= 0x55 }
            try bytes.write(to: URL(fileURLWithPath: path))
            let outcome = try runner.run(runner.launchArguments(try runner.writeConfiguration(), run: "run"))
            #expect(outcome.status == 65, "\(outcome.errors)")
            #expect(
                outcome.errors.contains("The run was stopped at once: a shard of the data set is damaged"),
                "\(outcome.errors)"
            )
            #expect(outcome.errors.contains("`pleura verify \(shards)`"), "\(outcome.errors)")
            #expect(!outcome.errors.contains("goes on by itself"))
        }
    }
}
