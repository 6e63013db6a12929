import Foundation
import Testing

extension Processes {
    /// Workers that die or stop at a known point of their work, by a fault that was planned for them: no luck is needed to
    /// hit it. `PlannedFaults` says what `PLEURA_FAULTS` holds.
    @Suite(.serialized) struct FaultPhases {
        private let runner: ProgramRunner
        private let configuration: String

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            // Four microbatches, so that each of four workers has one.
            configuration = try runner.writeConfiguration()
        }

        private let length = [
            "--set", "training.epochs=6", "--set", "training.microbatches=4", "--set", "training.microbatch_size=1",
        ]

        /// Longer runs, for what takes a while to begin.
        private var longer: [String] { length + ["--set", "training.epochs=40"] }

        /// The hash of the undisturbed run.
        private func whole(_ length: [String]) throws -> String {
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole", length))
            try #require(whole.status == 0, "\(whole.errors)")
            return try runner.inspect("whole").stateSHA256
        }

        private func environment(_ faults: [String], log: String = "faults") -> [String: String] {
            ["PLEURA_FAULTS": faults.joined(separator: ","), "PLEURA_FAULTS_LOG": runner.path(log)]
        }

        /// The points at which faults happened so far.
        private func points(log: String = "faults") -> [String] {
            let text = (try? String(contentsOfFile: runner.path(log), encoding: .utf8)) ?? ""
            return text.split(separator: "\n").map { String($0.split(separator: " ")[3]) }
        }

        private func processes(log: String = "faults") -> [Int32] {
            let text = (try? String(contentsOfFile: runner.path(log), encoding: .utf8)) ?? ""
            return text.split(separator: "\n").compactMap { Int32($0.split(separator: " ")[1]) }
        }

        /// The run has the undisturbed one's bits, and committed each step once.
        private func expectWhole(_ run: String, _ hash: String, _ outcome: ProgramRunner.Outcome) throws {
            #expect(outcome.status == 0, "\(run): \(outcome.errors)")
            #expect(try runner.inspect(run).stateSHA256 == hash, "\(run): \(outcome.errors)")
            let steps = try runner.metrics(run, kind: "step").compactMap { $0["step"] as? Int }
            #expect(steps == Array(0..<steps.count), "\(run): \(steps)")
        }

        @Test(.timeLimit(.minutes(15)))
        func killedAtEveryPointOfAStep() throws {
            defer { runner.remove() }
            let hash = try whole(length)
            // One after the other, and nobody takes their place: what the last one owns by then is much.
            for (run, points) in [
                ("early", ["assigned", "computing", "reducing"]), ("late", ["reduced", "applying", "streaming"]),
                ("least", ["validating"]),
            ] {
                let faults = points.enumerated().map { "kill:\($1):\(2 + 4 * $0):\($0)" }
                let outcome = try runner.start(
                    runner.launchArguments(
                        configuration,
                        run: run,
                        length + ["--workers", "4", "--set", "workers.respawns=0"]
                    ),
                    environment: environment(faults, log: "\(run).faults")
                ).finish()
                #expect(Set(self.points(log: "\(run).faults")) == Set(points), "\(outcome.errors)")
                try expectWhole(run, hash, outcome)
            }
        }

        @Test(.timeLimit(.minutes(15)))
        func severalAtOnceAndAllButOne() throws {
            defer { runner.remove() }
            let hash = try whole(length)
            for (run, victims) in [("several", [1, 2]), ("allbutone", [0, 1, 3])] {
                let outcome = try runner.start(
                    runner.launchArguments(
                        configuration,
                        run: run,
                        length + ["--workers", "4", "--set", "workers.respawns=0"]
                    ),
                    environment: environment(victims.map { "kill:computing:3:\($0)" }, log: "\(run).faults")
                ).finish()
                #expect(points(log: "\(run).faults").count == victims.count, "\(outcome.errors)")
                try expectWhole(run, hash, outcome)
            }
        }

