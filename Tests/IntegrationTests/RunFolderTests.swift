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
            configuration = try runner.writeConfiguration()
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
        func whatIsAskedOfADeadRunIsRefusedAndNotObeyedLater() throws {
            defer { runner.remove() }
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--set", "training.epochs=200"])
            )
            // A checkpoint to resume from is written beside the steps.
            let latest = runner.path("run/checkpoints/latest")
            #expect(running.wait { FileManager.default.fileExists(atPath: latest) })
            let alive = try runner.run(["status", runner.path("run")])
            #expect(alive.status == 0 && !alive.output.contains("stopped or killed"), "\(alive.output)")
            running.send(SIGKILL)
            _ = try running.finish()
            let dead = try runner.run(["status", runner.path("run"), "--watch"])
            #expect(dead.status == 0 && dead.output.contains("was stopped or killed"), "\(dead.output)")
            let drain = try runner.run(["drain", runner.path("run")])
            #expect(drain.status == 66 && drain.errors.contains("Nobody leads the run"), "\(drain.errors)")
            #expect(drain.seconds < 20)
            // One that was left by other means is for nobody.
            try FileManager.default.createDirectory(
                atPath: runner.path("run/requests"),
                withIntermediateDirectories: true
            )
            try Data("{\"drain\":[],\"by\":\"anna\"}".utf8)
                .write(to: URL(fileURLWithPath: runner.path("run/requests/old.request")))
            // The slash of a shell's completion is no other run.
            let resumed = try runner.run(["resume", runner.path("run") + "/", "--set", "training.epochs=20"])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(resumed.errors.contains("was made before this start and is not obeyed"), "\(resumed.errors)")
            #expect(try runner.inspect("run").step == 60)

            // A configuration that was edited by hand is not gone on with in silence, and not sealed as it is.
            let file = runner.path("run/config.yaml")
            let kept = try String(contentsOfFile: file, encoding: .utf8)
            let edited = kept.replacingOccurrences(of: "learning_rate: 0.001", with: "learning_rate: 0.5")
            try #require(edited != kept)
            try edited.write(toFile: file, atomically: true, encoding: .utf8)
            let more = ["--set", "training.epochs=21"]
            let refused = try runner.run(["resume", runner.path("run")] + more)
            #expect(refused.status == 78, "\(refused.errors)")
            #expect(refused.errors.contains("`optimizer.learning_rate`: 0.001 -> 0.5"), "\(refused.errors)")
            #expect(try String(contentsOfFile: file, encoding: .utf8) == edited)
            let accepted = try runner.run(["resume", runner.path("run"), "--accept-edited-configuration"] + more)
            #expect(accepted.status == 0, "\(accepted.errors)")
            #expect(accepted.errors.contains("The learning rate goes from 0.001 to 0.5"), "\(accepted.errors)")
            // What a run keeps is said by the field.
            let other = try runner.run(["resume", runner.path("run"), "--set", "optimizer.name=sgd"])
            #expect(other.status == 78 && other.errors.contains("`optimizer.name` is adam, not sgd"), "\(other.errors)")
        }

        @Test(.timeLimit(.minutes(15)))
        func aCheckpointOfAnotherRunIsNotUsed() throws {
            defer { runner.remove() }
            let files = FileManager.default
            for run in ["one", "two"] {
                let outcome = try runner.run(runner.launchArguments(configuration, run: run))
                try #require(outcome.status == 0, "\(outcome.errors)")
            }
            let folder = runner.path("one/checkpoints")
            for name in try files.contentsOfDirectory(atPath: folder) where name.hasSuffix(".h5") {
                try files.removeItem(atPath: "\(folder)/\(name)")
            }
            let theirs = try #require(
                files.contentsOfDirectory(atPath: runner.path("two/checkpoints")).filter { $0.hasSuffix(".h5") }.max()
            )
            try files.copyItem(atPath: runner.path("two/checkpoints/\(theirs)"), toPath: "\(folder)/\(theirs)")
            let one = runner.path("one")
            for arguments in [
                ["resume", one, "--set", "training.epochs=3"], ["evaluate", one, "--threads", "1"],
                ["predict", one, "--input", runner.path("data"), "--output", runner.path("predicted")],
            ] {
                let outcome = try runner.run(arguments)
                #expect(outcome.status == 66, "\(arguments[0]): \(outcome.status) \(outcome.errors)")
                #expect(outcome.errors.contains("is of another run"), "\(arguments[0]): \(outcome.errors)")
            }
            #expect(!files.fileExists(atPath: "\(one)/rule.json"))
            let report = try runner.run(["report", one])
            #expect(report.status == 0 && report.errors.contains("is of another run"), "\(report.errors)")
            // Who names the file means it.
            let named = try runner.run([
                "predict", "\(folder)/\(theirs)", "--input", runner.path("data/dicom-images-train"), "--output",
                runner.path("predicted"),
            ])
            #expect(named.status == 0, "\(named.errors)")
        }

        @Test(.timeLimit(.minutes(15)))
        func aFolderThatIsRemovedUnderARunIsNoSuccess() throws {
            defer { runner.remove() }
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--set", "training.epochs=30"])
            )
            #expect(running.wait { ((try? runner.metrics("run", kind: "step").count) ?? 0) >= 3 })
            try FileManager.default.moveItem(atPath: runner.path("run"), toPath: runner.path("away"))
            let outcome = try running.finish()
            #expect(outcome.status == 75, "\(outcome.errors)")
            #expect(outcome.errors.contains("was removed, renamed or replaced"), "\(outcome.errors)")
            // Nothing has come to be in its place.
            #expect(!FileManager.default.fileExists(atPath: runner.path("run/checkpoints")))
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
