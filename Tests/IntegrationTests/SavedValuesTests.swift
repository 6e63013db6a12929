import Foundation
import Storage
import Testing

extension Processes {
    /// Whether a checkpoint that was taken while training went on holds the state of its own step.
    @Suite(.serialized) struct SavedValues {
        @Test(.timeLimit(.minutes(15)))
        func aCheckpointTakenInPassingIsThatOfARunDrainedThere() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let long = ["--set", "training.epochs=20", "--set", "checkpoint.keep_last=1000"]
            func launch(_ name: String, every steps: Int) -> [String] {
                runner.launchArguments(configuration, run: name, long + ["--set", "checkpoint.every_steps=\(steps)"])
            }
            for (number, steps) in [2, 17].enumerated() {
                // Nothing is saved on the way; the run stops after a step and saves when all is still.
                let drained = "drained-\(number)"
                let running = try runner.start(launch(drained, every: 0))
                #expect(running.wait { ((try? runner.metrics(drained, kind: "step").count) ?? 0) >= steps })
                running.send(SIGINT)
                let outcome = try running.finish()
                try #require(outcome.status == 0, "\(outcome.errors)")
                let end = try runner.inspect(drained)
                try #require(end.step >= steps && end.step < 60)

                // That step is saved while the next ones change the weights.
                let passing = "passing-\(number)"
                let passed = try runner.run(launch(passing, every: end.step))
                try #require(passed.status == 0, "\(passed.errors)")
                let store = CheckpointStore(runner.path("\(passing)/checkpoints"))
                let saved = try #require(try store.list().first { $0.step == end.step })
                #expect(try "\(CheckpointStore.load(saved.path).stateHash())" == end.stateSHA256, "step \(end.step)")
                #expect(try runner.inspect(passing).step == 60)
            }
        }
    }
}
