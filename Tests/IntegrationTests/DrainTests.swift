import Foundation
import Testing

extension Processes {
    /// `pleura drain` asks a run that is under way.
    @Suite(.serialized) struct Drains {
        @Test(.timeLimit(.minutes(15)))
        func aWorkerLeavesAndThenTheRunEnds() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let whole = try runner.run(
                runner.launchArguments(configuration, run: "whole", ["--set", "training.epochs=60"])
            )
            try #require(whole.status == 0, "\(whole.errors)")
            let running = try runner.start(
                runner.launchArguments(configuration, run: "left", ["--set", "training.epochs=60"])
            )
            #expect(running.wait { ((try? runner.metrics("left", kind: "step").count) ?? 0) >= 3 })
            let unknown = try runner.run(["drain", runner.path("left"), "9"])
            #expect(unknown.status == 64 && unknown.errors.contains("has no worker 9"), "\(unknown.errors)")
            let left = try runner.run(["drain", runner.path("left"), "1"])
            #expect(left.status == 0 && left.output.contains("worker 1 left at step "), "\(left.errors)")
            let ended = try runner.run(["drain", runner.path("left")])
            #expect(ended.status == 0 && ended.output.contains("The run was drained after "), "\(ended)")
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            // A worker that leaves as it was asked to is not replaced.
            #expect(!outcome.errors.contains(" joined at step "), "\(outcome.errors)")
            let over = try runner.run(["drain", runner.path("left")])
            #expect(over.status == 66 && over.errors.contains("has ended"), "\(over.errors)")
            let resumed = try runner.run(["resume", runner.path("left")])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(try runner.inspect("left").stateSHA256 == runner.inspect("whole").stateSHA256)
        }
    }
}
