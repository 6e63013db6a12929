import Foundation
import Testing

extension Processes {
    /// Folders of runs that were cut short, moved, or lost a part.
    @Suite(.serialized) struct RunFolders {
        let runner: ProgramRunner
        let configuration: String

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            configuration = try runner.writeConfiguration("schedule: {name: constant}")
        }

        @Test(.timeLimit(.minutes(15)))
        func aRunWithoutACheckpointIsStartedAfresh() throws {
            defer { runner.remove() }
            let endless = [
                "--set", "training.epochs=200", "--set", "checkpoint.every_steps=0", "--set",
                "validation.every_epochs=0",
            ]
            let running = try runner.start(runner.launchArguments(configuration, run: "run", endless))
            #expect(running.wait { ((try? runner.metrics("run", kind: "step").count) ?? 0) >= 2 })
            // A second start is refused while the first one runs, and harms nothing.
            let second = try runner.run(runner.launchArguments(configuration, run: "run"))
            #expect(second.status == 75 && second.errors.contains("in use"), "\(second.errors)")
            running.send(SIGKILL)
            _ = try running.finish()

            let resumed = try runner.run(["resume", runner.path("run")])
            #expect(resumed.status == 66 && resumed.errors.contains("pleura launch"), "\(resumed.errors)")
            let launched = try runner.run(runner.launchArguments(configuration, run: "run"))
            #expect(launched.status == 0, "\(launched.errors)")
            #expect(launched.errors.contains("removed config.yaml, metrics.jsonl"), "\(launched.errors)")
            let lines = try runner.metrics("run", kind: "step").compactMap { $0["step"] as? Int }
            #expect(lines == Array(0..<6))

            // With checkpoints and without its configuration, no other run is mixed in.
            try FileManager.default.removeItem(atPath: runner.path("run/config.yaml"))
            let mixed = try runner.run(runner.launchArguments(configuration, run: "run"))
            #expect(mixed.status == 64 && mixed.errors.contains("config.yaml is gone"), "\(mixed.errors)")
            #expect(try runner.metrics("run", kind: "step").count == 6)
        }

        @Test(.timeLimit(.minutes(15)))
        func aRunMayBeMovedWithItsShards() throws {
            defer { runner.remove() }
            let files = FileManager.default
            // Relative names, as typed.
            let running = try runner.start(
                [
                    "launch", configuration, "--set", "run.directory=here", "--set", "data.shards=shards", "--set",
                    "checkpoint.every_steps=1",
                ],
                directory: runner.path("")
            )
            #expect(running.wait { ((try? runner.metrics("here", kind: "step").count) ?? 0) >= 2 })
            running.send(SIGINT)
            let drained = try running.finish()
            try #require(drained.status == 0, "\(drained.errors)")
            let saved = try String(contentsOfFile: runner.path("here/config.yaml"), encoding: .utf8)
            #expect(saved.contains("shards: \(runner.path("shards"))"), "\(saved)")

            try files.moveItem(atPath: runner.path("here"), toPath: runner.path("there"))
            try files.moveItem(atPath: runner.path("shards"), toPath: runner.path("aside"))
            let lost = try runner.run(["resume", runner.path("there")])
            #expect(lost.status == 66 && lost.errors.contains("--set data.shards=FOLDER"), "\(lost.errors)")
            try files.moveItem(atPath: runner.path("aside"), toPath: runner.path("there/shards"))
            let resumed = try runner.run(["resume", runner.path("there")])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(try runner.inspect("there").step == 6)

            // Complete: neither the shards nor a byte of the folder are needed to say so.
            try files.removeItem(atPath: runner.path("there/shards"))
            try files.removeItem(atPath: runner.path("there/.lock"))
            let names = try files.subpathsOfDirectory(atPath: runner.path("there")).sorted()
            let again = try runner.run(["resume", runner.path("there")])
            #expect(again.status == 0 && again.errors.contains("already complete"), "\(again.errors)")
            #expect(try files.subpathsOfDirectory(atPath: runner.path("there")).sorted() == names)

            // Other shards in the place of the run's own: no pictures of them.
            try files.removeItem(atPath: runner.path("data"))
            _ = try runner.makeShards(images: 12)
            try files.moveItem(atPath: runner.path("shards"), toPath: runner.path("there/shards"))
            let report = try runner.run(["report", runner.path("there")])
            #expect(report.status == 0)
            #expect(report.errors.contains("holds another data set"), "\(report.errors)")
        }
    }
}
