import Foundation
import Testing

extension Processes {
    /// How a run ends that is asked to: by the terminal, by `kill`, by a service manager.
    @Suite(.serialized) struct Signals {
        let runner: ProgramRunner
        let configuration: String

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            configuration = try runner.writeConfiguration()
        }

        /// Starts a run and waits for some steps.
        private func begin(_ run: String, steps: Int, _ extra: [String] = []) throws -> RunningProgram {
            let running = try runner.start(runner.launchArguments(configuration, run: run, extra))
            let isThere = running.wait { ((try? runner.metrics(run, kind: "step").count) ?? 0) >= steps }
            try #require(isThere, "\(running.errorText)")
            return running
        }

        @Test(.timeLimit(.minutes(15)), arguments: [SIGTERM, SIGHUP])
        func aSignalToAllProcessesDrains(signal: Int32) throws {
            defer { runner.remove() }
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole"))
            try #require(whole.status == 0, "\(whole.errors)")
            let running = try begin("run", steps: 2)
            let workers = running.workers
            #expect(workers.count == 2)
            // The workers first, as a service manager may; and the coordinator twice, as `timeout` does.
            for process in workers { kill(process, signal) }
            running.send(signal)
            running.send(signal)
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            for worker in workers { #expect(kill(worker, 0) != 0) }
            let resumed = try runner.run(["resume", runner.path("run")])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(try runner.inspect("run").stateSHA256 == runner.inspect("whole").stateSHA256)
        }

        @Test(.timeLimit(.minutes(15)))
        func aSecondCtrlCStopsAtOnce() throws {
            defer { runner.remove() }
            // Nothing but the second signal can end the run: the stopped worker counts as lost only after an hour.
            let running = try begin(
                "run",
                steps: 1,
                ["--set", "training.epochs=200", "--set", "workers.timeouts.silence_seconds=3600"]
            )
            let workers = running.workers
            let stuck = try #require(workers.first)
            // A worker that stands still keeps the drain from ending by itself.
            kill(stuck, SIGSTOP)
            running.send(SIGINT)
            #expect(running.wait { running.errorText.contains("draining: Ctrl-C") }, "\(running.errorText)")
            // All of the second after the first count as one. From here on at least as much has passed for the run.
            let first = ContinuousClock.now
            #expect(running.wait { ContinuousClock.now - first > .milliseconds(1_200) }, "\(running.errorText)")
            #expect(running.process.isRunning, "\(running.errorText)")
            running.send(SIGINT)
            let outcome = try running.finish()
            #expect(outcome.status == 75)
            #expect(outcome.errors.contains("second time: Ctrl-C"), "\(outcome.errors)")
            for worker in workers { #expect(kill(worker, 0) != 0) }
        }

        @Test(.timeLimit(.minutes(15)), arguments: [SIGINT, SIGTERM])
        func aRunThatHasGoneOnByItselfEndsWhenItIsAsked(signal: Int32) throws {
            defer { runner.remove() }
            // One worker, so that its death leaves nobody who holds the run in memory.
            let running = try begin("run", steps: 3, ["--workers", "1", "--set", "training.epochs=200"])
            for worker in running.workers { kill(worker, SIGKILL) }
            #expect(running.wait { running.errorText.contains("It goes on by itself") }, "\(running.errorText)")
            // With workers of its own again.
            #expect(running.wait { running.workers.count == 1 && running.coordinator != nil }, "\(running.errorText)")
            let then = try runner.metrics("run", kind: "step").count
            #expect(running.wait { ((try? runner.metrics("run", kind: "step").count) ?? 0) > then })
            running.send(signal)
            if !running.wait(until: { !running.process.isRunning }) { running.send(SIGKILL) }
            let outcome = try running.finish()
            #expect(outcome.status == 0 && outcome.errors.contains("draining"), "\(outcome.errors)")
        }

        /// The disk behind a log, the terminal, the reader of a pipe: none of them ends a run.
        @Test(.timeLimit(.minutes(15)))
        func nobodyHearsWhatTheRunSays() throws {
            defer { runner.remove() }
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--verbose"]),
                errors: "/dev/full"
            )
            #expect(try running.finish().status == 0)
            #expect(try runner.inspect("run").step == 6)
        }
    }
}
