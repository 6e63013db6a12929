package import Settings

/// Values spread about middle grey.
package struct ContrastChange: Augmentation {
    package static let word = "contrast"
    package static let summary = "scales the pixels, which are in 0 to 1, about 0.5."
    package static let words = 12..<14

    package var probability: Double
    /// The largest relative change of a value's distance from middle grey.
    package var range: Double

    package init() { self.init(probability: 0.3) }

    package init(probability: Double, range: Double = 0.2) {
        self.probability = probability
        self.range = range
    }

    package static let settings: [Setting<ContrastChange>] = [
        probabilitySetting,
        Setting(
            "range",
            \.range,
            .within(0...1),
            "The largest relative change: 0.2 draws a factor in 0.8 to 1.2."
        ),
    ]

    package func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw) {
        draw.contrast = numbers.uniform(0, in: Float(1 - range)...Float(1 + range))
    }
}
