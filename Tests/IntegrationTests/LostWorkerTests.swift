import CSystem
import Foundation
import Testing

extension Processes {
    /// A run goes on without the workers that die, another one takes a dead one's place, and the weights are the same bits.
    @Suite(.serialized) struct LostWorkers {
        /// Long enough for what shall happen in it.
        private static let length = ["--set", "training.epochs=8"]

        /// The whole, undisturbed run that the others are compared with.
        private func whole(_ runner: ProgramRunner) throws -> (configuration: String, hash: String) {
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole", Self.length))
            try #require(whole.status == 0, "\(whole.errors)")
            return (configuration, try runner.inspect("whole").stateSHA256)
        }

        @Test(.timeLimit(.minutes(15)), arguments: [0, 10])
        func aKilledWorkerCostsNothingThatIsCommitted(respawns: Int) throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let running = try runner.start(
                runner.launchArguments(
                    configuration,
                    run: "killed",
                    Self.length + ["--set", "workers.respawns=\(respawns)"]
                )
            )
            #expect(running.wait { ((try? runner.metrics("killed", kind: "step").count) ?? 0) >= 2 })
            let workers = running.workers
            #expect(workers.count == 2)
            let victim = try #require(workers.first)
            kill(victim, SIGKILL)
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            // Worker, host, process, cause and step.
            for part in ["Worker ", "host \(ProcessInfo.processInfo.hostName)", "\(victim)", "SIGKILL", "step "] {
                #expect(outcome.errors.contains(part), "\(part) in: \(outcome.errors)")
            }
            let status = try runner.run(["status", runner.path("killed")])
            #expect(status.status == 0 && status.output.contains("ended: The run is complete"), "\(status.output)")
            #expect(status.output.contains("last fault: Worker "), "\(status.output)")
            // Every step once: nothing was lost, nothing was done again.
            let steps = try runner.metrics("killed", kind: "step").count
            #expect(steps == (try runner.metrics("whole", kind: "step").count))
            #expect(try runner.inspect("killed").stateSHA256 == hash, "\(outcome.errors)")
            for worker in workers { #expect(kill(worker, 0) != 0) }
        }

        @Test(.timeLimit(.minutes(15)))
        func workersThatDieAgainAndAgainAreReplaced() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let running = try runner.start(runner.launchArguments(configuration, run: "torn", Self.length))
            var dead: Set<Int32> = []
            for count in 1...3 {
                // One of two each time, or all that are there: the run goes on from memory, or from its checkpoint.
                #expect(running.wait { running.workers.count { !dead.contains($0) } == 2 })
                #expect(running.wait { ((try? runner.metrics("torn", kind: "step").count) ?? 0) >= count })
                guard let victim = running.workers.first(where: { !dead.contains($0) }) else { break }
                dead.insert(victim)
                kill(victim, SIGKILL)
            }
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try runner.inspect("torn").stateSHA256 == hash, "\(outcome.errors)")
        }

        @Test(.timeLimit(.minutes(15)))
        func aRunWithoutAnyWorkerGoesOnFromItsCheckpoint() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            for (name, changes) in [("saved", ["--set", "checkpoint.every_steps=1"]), ("unsaved", [])] {
                let running = try runner.start(runner.launchArguments(configuration, run: name, Self.length + changes))
                #expect(running.wait { ((try? runner.metrics(name, kind: "step").count) ?? 0) >= 2 })
                for worker in running.workers { kill(worker, SIGKILL) }
                let outcome = try running.finish()
                #expect(outcome.status == 0, "\(outcome.errors)")
                #expect(outcome.errors.contains("goes on by itself with new workers"), "\(outcome.errors)")
                #expect(try runner.inspect(name).stateSHA256 == hash, "\(outcome.errors)")
            }
        }

        @Test(.timeLimit(.minutes(15)))
        func aStoppedWorkerIsPutOut() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let (configuration, hash) = try whole(runner)
            let running = try runner.start(
                runner.launchArguments(
                    configuration,
                    run: "stopped",
                    Self.length + [
                        "--set", "workers.timeouts.silence_seconds=1", "--set", "workers.heartbeat_seconds=0.2",
                    ]
                )
            )
            #expect(running.wait { ((try? runner.metrics("stopped", kind: "step").count) ?? 0) >= 2 })
            let victim = try #require(running.workers.first)
            kill(victim, SIGSTOP)
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains("(process \(victim))") && outcome.errors.contains("no sign of life"))
            #expect(try runner.inspect("stopped").stateSHA256 == hash, "\(outcome.errors)")
            #expect(kill(victim, 0) != 0)
        }

        @Test(.timeLimit(.minutes(15)))
        func workersEndWithTheirLauncher() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let running = try runner.start(
                runner.launchArguments(configuration, run: "orphaned", ["--set", "training.epochs=200"])
            )
            #expect(running.wait { ((try? runner.metrics("orphaned", kind: "step").count) ?? 0) >= 1 })
            // Taken while they live, so that no other process is meant.
            let workers = running.workers.map(system_process_descriptor)
            #expect(workers.count == 2 && workers.allSatisfy { $0 >= 0 })
            running.send(SIGKILL)
            _ = try running.finish()
            for worker in workers {
                var end = pollfd(fd: worker, events: Int16(POLLIN), revents: 0)
                #expect(poll(&end, 1, 10_000) == 1)
                close(worker)
            }
            // A run that was killed goes on from its last checkpoint, or says that there is none.
            let resumed = try runner.run(["resume", runner.path("orphaned"), "--set", "training.epochs=1"])
            #expect([0, 66].contains(resumed.status), "\(resumed.errors)")
        }
    }
}
