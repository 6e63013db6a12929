package import Kernels

/// Binary cross-entropy of probabilities that are held in [10⁻⁶, 1 - 10⁻⁶]: pixels that are surer than that have no gradient,
/// and none costs more than 13.8. The mean over pixels.
package struct ClampedCrossEntropyLoss: LossTerm {
    package static let name = "cross_entropy_clamped"
    package static let summary =
        "binary cross-entropy of probabilities held in 0.000001 to 0.999999, outside of which it has no gradient"

    /// The logit of 1 - 10⁻⁶.
    private static let limit: Float = 13.815_509_557_963_774

    package init(_ options: LossOptions) {}

    package var visitsPixels: Bool { true }

    package func value(_ batch: LossBatch) -> Double {
        var total = 0.0
        for index in 0..<batch.images * batch.pixels {
            let (logit, target) = batch.pixel(index)
            // A NaN stays one.
            let x = logit < -Self.limit ? -Self.limit : logit > Self.limit ? Self.limit : logit
            let rest = ScalarMath.log1p(ScalarMath.exp(-x.magnitude))
            total += Double((x < 0 ? 0 : x) - x * target + rest)
        }
        return total / batch.elements
    }

    package func addPixelGradient(_ weight: Double, _ batch: LossBatch, to gradient: TensorView) {
        let factor = Float(weight / batch.elements)
        for index in 0..<batch.images * batch.pixels {
            let (logit, target) = batch.pixel(index)
            if logit.magnitude > Self.limit { continue }
            gradient[pixel: index] += factor * (ScalarMath.sigmoid(logit) - target)
        }
    }
}
