import ArgumentParser
import Diagnostics
import Foundation
import Inference
import ModelSetup
import Platform
import RunFolder
import Storage
import WeightFiles

/// `pleura export`: the weights for other programs.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes the weights of a run for other programs.",
        discussion: """
            The names and shapes are those of segmentation_models_pytorch, so in Python, with the network of the run's \
            configuration (smp.Unet("resnet34", in_channels=1, encoder_weights=None)):
              network.load_state_dict(safetensors.torch.load_file(FILE))
            Where the run keeps a moving average, that is what is written: it is what validation and `predict` use.

            Example: pleura export runs/demo --safetensors demo.safetensors
            """
    )

    @Argument(
        help: "A run's folder, whose newest intact checkpoint is used, or a checkpoint (.h5).",
        transform: userPath
    )
    var model: String

    @Option(help: "The file to write.", completion: .file(), transform: userPath)
    var safetensors: String

    @Flag(help: "Of a run, use the checkpoint with the best validation instead of the newest.")
    var best = false

    func run() throws {
        if FileSystem.exists(safetensors), !WeightFile.isOwn(safetensors) {
            throw OccupiedOutput(
                "The weights cannot be written to \(safetensors)",
                [OutputObstacle(safetensors, "is no file of weights that this program has written")],
                advice: "Name another file with --safetensors, or move that one away."
            )
        }
        let checkpoint = best ? try CheckpointChoice.file(model) : try CheckpointChoice.newest(model)
        let weights = CheckpointWeights(checkpoint)
        let step = checkpoint.trainer.step
        var written: [Safetensors.Written] = []
        for tensor in weights.tensors {
            written.append(
                Safetensors.Written(name: tensor.name, element: .float32, shape: tensor.shape) {
                    try weights.values(of: tensor).withUnsafeBytes { Array($0) }
                }
            )
            // PyTorch's batch normalisation counts its batches, and asks for the number when it loads.
            let statistic = ".running_mean"
            guard tensor.name.hasSuffix(statistic) else { continue }
            written.append(
                Safetensors.Written(
                    name: tensor.name.dropLast(statistic.count) + ".num_batches_tracked",
                    element: .int64,
                    shape: []
                ) { withUnsafeBytes(of: Int64(step).littleEndian) { Array($0) } }
            )
        }
        try Safetensors.write(
            written,
            metadata: [
                "format": "pt", "written_by": WeightFile.signature + ProgramVersion.current,
                "network": checkpoint.trainer.network, "step": "\(step)",
                "weights_sha256": try checkpoint.weightsHash().description,
                "dataset_digest": checkpoint.trainer.datasetDigest,
            ],
            to: safetensors
        )
        try printResult(
            "\(written.count) tensors of \(checkpoint.trainer.network), step \(step), of \(checkpoint.path): \(safetensors)"
        )
        NextCommand.say("pleura launch SHARDS --set init.weights=\(safetensors)", "begins from it")
    }
}
