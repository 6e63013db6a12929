package import Settings

/// A constant added to the values.
package struct BrightnessChange: Augmentation {
    package static let word = "brightness"
    package static let summary = "adds a constant to the pixels, which are in 0 to 1."
    package static let words = 10..<12

    package var probability: Double
    /// The value added, uniform in ± this share of the full range.
    package var range: Double

    package init() { self.init(probability: 0.3) }

    package init(probability: Double, range: Double = 0.2) {
        self.probability = probability
        self.range = range
    }

    package static let settings: [Setting<BrightnessChange>] = [
        probabilitySetting,
        Setting("range", \.range, .within(0...1), "The largest amount, either way."),
    ]

    package func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw) {
        let range = Float(range)
        draw.brightness = numbers.uniform(0, in: -range...range)
    }
}
