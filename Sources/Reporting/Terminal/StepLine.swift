/// A step on one line with fixed columns: step, loss, gradient norm, learning rate, samples a second.
package enum StepLine {
    /// The line of a step.
    ///
    /// `step      120  loss   0.43121  grad_norm  1.235e+00  lr  1.000e-03  samples/s     35.2`
    package static func text(
        step: Int,
        loss: Double,
        gradientNorm: Double,
        learningRate: Double,
        samplesPerSecond: Double
    ) -> String {
        [
            "step \(Columns.whole(step, width: 8))", "loss \(Columns.fixed(loss, width: 9, decimals: 5))",
            "grad_norm \(Columns.scientific(gradientNorm, width: 10))",
            "lr \(Columns.scientific(learningRate, width: 10))",
            "samples/s \(Columns.fixed(samplesPerSecond, width: 8, decimals: 1))",
        ].joined(separator: "  ")
    }

    /// The line of a record of `metrics.jsonl`.
    package static func text(_ record: StepRecord) -> String {
        text(
            step: record.step,
            loss: record.loss,
            gradientNorm: record.gradientNorm,
            learningRate: record.learningRate,
            samplesPerSecond: record.imagesPerSecond
        )
    }
}
