import Configuration
import Coordination
import Diagnostics
import Inference
import ModelSetup
import Networks
import Platform
import RunFolder
import Storage
import WeightFiles

/// The checkpoint of step 0, from which a run begins whose configuration names weights: so workers get others' weights as they get
/// any state, and the run's hash covers them.
struct InitialCheckpoint {
    private let setup: RunSetup
    private let state: ModelState
    /// What was loaded, changed, left to the seed and not used.
    private let sentences: [String]

    /// Reads the weights and finds their places; nothing is written yet. Nil where workers draw all from the seed.
    init?(_ setup: RunSetup) throws {
        let wanted = setup.configuration.initial
        guard !wanted.weights.isEmpty || !wanted.from.isEmpty else { return nil }
        self.setup = setup
        state = try ModelState(setup)
        let source = try Self.source(wanted)
        sentences =
            ["begins with the weights of \(source.path)"]
            + (try state.initialize(from: source, isPartial: wanted.partial))
    }

    /// Writes it into the run's folder.
    ///
    /// - Parameter say: hears what became of the weights.
    /// - Returns: where the run begins.
    func write(run: String, in directory: RunDirectory, say: (String) -> Void) throws -> ResumePoint {
        for sentence in sentences { say(sentence) }
        let progress = RunProgress.fresh(scheduleState: RunPolicy(setup).initialScheduleState)
        let tensors = state.tensors
        let writer = try CheckpointWriter.create(
            directory: directory.checkpoints,
            step: 0,
            expectedBytes: tensors.reduce(0) { $0 + $1.byteCount }
        )
        for tensor in tensors {
            try writer.write(
                StateTensor(
                    name: tensor.signature.name,
                    shape: tensor.signature.shape,
                    values: state.values(of: tensor)
                )
            )
        }
        let record = try writer.finish(
            trainer: TrainerState(
                network: setup.network.name,
                step: 0,
                epoch: 0,
                cursor: 0,
                configuration: setup.configuration.resolvedYAML(),
                numericsProfile: setup.numericsProfile,
                datasetDigest: setup.datasetDigest,
                state: try progress.encoded(isComplete: false, run: run)
            ),
            warn: say
        )
        let hash = try CheckpointStore.open(record.path).weightsHash()
        say("the weights at step 0 have the SHA-256 \(hash)")
        return ResumePoint(progress: progress, file: FileSystem.name(of: record.path))
    }

    private static func source(_ wanted: RunConfiguration.Initial) throws -> any WeightSource {
        guard wanted.weights.isEmpty else {
            return try WeightFile.isHDF5(wanted.weights)
                ? CheckpointWeights(CheckpointStore.open(wanted.weights)) : WeightFile(wanted.weights)
        }
        return CheckpointWeights(try CheckpointChoice.file(wanted.from))
    }
}
