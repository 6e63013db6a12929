import Configuration
package import Coordination
import Graph
import Kernels
import Losses
import ModelSetup
import Networks
import Platform
import Radiography
import Sampling
import Storage
import Synchronization

extension WorkerEngine {
    /// Counts the samples of `request` with the present weights (their moving average where one is kept); ends in
    /// `.validated` or `.failed`.
    package func validate(_ request: ValidationRequest) {
        let available = setup.folds.validation.count
        guard request.samples.upperBound <= UInt32(clamping: available) else {
            report(
                .failed(
                    message: "The coordinator asked for validation of the samples \(request.samples) of \(available).",
                    suspect: nil
                )
            )
            return
        }
        let group = ValidationGroup(request)
        for index in request.samples {
            pool.submit { [self] thread in
                do {
                    let counts = try count(setup.folds.validation[Int(index)], engines[thread])
                    if let result = group.add(index, counts) { report(.validated(result)) }
                } catch {
                    report(.failed(message: "Validation of sample \(index): \(error)", suspect: nil))
                }
            }
        }
    }

    /// Intersection, predicted and true pixels at the challenge's resolution, and the bits of the loss.
    private func count(_ sample: Int, _ engine: ThreadEngine) throws -> [UInt32] {
        // As the network sees it in validation: resized, normalised, not augmented.
        try setup.load(sample, of: dataset, drawing: .identity, input: engine.input, targets: engine.targets)
        let size = setup.size
        var model = state.model
        if let average = state.average { model.weights = UnsafePointer(average) }
        let logits = UnsafeMutablePointer(mutating: engine.inference.runInference(input: engine.input, model: model))
        let view = TensorView(logits, images: 1, height: size, width: size, channels: 1)
        let targets = TensorView(engine.targets, images: 1, height: size, width: size, channels: 1)
        let loss = setup.loss.on(SegmentationLoss.mask).value(view, targets: targets, kernels: kernels)
        let map = TensorView(engine.probabilities, images: 1, height: size, width: size, channels: 1)
        kernels.sigmoid(view, map)
        let truth = RunLengthMask(
            runs: dataset.runs(of: sample).map { RunLengthMask.Run(start: $0.start, length: $0.length) },
            width: dataset.labelSize,
            height: dataset.labelSize
        )
        let rule = Postprocessing(rule: .threshold(Float(setup.configuration.validation.threshold)))
        let counts = rule.counts(
            of: UnsafeBufferPointer(start: engine.probabilities, count: size * size),
            size: size,
            truth: truth
        )
        return [
            UInt32(clamping: counts.intersection), UInt32(clamping: counts.predicted),
            UInt32(clamping: counts.truth), Float(loss).bitPattern,
        ]
    }
}

/// Collects the counts of one request from the compute threads.
private final class ValidationGroup: Sendable {
    private struct State: Sendable {
        var rows: [[UInt32]]
        var missing: Int
    }

    private let request: ValidationRequest
    private let state: Mutex<State>

    init(_ request: ValidationRequest) {
        self.request = request
        state = Mutex(
            State(rows: Array(repeating: [], count: request.samples.count), missing: request.samples.count)
        )
    }

    /// Takes one sample's counts; returns the result with the last one.
    func add(_ index: UInt32, _ counts: [UInt32]) -> ValidationResult? {
        state.withLock { state in
            state.rows[Int(index - request.samples.lowerBound)] = counts
            state.missing -= 1
            guard state.missing == 0 else { return nil }
            return ValidationResult(
                round: request.round,
                samples: request.samples,
                counts: state.rows.flatMap { $0 }
            )
        }
    }
}
