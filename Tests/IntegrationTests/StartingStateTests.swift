import Foundation
import Testing

extension Processes {
    /// What the program inherits from whoever starts it, and loses while it runs.
    @Suite(.serialized) struct StartingStates {
        let runner: ProgramRunner
        let configuration: String

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            configuration = try runner.writeConfiguration()
        }

        /// A command that changes its process by a line of Python and then becomes the program.
        private func python(_ line: String) -> [String] {
            [
                "python3", "-c",
                "import os, resource, signal, sys; \(line); os.execv(sys.argv[1], sys.argv[1:])",
            ]
        }

        private func steps(_ run: String) -> Int { (try? runner.metrics(run, kind: "step").count) ?? 0 }

        /// The hash of a run that nothing disturbs.
        private func undisturbed() throws -> String {
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole"))
            try #require(whole.status == 0, "\(whole.errors)")
            return try runner.inspect("whole").stateSHA256
        }

        @Test(.timeLimit(.minutes(5)))
        func aProgramThatIsReplacedGoesOnAsItself() throws {
            defer { runner.remove() }
            let expected = try undisturbed()
            // A link, so that nothing large is copied; the program that is deleted is the file's only name that it knows.
            let own = runner.path("pleura")
            try FileManager.default.copyItem(atPath: ProgramRunner.program.path, toPath: own)
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run"),
                prefix: ["python3", "-c", "import os, sys; os.execv('\(own)', ['\(own)'] + sys.argv[2:])"]
            )
            #expect(running.wait { steps("run") >= 1 }, "\(running.errorText)")
            try FileManager.default.removeItem(atPath: own)
            try "another program".write(toFile: own, atomically: true, encoding: .utf8)
            let worker = try #require(running.workers.first)
            let coordinator = try #require(running.coordinator)
            kill(worker, SIGKILL)
            kill(coordinator, SIGKILL)
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains("another one takes over"), "\(outcome.errors)")
            #expect(try runner.inspect("run").stateSHA256 == expected)
        }

        @Test(.timeLimit(.minutes(5)))
        func ignoredAndBlockedSignalsAreNot() throws {
            defer { runner.remove() }
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--set", "training.epochs=200"]),
                prefix: python(
                    "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)]; "
                        + "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))"
                )
            )
            #expect(running.wait { steps("run") >= 2 }, "\(running.errorText)")
            let worker = try #require(running.workers.first)
            kill(worker, SIGKILL)
            // How it ended is known, and another one takes its place.
            #expect(running.wait { running.errorText.contains("killed by signal 9") }, "\(running.errorText)")
            #expect(running.wait { running.workers.count == 2 && !running.workers.contains(worker) })
            // What Slurm sends before a job's time is over.
            running.send(SIGUSR1)
            let outcome = try running.finish()
            #expect(outcome.status == 0 && outcome.errors.contains("draining: SIGUSR1"), "\(outcome.errors)")
        }

        @Test(.timeLimit(.minutes(5)))
        func closedStandardStreamsTakeNoFilesPlace() throws {
            defer { runner.remove() }
            let expected = try undisturbed()
            let closed = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--verbose"]),
                prefix: python("os.closerange(0, 3)")
            ).finish()
            #expect(closed.status == 0)
            #expect(try runner.inspect("run").stateSHA256 == expected)
            // Whoever holds the lock writes itself into it, and nothing else does.
            let lock = try Data(contentsOf: URL(fileURLWithPath: runner.path("run/.lock")))
            #expect(throws: Never.self) { _ = try JSONSerialization.jsonObject(with: lock) }
        }

        @Test(.timeLimit(.minutes(5)))
        func aLimitOnFilesEndsNoRun() throws {
            defer { runner.remove() }
            // Every checkpoint is larger, and so is the memory that workers share.
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run"),
                prefix: python("resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))")
            )
            #expect(running.wait { running.errorText.contains("seconds for room") }, "\(running.errorText)")
            #expect(running.errorText.contains("limit on the size of files"), "\(running.errorText)")
            #expect(steps("run") == 6)
            let first = ContinuousClock.now
            running.send(SIGINT)
            #expect(running.wait { ContinuousClock.now - first > .milliseconds(1_200) }, "\(running.errorText)")
            running.send(SIGINT)
            #expect(try running.finish().status == 75)
        }

        @Test(.timeLimit(.minutes(5)))
        func aSmallStackIsEnough() throws {
            defer { runner.remove() }
            let small = try runner.start(
                runner.launchArguments(configuration, run: "run"),
                prefix: ["sh", "-c", "ulimit -s 256; exec \"$0\" \"$@\""]
            ).finish()
            #expect(small.status == 0, "\(small.errors)")
        }

        @Test(.timeLimit(.minutes(5)))
        func whatIsAskedForIsWrittenOrTheCommandFails() throws {
            defer { runner.remove() }
            let whole = try runner.run(runner.launchArguments(configuration, run: "run"))
            try #require(whole.status == 0, "\(whole.errors)")
            for command in [
                ["status", runner.path("run")], ["inspect", runner.path("run")], ["verify", runner.path("run")],
                ["inspect", "--fields"], ["--help"], ["--version"],
            ] {
                let full = try runner.start(command, prefix: ["sh", "-c", "exec \"$0\" \"$@\" > /dev/full"]).finish()
                #expect(full.status == 75, "\(command)")
                #expect(full.errors.contains("Cannot write to standard output: No space left on device."))
                let closed = try runner.start(command, prefix: ["sh", "-c", "exec \"$0\" \"$@\" >&-"]).finish()
                #expect(closed.status == 75, "\(command)")
                let early = try runner.start(command, prefix: ["sh", "-c", "\"$0\" \"$@\" | true"]).finish()
                // The next command may be named; of the reader that has left nothing is said.
                #expect(early.errors.split(separator: "\n").allSatisfy { $0.hasPrefix("next: ") }, "\(early.errors)")
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func aJobsOneCoreIsTheOnlyOneThatIsUsed() throws {
            defer { runner.remove() }
            let mask = [
                "python3", "-c",
                "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execv(sys.argv[1], sys.argv[1:])",
            ]
            let sharded = try runner.start(
                [
                    "shard", "--dicom", runner.path("data/dicom-images-train"), "--unlabelled", "--size", "64",
                    "--output", runner.path("others"),
                ],
                prefix: mask
            ).finish()
            #expect(sharded.output.contains("with 1 process\n"), "\(sharded.output)\(sharded.errors)")
            let launched = try runner.start(runner.launchArguments(configuration, run: "run"), prefix: mask).finish()
            #expect(launched.status == 0, "\(launched.errors)")
            #expect(
                launched.errors.components(separatedBy: "want 2 cores, and this process may use 1").count == 2,
                "\(launched.errors)"
            )
        }

        /// Making namespaces needs root.
        private static let isRoot = getuid() == 0

        @Test(.enabled(if: isRoot), .timeLimit(.minutes(5)))
        func theCommandLineIsHeardWithoutProc() throws {
            defer { runner.remove() }
            let bare = ["unshare", "-m", "sh", "-c", "mount -t tmpfs t /proc && exec \"$0\" \"$@\""]
            let wrong = try runner.start(["launch", "/nonexistent.yaml"], prefix: bare).finish()
            #expect(wrong.status == 66 && wrong.errors.contains("/nonexistent.yaml"), "\(wrong.errors)\(wrong.output)")
            let run = try runner.start(runner.launchArguments(configuration, run: "run"), prefix: bare).finish()
            #expect(run.status == 0, "\(run.errors)")
            #expect(try runner.inspect("run").stateSHA256 == undisturbed())
        }

        @Test(.enabled(if: isRoot), .timeLimit(.minutes(5)))
        func aLoopbackThatIsDownIsNamed() throws {
            defer { runner.remove() }
            let down = try runner.start(
                runner.launchArguments(configuration, run: "run"),
                prefix: ["unshare", "-n"]
            ).finish()
            #expect(down.status == 75 && down.errors.contains("loopback interface is down"), "\(down.errors)")
        }
    }
}
