import Foundation
import Testing

extension Processes {
    /// A coordinator that dies or stands still is followed by another one, and the run goes on from its workers' memory.
    @Suite(.serialized) struct LostCoordinators {
        private static let length = [
            "--set", "training.epochs=12", "--set", "workers.timeouts.silence_seconds=1", "--set",
            "workers.heartbeat_seconds=0.2", "--set", "checkpoint.every_steps=1000", "--set", "checkpoint.keep_best=0",
        ]

        private func whole(_ runner: ProgramRunner) throws -> (configuration: String, hash: String) {
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole", Self.length))
            try #require(whole.status == 0, "\(whole.errors)")
            return (configuration, try runner.inspect("whole").stateSHA256)
        }

        /// Waits until the run has taken `count` steps, and another coordinator than those before leads it.
        private func awaitCoordinator(
            _ running: RunningProgram,
            _ runner: ProgramRunner,
            _ run: String,
            steps count: Int,
            after dead: [Int32]
        ) throws -> Int32 {
            var found: Int32?
            let isThere = running.wait {
                guard ((try? runner.metrics(run, kind: "step").count) ?? 0) >= count else { return false }
                found = running.coordinator.flatMap { dead.contains($0) ? nil : $0 }
                return found != nil
            }
            try #require(isThere, "\(running.errorText)")
            return try #require(found)
        }

        private func expectWhole(
            _ outcome: ProgramRunner.Outcome,
            _ runner: ProgramRunner,
            _ run: String,
            _ hash: String
        ) throws {
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains("from their memory"), "\(outcome.errors)")
            #expect(try runner.inspect(run).stateSHA256 == hash, "\(outcome.errors)")
            // Every step once, and every validation.
            for kind in ["step", "validation"] {
                let places = try runner.metrics(run, kind: kind).compactMap { $0["step"] as? Int }
                #expect(places == (try runner.metrics("whole", kind: kind).compactMap { $0["step"] as? Int }))
            }
        }

        /// A crash is an end like any other: nothing holds the process while it looks at itself.
        @Test(.timeLimit(.minutes(15)), arguments: [SIGABRT, SIGSEGV])
        func crashed(signal: Int32) throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let running = try runner.start(runner.launchArguments(configuration, run: "crashed", Self.length))
            let coordinator = try awaitCoordinator(running, runner, "crashed", steps: 3, after: [])
            kill(coordinator, signal)
            let outcome = try running.finish()
            try expectWhole(outcome, runner, "crashed", hash)
            #expect(outcome.errors.contains("was killed by signal \(signal) "), "\(outcome.errors)")
            #expect(!outcome.errors.contains("Backtracing"), "\(outcome.errors)")
        }

        @Test(.timeLimit(.minutes(15)))
        func killedAgainAndAgain() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let running = try runner.start(runner.launchArguments(configuration, run: "killed", Self.length))
            var dead: [Int32] = []
            for count in [2, 9, 16] {
                let victim = try awaitCoordinator(running, runner, "killed", steps: count, after: dead)
                dead.append(victim)
                kill(victim, SIGKILL)
            }
            let outcome = try running.finish()
            for victim in dead { #expect(outcome.errors.contains("(process \(victim)) was killed by signal 9")) }
            try expectWhole(outcome, runner, "killed", hash)
        }

        @Test(.timeLimit(.minutes(15)))
        func killedTogetherWithAWorker() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let running = try runner.start(runner.launchArguments(configuration, run: "both", Self.length))
            let victim = try awaitCoordinator(running, runner, "both", steps: 3, after: [])
            let worker = try #require(running.workers.last)
            kill(victim, SIGKILL)
            kill(worker, SIGKILL)
            let outcome = try running.finish()
            #expect(outcome.errors.contains("did not come back after the coordinator's restart"), "\(outcome.errors)")
            try expectWhole(outcome, runner, "both", hash)
        }

        @Test(.timeLimit(.minutes(15)))
        func stoppedForEver() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let running = try runner.start(runner.launchArguments(configuration, run: "stopped", Self.length))
            let victim = try awaitCoordinator(running, runner, "stopped", steps: 3, after: [])
            kill(victim, SIGSTOP)
            let outcome = try running.finish()
            #expect(outcome.errors.contains("(process \(victim)) has been stopped for 1."), "\(outcome.errors)")
            #expect(kill(victim, 0) != 0)
            try expectWhole(outcome, runner, "stopped", hash)
        }

        /// The launcher with its coordinator dies; its workers came by themselves, and `resume` finds them.
        @Test(.timeLimit(.minutes(15)))
        func resumedByHandWhereWorkersWait() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let first = try runner.start(
                runner.launchArguments(configuration, run: "hand", Self.length + ["--no-local-workers"])
            )
            var endpoint: String?
            let isThere = first.wait {
                endpoint = first.errorText.firstMatch(of: /--coordinator (tcp:\/\/\S+:\d+)\s/).map { String($0.1) }
                return endpoint != nil
            }
            try #require(isThere, "\(first.errorText)")
            let workers = try (0..<2).map { _ in
                try runner.start(["worker", "--coordinator", try #require(endpoint)])
            }
            defer { for worker in workers { worker.send(SIGKILL) } }
            #expect(first.wait { ((try? runner.metrics("hand", kind: "step").count) ?? 0) >= 3 })
            first.send(SIGKILL)
            _ = try first.finish()
            // Nothing is saved: without its workers the run would be lost.
            let second = try runner.run(["resume", runner.path("hand"), "--no-local-workers"])
            try expectWhole(second, runner, "hand", hash)
            for worker in workers { #expect(try worker.finish().status == 0) }
        }
    }
}