        /// The only checkpoint of a run is its last: all connections that it goes over break once.
        @Test(.timeLimit(.minutes(15)))
        func connectionsThatBreakUnderTheLastCheckpoint() throws {
            defer { runner.remove() }
            let once = length + ["--set", "checkpoint.keep_best=0"]
            let hash = try whole(once)
            let outcome = try runner.start(
                runner.launchArguments(configuration, run: "run", once),
                environment: environment(["reset:streaming:24:0", "reset:streaming:24:1"])
            ).finish()
            #expect(points() == ["streaming", "streaming"], "\(outcome.errors)")
            // The shares go on over other connections, and no attempt at the checkpoint is lost.
            #expect(!outcome.errors.contains("This is the last checkpoint: attempt"), "\(outcome.errors)")
            try expectWhole("run", hash, outcome)
        }

        @Test(.timeLimit(.minutes(15)))
        func killedWhileItTakesTheStateOver() throws {
            defer { runner.remove() }
            let hash = try whole(longer)
            // Worker 0 dies; 2 takes its place and dies with the state in hand; 3 stays.
            let outcome = try runner.start(
                runner.launchArguments(configuration, run: "run", longer),
                environment: environment(["kill:computing:2:0", "kill:restoring:0:2"])
            ).finish()
            #expect(points() == ["computing", "restoring"], "\(outcome.errors)")
            try expectWhole("run", hash, outcome)
        }

        @Test(.timeLimit(.minutes(15)))
        func stoppedAndWokenAgain() throws {
            defer { runner.remove() }
            let hash = try whole(length)
            let points = ["computing", "reducing", "reduced"]
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", length),
                environment: environment(points.enumerated().map { "stop:\($1):\(3 + 4 * $0):1" })
            )
            for count in 1...points.count {
                #expect(running.wait { processes().count == count }, "\(running.errorText)")
                let victim = try #require(processes().last)
                // It stands still when the kernel says so: the line is written before.
                #expect(running.wait { state(of: victim) == "T" })
                kill(victim, SIGCONT)
            }
            let outcome = try running.finish()
            #expect(self.points() == points)
            try expectWhole("run", hash, outcome)
            #expect(!outcome.errors.contains("Worker 1"), "it was put out: \(outcome.errors)")
        }

        /// The state letter of a process.
        private func state(of process: Int32) -> String? {
            let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
            return text?.split(separator: ")").last?.split(separator: " ").first.map(String.init)
        }

        // MARK: Disks

        @Test(.timeLimit(.minutes(15)))
        func workersWhoseDisksFailLeaveTheRunAsItIs() throws {
            defer { runner.remove() }
            let hash = try whole(longer)
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", longer + ["--set", "workers.maximum=4"])
            )
            var endpoint: String?
            #expect(
                running.wait {
                    let data = FileManager.default.contents(atPath: runner.path("run/status.json")) ?? Data()
                    let status = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
                    endpoint = status?["endpoint"] as? String
                    return endpoint != nil
                }
            )
            let library = try ProgramRunner.program.deletingLastPathComponent()
                .appendingPathComponent("libFaultInjection.so").path
            try #require(FileManager.default.fileExists(atPath: library), "\(library) is not built")
            func join(_ fault: [String: String], _ arguments: [String]) throws -> RunningProgram {
                try runner.start(
                    ["worker", "--coordinator", try #require(endpoint)] + arguments,
                    environment: fault.merging(["LD_PRELOAD": library, "FAULT_COUNT": "1000000"]) { $1 }
                )
            }
            // One has prepared itself with fewer calls than a hundred, and cannot read its samples any more.
            let (shards, cache) = (runner.path("shards"), runner.path("cache"))
            let unreadable = try join(
                ["FAULT_FOLDER": shards, "FAULT_ACTION": "error:\(EIO)", "FAULT_KINDS": "read", "FAULT_CALL": "100"],
                ["--shards", shards]
            )
            let full = try join(
                [
                    "FAULT_FOLDER": cache, "FAULT_ACTION": "error:\(ENOSPC)", "FAULT_KINDS": "write,reserve,sync",
                    "FAULT_CALL": "1",
                ],
                ["--fetch", "--cache", cache]
            )
            for (worker, reason) in [(unreadable, "Input/output error"), (full, "No space left")] {
                let end = try worker.finish()
                #expect(end.status == 75 && end.errors.contains(reason), "\(end.status) \(end.errors)")
            }
            let outcome = try running.finish()
            #expect(outcome.errors.contains("joined at step"), "\(outcome.errors)")
            #expect(outcome.errors.contains("Input/output error"), "\(outcome.errors)")
            try expectWhole("run", hash, outcome)
        }
    }
}
