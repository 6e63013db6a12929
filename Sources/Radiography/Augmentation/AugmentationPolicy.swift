package import Numerics

/// What may happen to a sample before it is trained on, and how often.
///
/// `plan` draws one augmentation; `AugmentationDraw.apply` carries it out in one resampling pass.
package struct AugmentationPolicy: Sendable, Equatable {
    /// What stands outside the image.
    package enum Border: Sendable, Equatable {
        /// The image mirrored at the centre of its outermost pixels: … 2 1 | 0 1 2 …. The mask likewise.
        case reflect101
        /// One grey value; the mask is 0 there.
        case constant(UInt8)
    }

    /// The probability of a horizontal flip.
    package var horizontalFlipProbability: Float = 0
    /// The probability of a shift, scaling and rotation, which are drawn together.
    package var shiftScaleRotateProbability: Float = 0
    /// The shift along each axis, uniform in ± this share of the image's side.
    package var shiftLimit: Float = 0
    /// The range of the scale: above 1 enlarges the anatomy.
    package var scale: ClosedRange<Float> = 1...1
    /// The rotation about the middle, uniform in ± this many degrees.
    package var rotationLimit: Float = 0
    /// The probability of a square crop, scaled to the output.
    package var cropProbability: Float = 0
    /// The range of the crop's side as a share of the image's, above 0 and at most 1; its place is uniform.
    package var cropSide: ClosedRange<Float> = 1...1
    /// The probability of a change of brightness.
    package var brightnessProbability: Float = 0
    /// The value added, uniform in ± this share of the full range.
    package var brightnessLimit: Float = 0
    /// The probability of a change of contrast.
    package var contrastProbability: Float = 0
    /// The range of the factor by which values are spread about middle grey.
    package var contrast: ClosedRange<Float> = 1...1
    /// The probability of a change of gamma.
    package var gammaProbability: Float = 0
    /// The range of the exponent; above 1 darkens.
    package var gamma: ClosedRange<Float> = 1...1
    package var border = Border.reflect101

    /// Nothing happens.
    package init() {}

    /// The words of the random sequence, one for each use, in a fixed place: a further use does not move the others.
    private enum Word {
        static let flip = 0
        static let isMoved = 1
        static let shiftX = 2
        static let shiftY = 3
        static let scale = 4
        static let rotation = 5
        static let isCropped = 6
        static let cropSide = 7
        static let cropX = 8
        static let cropY = 9
        static let isBrightened = 10
        static let brightness = 11
        static let isContrasted = 12
        static let contrast = 13
        static let isBent = 14
        static let gamma = 15
    }

    /// Draws one augmentation.
    ///
    /// Pure: equal sequences give equal draws.
    package func plan(sequence: RandomSequence) -> AugmentationDraw {
        func happens(_ word: Int, _ probability: Float) -> Bool { sequence.uniform(word) < probability }
        var draw = AugmentationDraw(border: border)
        draw.isFlipped = happens(Word.flip, horizontalFlipProbability)
        if happens(Word.isMoved, shiftScaleRotateProbability) {
            draw.shiftX = sequence.uniform(Word.shiftX, in: -shiftLimit...shiftLimit)
            draw.shiftY = sequence.uniform(Word.shiftY, in: -shiftLimit...shiftLimit)
            draw.scale = sequence.uniform(Word.scale, in: scale)
            draw.rotation = sequence.uniform(Word.rotation, in: -rotationLimit...rotationLimit)
        }
        if happens(Word.isCropped, cropProbability) {
            draw.cropSide = sequence.uniform(Word.cropSide, in: cropSide)
            draw.cropX = sequence.uniform(Word.cropX) * (1 - draw.cropSide)
            draw.cropY = sequence.uniform(Word.cropY) * (1 - draw.cropSide)
        }
        if happens(Word.isBrightened, brightnessProbability) {
            draw.brightness = sequence.uniform(Word.brightness, in: -brightnessLimit...brightnessLimit)
        }
        if happens(Word.isContrasted, contrastProbability) {
            draw.contrast = sequence.uniform(Word.contrast, in: contrast)
        }
        if happens(Word.isBent, gammaProbability) {
            draw.gamma = sequence.uniform(Word.gamma, in: gamma)
        }
        return draw
    }
}

/// One augmentation, drawn.
///
/// The image is flipped, then scaled and rotated about its middle and shifted, then cropped; its values are bent by
/// gamma, spread by contrast, then shifted by brightness, and cut to the full range.
package struct AugmentationDraw: Sendable, Equatable {
    package var isFlipped = false
    /// The shift as a share of the side, to the right and down.
    package var shiftX: Float = 0
    package var shiftY: Float = 0
    package var scale: Float = 1
    /// In degrees, clockwise as the image is seen.
    package var rotation: Float = 0
    /// The crop's left and top edges and its side, as shares of the image's side.
    package var cropX: Float = 0
    package var cropY: Float = 0
    package var cropSide: Float = 1
    package var brightness: Float = 0
    package var contrast: Float = 1
    package var gamma: Float = 1
    package var border: AugmentationPolicy.Border

    /// Nothing happens but the scaling to the output's size.
    package init(border: AugmentationPolicy.Border = .reflect101) {
        self.border = border
    }

    /// Nothing happens but the scaling to the output's size.
    package static let identity = AugmentationDraw()
}

/// How grey values 0...1 become what a network reads: (value - mean) / deviation, for each channel.
package struct ChannelNormalization: Sendable, Equatable {
    package var mean: SIMD3<Float>
    package var deviation: SIMD3<Float>

    /// Deviations are not 0.
    package init(mean: SIMD3<Float>, deviation: SIMD3<Float>) {
        self.mean = mean
        self.deviation = deviation
    }

    /// The same for all channels.
    package init(mean: Float, deviation: Float) {
        self.init(mean: SIMD3(repeating: mean), deviation: SIMD3(repeating: deviation))
    }

    /// Values stay 0...1.
    package static let unit = ChannelNormalization(mean: 0, deviation: 1)
    /// ImageNet's statistics, for encoders trained on it.
    package static let imageNet = ChannelNormalization(
        mean: SIMD3(0.485, 0.456, 0.406),
        deviation: SIMD3(0.229, 0.224, 0.225)
    )
}
