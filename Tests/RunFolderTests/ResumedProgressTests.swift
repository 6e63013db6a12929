import Configuration
import Coordination
import Foundation
import RunFolder
import Storage
import TestSupport
import Testing

/// Which checkpoints are the best to a run that goes on.
@Suite struct ResumedProgressTests {
    private static let ranking: [RunProgress.Best] = [
        .init(transition: 2, completedSteps: 20, score: 0.9), .init(transition: 1, completedSteps: 10, score: 0.5),
    ]

    private static func progress(_ steps: Int) -> RunProgress {
        RunProgress(
            completedSteps: UInt64(steps),
            transition: UInt64(steps / 10),
            validatedAt: UInt64(steps),
            ranking: ranking,
            roundsSinceBest: 1,
            stoppedEarly: false,
            scheduleState: [1]
        )
    }

    @Test func theRankingIsKept() throws {
        let text = try Self.progress(30).encoded(isComplete: false)
        let stored = try JSONDecoder().decode(StoredProgress.self, from: Data(text.utf8))
        #expect(stored.progress == Self.progress(30))
        // Earlier versions kept the best one only.
        var earlier = stored
        earlier.nextBest = nil
        #expect(earlier.progress.ranking == [Self.ranking[0]])
        // Words that are no entry are none.
        earlier.nextBest = [[1], [], [1, 2, 3, 4]]
        #expect(earlier.progress.ranking == [Self.ranking[0]])
    }

    @Test func anotherMetricRanksTheCheckpointsAnew() throws {
        let folder = try TemporaryFolder()
        let directory = RunDirectory(folder.file("run"))
        try directory.create()
        let before = try RunConfiguration().overridden(by: ["checkpoint.metric=mean_dice", "checkpoint.keep_best=2"])
        for (steps, loss) in [(10, 0.2), (20, 0.4), (30, 0.2), (40, 0.1)] {
            let trainer = TrainerState(
                network: "n",
                step: steps,
                epoch: 0,
                cursor: 0,
                configuration: before.resolvedYAML(),
                numericsProfile: "fp32",
                datasetDigest: "d",
                metrics: ["mean_dice": 0.9, "loss": loss],
                state: try Self.progress(steps).encoded(isComplete: false)
            )
            let writer = try CheckpointWriter.create(directory: directory.checkpoints, step: steps, expectedBytes: 4)
            try writer.write(StateTensor(name: "model/a", shape: [1], values: [1]))
            try writer.finish(trainer: trainer) { Issue.record("\($0)") }
        }
        let checkpoint = try #require(try directory.store.list().first { $0.step == 30 })
        let contents = try CheckpointStore.open(checkpoint.path)
        #expect(try ResumedProgress.read(contents, before, directory) == Self.progress(30))
        let now = try before.overridden(by: ["checkpoint.metric=loss"])
        let resumed = try ResumedProgress.read(contents, now, directory)
        // Of those that the run has reached; of equals the earlier.
        #expect(resumed.ranking.map(\.completedSteps) == [10, 30])
        #expect(resumed.ranking.map(\.score) == [-0.2, -0.2])
        #expect(resumed.ranking.map(\.transition) == [1, 3])
    }
}
