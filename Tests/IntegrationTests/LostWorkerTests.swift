import CSystem
import Foundation
import Testing

extension Processes {
    /// A worker that dies ends the run at once, with a message, and nothing committed is lost.
    @Suite(.serialized) struct LostWorkers {
        @Test(.timeLimit(.minutes(15)))
        func aKilledWorkerEndsTheRunWithinTwoSecondsAndItResumes() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole"))
            try #require(whole.status == 0, "\(whole.errors)")

            let running = try runner.start(runner.launchArguments(configuration, run: "killed"))
            #expect(running.wait { ((try? runner.metrics("killed", kind: "step").count) ?? 0) >= 2 })
            let workers = running.children
            #expect(workers.count == 2)
            let victim = try #require(workers.first)
            let before = ContinuousClock.now
            kill(victim, SIGKILL)
            let outcome = try running.finish()
            #expect(ContinuousClock.now - before < .seconds(2))
            #expect(outcome.status == 75, "\(outcome.errors)")
            // Worker, host, process, cause and step.
            for part in ["Worker ", "host \(ProcessInfo.processInfo.hostName)", "\(victim)", "SIGKILL", "step "] {
                #expect(outcome.errors.contains(part), "\(part) in: \(outcome.errors)")
            }
            // No process outlives its run.
            for worker in workers { #expect(kill(worker, 0) != 0) }

            let resumed = try runner.run(["resume", runner.path("killed")])
            #expect(resumed.status == 0, "\(outcome.errors)\(resumed.errors)")
            #expect(try runner.inspect("killed").stateSHA256 == runner.inspect("whole").stateSHA256)
        }

        @Test(.timeLimit(.minutes(15)))
        func workersEndWithTheirLauncher() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration("schedule: {name: constant}")
            let running = try runner.start(
                runner.launchArguments(configuration, run: "orphaned", ["--set", "training.epochs=200"])
            )
            #expect(running.wait { ((try? runner.metrics("orphaned", kind: "step").count) ?? 0) >= 1 })
            // Taken while they live, so that no other process is meant.
            let workers = running.children.map(system_process_descriptor)
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
