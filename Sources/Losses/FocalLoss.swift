import Kernels

/// The focal loss -(1 - q)^γ log q, q the probability of what is true (Lin et al., "Focal Loss for Dense Object
/// Detection", ICCV 2017), the mean over pixels.
package struct FocalLoss: LossTerm {
    package static let name = "focal"
    package static let summary = "the focal loss of exponent gamma"
    package static let options: [LossOption] = [.number("gamma", 2, in: 0...100)]

    package var gamma: Double

    package init(_ options: LossOptions) { gamma = options.number("gamma") }
    package init(gamma: Double) { self.gamma = gamma }

    package var focalGamma: Double? { gamma }

    package func value(_ batch: LossBatch) -> Double { batch.joined.focal / batch.elements }

    package func addGradient(_ weight: Double, image: Int, _ batch: LossBatch, to coefficients: inout LossSlopes) {
        coefficients.focal += weight / batch.elements
    }
}
