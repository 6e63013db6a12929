package import Settings

/// A shift, a change of size and a rotation, drawn together.
package struct ShiftScaleRotate: Augmentation {
    package static let word = "affine"
    package static let summary = "shifts, scales and rotates, together."
    package static let words = 1..<6

    package var probability: Double
    /// The shift along each axis, uniform in ± this share of the image's side.
    package var shift: Double
    /// The largest relative change of size.
    package var change: Double {
        didSet { scale = Float(1 - change)...Float(1 + change) }
    }
    /// The range of the scale: above 1 enlarges the anatomy.
    package var scale: ClosedRange<Float>
    /// The rotation about the middle, uniform in ± this many degrees.
    package var rotation: Double

    package init() { self.init(probability: 0.5) }

    package init(probability: Double, shift: Double = 0.0625, change: Double = 0.1, rotation: Double = 10) {
        self.probability = probability
        self.shift = shift
        self.change = change
        scale = Float(1 - change)...Float(1 + change)
        self.rotation = rotation
    }

    package static let settings: [Setting<ShiftScaleRotate>] = [
        probabilitySetting,
        Setting(
            "shift",
            \.shift,
            .within(0..<1),
            "The largest shift in each direction, as a share of the side."
        ),
        Setting(
            "scale",
            \.change,
            .within(0...0.9),
            "The largest relative change of size: 0.1 draws a factor in 0.9 to 1.1."
        ),
        Setting("rotate", \.rotation, .within(0...180), "The largest angle in degrees, either way."),
    ]

    package func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw) {
        let (shift, rotation) = (Float(shift), Float(rotation))
        draw.shiftX = numbers.uniform(0, in: -shift...shift)
        draw.shiftY = numbers.uniform(1, in: -shift...shift)
        draw.scale = numbers.uniform(2, in: scale)
        draw.rotation = numbers.uniform(3, in: -rotation...rotation)
    }
}
