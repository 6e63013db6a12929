import Configuration
import Coordination
import Launching
import ModelSetup
import Networks
import Optimization
import Platform
import Sampling
import Storage
import TestSupport
import Testing

/// What a resumed run changes.
@Suite struct ResumeChangesTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func setup(_ changes: (inout RunConfiguration) -> Void = { _ in }) throws -> RunSetup {
        var configuration = RunConfiguration()
        configuration.network.architecture = .unetSmall
        configuration.training.epochs = 4
        configuration.training.microbatches = 2
        configuration.training.microbatchSize = 1
        configuration.schedule.name = .cosine
        configuration.data.folds.validation = .listed([0])
        changes(&configuration)
        if !FileSystem.exists(folder.file("shards")) { try NoiseShards.write(to: folder.file("shards")) }
        return try RunSetup(configuration, dataset: Dataset.open(folder.file("shards")))
    }

    @Test func aLearningRateThatJumpsIsSaidWithBothFigures() throws {
        let old = try setup()
        let new = try setup { $0.training.epochs = 6 }
        let progress = RunProgress(
            completedSteps: old.schedule.totalSteps,
            transition: 0,
            validatedAt: nil,
            ranking: [],
            roundsSinceBest: 0,
            stoppedEarly: false,
            scheduleState: RunPolicy(old).initialScheduleState
        )
        let sentence = try #require(ResumeChanges.rateSentence(from: old, to: new, at: progress))
        #expect(sentence.contains("over 6 epochs") && sentence.contains("was over 4"), "\(sentence)")
        #expect(ResumeChanges.rateSentence(from: old, to: old, at: progress) == nil)
        let constant = try setup { $0.schedule.name = .constant }
        let longer = try setup {
            $0.schedule.name = .constant
            $0.training.epochs = 6
        }
        #expect(ResumeChanges.rateSentence(from: constant, to: longer, at: progress) == nil)
    }
}
