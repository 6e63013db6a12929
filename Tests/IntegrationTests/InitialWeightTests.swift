import Foundation
import Testing

extension Processes {
    /// Runs that begin from others' weights, and weights for other programs.
    @Suite(.serialized) struct InitialWeights {
        private let runner: ProgramRunner

        init() throws { runner = try ProgramRunner() }

        @Test(.timeLimit(.minutes(15)))
        func aRunBeginsFromWhatAnotherHasExported() throws {
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let first = try runner.run(runner.launchArguments(configuration, run: "first"))
            try #require(first.status == 0, "\(first.errors)")
            let file = runner.path("first.safetensors")
            let exported = try runner.run(["export", runner.path("first"), "--best", "--safetensors", file])
            try #require(exported.status == 0, "\(exported.errors)")

            func begin(_ run: String, _ extra: [String]) throws -> ProgramRunner.Outcome {
                try runner.run(
                    runner.launchArguments(configuration, run: run, ["--set", "training.epochs=1"] + extra)
                )
            }
            let one = try begin("one", ["--set", "init.weights=\(file)", "--workers", "1"])
            try #require(one.status == 0, "\(one.errors)")
            #expect(one.errors.contains("tensors were loaded"), "\(one.errors)")
            // The same from the run itself, and with other workers.
            let two = try begin("two", ["--set", "init.from=\(runner.path("first"))", "--workers", "2"])
            try #require(two.status == 0, "\(two.errors)")
            let scratch = try begin("scratch", [])
            try #require(scratch.status == 0, "\(scratch.errors)")
            let hashes = try ["one", "two", "scratch"].map { try runner.inspect($0).stateSHA256 }
            #expect(hashes[0] == hashes[1] && hashes[0] != hashes[2])
            // Where it begins is a checkpoint of the run: the weights that were exported.
            let start = runner.path("one/checkpoints/step-00000000.h5")
            let again = runner.path("again.safetensors")
            #expect(try runner.run(["export", start, "--safetensors", again]).status == 0)
            // Counters of batches come first and are the steps; so far behind only weights stand.
            let ends = try [file, again].map { try Data(contentsOf: URL(filePath: $0)).suffix(4000) }
            #expect(ends[0] == ends[1])
        }

        @Test(.timeLimit(.minutes(15)))
        func weightsOfAnotherNetworkAreRefusedBeforeAnythingIsWritten() throws {
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            try "no weights".write(toFile: runner.path("text.pth"), atomically: true, encoding: .utf8)
            let refused = try runner.run(
                runner.launchArguments(
                    configuration,
                    run: "none",
                    ["--set", "init.weights=\(runner.path("text.pth"))"]
                )
            )
            #expect(refused.status == 65 && refused.errors.contains("holds no weights"), "\(refused.errors)")
            #expect(!FileManager.default.fileExists(atPath: runner.path("none")))
            let both = try runner.run(
                runner.launchArguments(
                    configuration,
                    run: "none",
                    ["--set", "init.weights=a", "--set", "init.from=b"]
                )
            )
            #expect(both.status == 78 && both.errors.contains("init.from"), "\(both.errors)")
            // Nothing of a person's is written over.
            let own = try runner.run(["export", runner.path("none"), "--safetensors", runner.path("text.pth")])
            #expect(own.status == 64 && own.errors.contains("has written"), "\(own.errors)")
        }
    }
}
