package import Numerics

/// What may happen to a sample before it is trained on, and how often.
///
/// `plan` draws one augmentation; `AugmentationDraw.apply` carries it out in one resampling pass.
package struct AugmentationPolicy: Sendable {
    /// What stands outside the image.
    package enum Border: Sendable, Equatable {
        /// The image mirrored at the centre of its outermost pixels: … 2 1 | 0 1 2 …. The mask likewise.
        case reflect101
        /// One grey value; the mask is 0 there.
        case constant(UInt8)
    }

    /// What may happen, each by its own probability.
    package var steps: [any Augmentation]
    package var border: Border

    /// Nothing happens without a step.
    package init(_ steps: [any Augmentation] = [], border: Border = .reflect101) {
        self.steps = steps
        self.border = border
    }

    /// Draws one augmentation.
    ///
    /// Pure: equal sequences give equal draws.
    package func plan(sequence: RandomSequence) -> AugmentationDraw {
        var draw = AugmentationDraw(border: border)
        for step in steps {
            let numbers = AugmentationNumbers(sequence, type(of: step).words)
            if numbers.happens(step.probability) { step.draw(numbers, into: &draw) }
        }
        return draw
    }
}

/// A change of an image's pixels before it is resampled, in place; the mask stays.
package protocol PixelFilter: Hashable, Sendable {
    /// `width` · `height` grey values, row by row. The same bytes on every machine.
    func apply(to pixels: UnsafeMutableBufferPointer<UInt8>, width: Int, height: Int)
}

/// One augmentation, drawn.
///
/// The filters change the pixels. The image is flipped, then scaled and rotated about its middle and shifted, then cropped; its values are bent by
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
    /// Happen one after the other.
    package var filters: [any PixelFilter] = []

    /// Nothing happens but the scaling to the output's size.
    package init(border: AugmentationPolicy.Border = .reflect101) {
        self.border = border
    }

    /// Nothing happens but the scaling to the output's size.
    package static let identity = AugmentationDraw()

    package static func == (first: AugmentationDraw, second: AugmentationDraw) -> Bool {
        func numbers(_ draw: AugmentationDraw) -> [Float] {
            [
                draw.shiftX, draw.shiftY, draw.scale, draw.rotation, draw.cropX, draw.cropY, draw.cropSide,
                draw.brightness, draw.contrast, draw.gamma,
            ]
        }
        return first.isFlipped == second.isFlipped && numbers(first) == numbers(second)
            && first.border == second.border
            && first.filters.map { AnyHashable($0) } == second.filters.map { AnyHashable($0) }
    }
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
