import Kernels

/// Binary cross-entropy on logits, the mean over pixels.
package struct CrossEntropyLoss: LossTerm {
    package static let name = "cross_entropy"
    package static let summary = "binary cross-entropy on logits"

    package init(_ options: LossOptions) {}
    package init() {}

    package func value(_ batch: LossBatch) -> Double { batch.joined.crossEntropy / batch.elements }

    package func addGradient(_ weight: Double, image: Int, _ batch: LossBatch, to coefficients: inout LossSlopes) {
        coefficients.cross += weight / batch.elements
    }
}
