package import Settings

/// Values raised to a power.
package struct GammaChange: Augmentation {
    package static let word = "gamma"
    package static let summary = "raises the pixels, which are in 0 to 1, to a power."
    package static let words = 14..<16

    package var probability: Double
    /// The smallest and the largest exponent; above 1 darkens.
    package var range: [Double]

    package init() { self.init(probability: 0.3) }

    package init(probability: Double, range: [Double] = [0.8, 1.25]) {
        self.probability = probability
        self.range = range
    }

    package static let settings: [Setting<GammaChange>] = [
        probabilitySetting,
        Setting(
            "range",
            \.range,
            SettingRange(text: "two numbers of 0.01 to 100, the smaller first", saysType: true) {
                $0.count == 2 && $0[0] >= 0.01 && $0[0] <= $0[1] && $0[1] <= 100
            },
            "The range of the exponent."
        ),
    ]

    package func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw) {
        draw.gamma = numbers.uniform(0, in: Float(range[0])...Float(range[1]))
    }
}
