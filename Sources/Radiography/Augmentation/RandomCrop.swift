package import Settings

/// A square part of the image, scaled to the whole.
package struct RandomCrop: Augmentation {
    package static let word = "crop"
    package static let summary = "takes a random part of the image and resizes it to the whole."
    package static let words = 6..<10

    package var probability: Double
    /// The smallest side of the part as a share of the image's, above 0 and at most 1; its place is uniform.
    package var minimum: Double
    /// The largest side.
    package var maximum = 1.0

    package init() { self.init(probability: 0) }

    package init(probability: Double, minimum: Double = 0.8) {
        self.probability = probability
        self.minimum = minimum
    }

    package static let settings: [Setting<RandomCrop>] = [
        probabilitySetting,
        Setting(
            "minimum",
            \.minimum,
            .within(0.01...1),
            "The smallest side of the part, as a share of the whole side."
        ),
    ]

    package func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw) {
        draw.cropSide = numbers.uniform(0, in: Float(minimum)...Float(maximum))
        draw.cropX = numbers.uniform(1) * (1 - draw.cropSide)
        draw.cropY = numbers.uniform(2) * (1 - draw.cropSide)
    }
}
