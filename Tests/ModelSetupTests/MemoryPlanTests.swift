import Configuration
import Graph
import ModelSetup
import Platform
import Storage
import TestSupport
import Testing

/// What a worker is planned to take, and what that is held against.
@Suite struct MemoryPlanTests {
    private let folder: TemporaryFolder
    private let setup: RunSetup
    private let layout: ParameterLayout

    init() throws {
        folder = try TemporaryFolder()
        try NoiseShards.write(to: folder.path)
        setup = try RunSetup(
            Self.configuration("data.folds.validation=[0]", "workers.count=2"),
            dataset: try Dataset.open(folder.path)
        )
        layout = setup.layout
    }

    private static func configuration(_ overrides: String...) throws -> RunConfiguration {
        try RunConfiguration().overridden(
            by: [
                "network.architecture=unet-small", "network.base_width=4", "optimizer.name=adam",
                "validation.every_epochs=0", "checkpoint.every_steps=0", "checkpoint.every_minutes=0",
                "training.microbatches=1", "training.microbatch_size=2", "workers.count=1", "workers.threads=1",
            ] + overrides
        )
    }

    private func plan(_ overrides: String...) throws -> MemoryPlan {
        let configuration = try Self.configuration().overridden(by: overrides)
        return MemoryPlan(try ModelPlan(configuration, imageSize: 32), arenaBytes: 1000)
    }

    @Test func aWorkerThatIsAloneHoldsOneVectorOfSums() throws {
        let plan = try plan()
        #expect(plan.thread == 1000)
        #expect(plan.state == 4 * (3 * layout.weightCount + layout.bufferCount))
        #expect(plan.gradients == 4 * layout.sumCount)
        #expect(plan.peers == 0)
        #expect(plan.checkpoint == 0)
        #expect(plan.samples == 2 * 4 * 32 * 32 * 2 * (RunConfiguration().data.channels + 1))
        #expect(plan.bytes == plan.program + 1000 + plan.state + plan.gradients + plan.samples)
    }

    /// With one thread, folding 2^n leaves borrows n vectors; with several, each further thread one more.
    @Test(arguments: [(1, 1, 1), (2, 1, 2), (3, 1, 2), (4, 1, 3), (8, 1, 4), (2, 2, 2), (4, 4, 4), (8, 2, 5)])
    func foldingBorrowsVectors(microbatches: Int, threads: Int, vectors: Int) throws {
        let plan = try plan("training.microbatches=\(microbatches)", "workers.threads=\(threads)")
        #expect(plan.gradients == 4 * layout.sumCount * vectors)
    }

    @Test func severalWorkersShareTheSums() throws {
        let plan = try plan("workers.count=2", "training.microbatches=2")
        let vector = 4 * layout.sumCount
        #expect(plan.gradients == vector + vector / 2)
        #expect(plan.peers == vector)
        #expect(plan.residentBytes == plan.bytes + vector)
    }

    @Test func checkpointsOnTheWayAreCounted() throws {
        #expect(try plan("checkpoint.every_steps=10").checkpoint > 4 * 3 * layout.weightCount)
        #expect("\(try plan("checkpoint.every_steps=10"))".contains("while a checkpoint is handed over"))
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let plan = try MemoryPlan(setup, programs: ProgramSet(setup))
        let room = AvailableMemory(bytes: 4 * plan.bytes, source: "of a test")
        try plan.requireRoom(for: 2, in: room, of: setup)
        let error = #expect(throws: SetupError.self) {
            try plan.requireRoom(for: 2, in: AvailableMemory(bytes: plan.bytes, source: "of a test"), of: setup)
        }
        let text = "\(try #require(error))"
        for part in [
            "2 workers and the coordinator would need", "of a test", "training.microbatch_size", "workers.count",
        ] {
            #expect(text.contains(part), "\(text)")
        }
    }

    @Test func theMachineHasMemory() {
        #expect(AvailableMemory.current().bytes > 1 << 20)
        #expect(AvailableMemory.current().bytes < 1 << 50)
    }
}
