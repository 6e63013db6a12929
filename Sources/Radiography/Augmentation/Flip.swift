package import Settings

/// Left and right exchanged.
package struct Flip: Augmentation {
    package static let word = "flip"
    package static let summary = "exchanges left and right."
    package static let words = 0..<1

    package var probability: Double

    package init() { self.init(probability: 0.5) }

    package init(probability: Double) { self.probability = probability }

    package static let settings: [Setting<Flip>] = [probabilitySetting]

    package func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw) { draw.isFlipped = true }
}
