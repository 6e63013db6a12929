import Foundation
import Testing

extension Processes {
    /// Workers that users start themselves, as on other hosts.
    @Suite(.serialized) struct ExternalWorkers {
        private let runner: ProgramRunner

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
        }

        /// Starts `launch` or `resume` without workers, in the test's folder, and waits until it says where it listens.
        private func startCoordinator(_ arguments: [String]) throws -> (running: RunningProgram, endpoint: String) {
            let running = try runner.start(
                arguments + ["--no-local-workers", "--bind", "tcp://127.0.0.1:*"],
                directory: runner.folder.path
            )
            var endpoint: String?
            let isThere = running.wait {
                // The line is whole once the next character has come.
                endpoint = running.errorText.firstMatch(of: /--coordinator (tcp:\/\/\S+:\d+)\s/).map { String($0.1) }
                return endpoint != nil
            }
            try #require(isThere, "\(running.errorText)")
            return (running, try #require(endpoint))
        }

        private func startWorker(_ endpoint: String, host: String, _ extra: [String] = []) throws -> RunningProgram {
            let directory = runner.path("host-\(host)")
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            return try runner.start(
                ["worker", "--coordinator", endpoint, "--host", host, "--cache", "\(directory)/cache"] + extra,
                directory: directory
            )
        }

        private func settings(run: String) -> [String] {
            ["--set", "run.directory=\(run)", "--set", "data.shards=shards"]
        }

        private func cachedShards(_ host: String) throws -> [String: Date] {
            let cache = URL(fileURLWithPath: runner.path("host-\(host)/cache"))
            var result: [String: Date] = [:]
            for folder in try FileManager.default.contentsOfDirectory(at: cache, includingPropertiesForKeys: nil) {
                for file in try FileManager.default.contentsOfDirectory(
                    at: folder,
                    includingPropertiesForKeys: [.contentModificationDateKey]
                ) where file.pathExtension == "h5" {
                    result[file.lastPathComponent] =
                        try file.resourceValues(forKeys: [.contentModificationDateKey]).contentModificationDate
                }
            }
            return result
        }

        @Test(.timeLimit(.minutes(15)))
        func twoHostsFetchTheirShardsAndComputeTheSameBits() throws {
            defer { runner.remove() }
            let configuration = try runner.writeConfiguration()
            let local = try runner.run(runner.launchArguments(configuration, run: "local"))
            try #require(local.status == 0, "\(local.errors)")
            let hosts = ["a", "b"]

            func run(_ arguments: [String], fetches: Bool) throws {
                let (coordinator, endpoint) = try startCoordinator(arguments)
                let workers = try hosts.map { try startWorker(endpoint, host: $0, ["--fetch"]) }
                let outcome = try coordinator.finish()
                let ends = try workers.map { try $0.finish() }
                #expect(outcome.status == 0, "\(outcome.errors)\n\(ends.map(\.errors))")
                for end in ends {
                    #expect(end.status == 0, "\(end.errors)")
                    #expect(end.errors.contains("fetching the data set") == fetches, "\(end.errors)")
                }
            }
            try run(["launch", configuration] + settings(run: "remote"), fetches: true)
            #expect(try runner.inspect("remote").stateSHA256 == runner.inspect("local").stateSHA256)

            // An epoch more on the same hosts: what was fetched is used again, the checkpoint is fetched.
            let kept = try hosts.map(cachedShards)
            #expect(kept.allSatisfy { !$0.isEmpty })
            let more = ["--set", "training.epochs=3"]
            try run(["resume", "remote"] + more, fetches: false)
            #expect(try hosts.map(cachedShards) == kept)
            let resumed = try runner.run(["resume", runner.path("local")] + more)
            try #require(resumed.status == 0, "\(resumed.errors)")
            #expect(try runner.inspect("remote").stateSHA256 == runner.inspect("local").stateSHA256)
        }

        @Test(.timeLimit(.minutes(15)))
        func aWorkerThatIsAskedTwiceEndsInTheMiddleOfAStep() throws {
            defer { runner.remove() }
            // One step takes the one thread far longer than the test: many large microbatches.
            let configuration = try runner.writeConfiguration()
            let (coordinator, endpoint) = try startCoordinator(
                ["launch", configuration] + settings(run: "left") + [
                    "--workers", "1", "--set", "training.microbatches=16", "--set", "training.microbatch_size=1",
                    "--set", "data.size=256", "--set", "network.base_width=32",
                ]
            )
            defer { coordinator.send(SIGKILL) }
            let worker = try startWorker(endpoint, host: "a", ["--shards", runner.path("shards")])
            defer { worker.send(SIGKILL) }
            #expect(coordinator.wait { coordinator.errorText.contains("started at step 0") })
            worker.send(SIGINT)
            // The coordinator says so once the worker has taken the first signal. A second one counts from a second on.
            #expect(coordinator.wait { coordinator.errorText.contains("asked to leave") }, "\(coordinator.errorText)")
            let before = ContinuousClock.now
            #expect(worker.wait { ContinuousClock.now - before > .milliseconds(1_200) })
            worker.send(SIGINT)
            let outcome = try worker.finish()
            // The run has not ended: a scheduler that counts ends would take 0 for it.
            #expect(outcome.status == 75)
            // The words of the second request: after the first alone it ends with the step, and says so.
            #expect(outcome.errors.contains("was asked to end for the second time"), "\(outcome.errors)")
        }

        @Test(.timeLimit(.minutes(15)))
        func anotherBuildIsRefusedByName() throws {
            defer { runner.remove() }
            let configuration = try runner.writeConfiguration()
            let (coordinator, endpoint) = try startCoordinator(
                ["launch", configuration] + settings(run: "builds") + ["--workers", "1"]
            )
            defer { coordinator.send(SIGKILL) }
            // A program that does the same, but is not the same.
            let other = URL(fileURLWithPath: runner.path("pleura"))
            try FileManager.default.copyItem(at: try ProgramRunner.program, to: other)
            let file = try FileHandle(forWritingTo: other)
            try file.seekToEnd()
            try file.write(contentsOf: Data([0]))
            try file.close()
            let process = Process()
            let errors = Pipe()
            process.executableURL = other
            process.arguments = ["worker", "--coordinator", endpoint, "--shards", runner.path("shards")]
            process.standardError = errors
            try process.run()
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 78, "\(text)")
            #expect(text.matches(of: /\(build [0-9a-f]{16}\)/).count == 2, "\(text)")
        }
    }
}
