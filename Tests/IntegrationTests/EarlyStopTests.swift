import Foundation
import Testing

extension Processes {
    /// Runs that end because validation gets no better.
    @Suite(.serialized) struct EarlyStopping {
        /// With weights that do not move and statistics that stay, every validation is like the first: a run with a patience of
        /// 2 ends after the third. Resumed without a patience, it goes on to its last epoch.
        @Test(.timeLimit(.minutes(15)))
        func aRunEndsWhenValidationGetsNoBetter() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let still = [
                "--set", "optimizer.learning_rate=1e-30", "--set", "network.normalisation=frozen", "--set",
                "training.epochs=5", "--set", "schedule.name=constant", "--set", "schedule.warmup_steps=0",
            ]
            let stopped = try runner.run(
                runner.launchArguments(configuration, run: "run", still + ["--set", "training.early_stop_patience=2"])
            )
            try #require(stopped.status == 0, "\(stopped.errors)")
            #expect(stopped.errors.contains("validation got no better"), "\(stopped.errors)")
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole", still))
            try #require(whole.status == 0, "\(whole.errors)")
            let (early, end) = (try runner.inspect("run").step, try runner.inspect("whole").step)
            #expect(early * 5 == end * 3)
            let report = try String(contentsOfFile: runner.path("run/report.html"), encoding: .utf8)
            #expect(report.contains("stopped early at step \(early)"))

            // It has ended: nothing happens without a change.
            let again = try runner.run(["resume", runner.path("run")])
            #expect(again.status == 0 && again.errors.contains("already complete"), "\(again.errors)")
            let resumed = try runner.run(["resume", runner.path("run"), "--set", "training.early_stop_patience=off"])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(try runner.inspect("run").step == end)
            #expect(try runner.inspect("run").stateSHA256 == runner.inspect("whole").stateSHA256)
        }
    }
}
