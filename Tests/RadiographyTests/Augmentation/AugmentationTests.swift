import Numerics
import Radiography
import Settings
import Testing

/// A picture without symmetry.
private func picture(_ width: Int, _ height: Int) -> [UInt8] {
    (0..<width * height).map { UInt8(truncatingIfNeeded: ($0 % width) * 7 + ($0 / width) * 13 + ($0 * $0) % 11) }
}

private func mask(_ width: Int, _ height: Int) -> [UInt8] {
    (0..<width * height).map { $0 % width > width / 2 && $0 / width > height / 3 ? 255 : 0 }
}

private struct Result: Equatable {
    var image: [Float]
    var mask: [Float]
}

private func apply(
    _ draw: AugmentationDraw,
    _ image: [UInt8],
    mask: [UInt8]? = nil,
    width: Int,
    height: Int,
    output: Int,
    channels: Int = 1,
    normalization: ChannelNormalization = .unit
) -> Result {
    var result = Result(
        image: [Float](repeating: -9, count: output * output * channels),
        mask: [Float](repeating: -9, count: output * output)
    )
    draw.apply(
        image: image,
        mask: mask,
        width: width,
        height: height,
        outputSize: output,
        into: &result.image,
        channels: channels,
        normalization: normalization,
        maskInto: &result.mask
    )
    return result
}

/// A policy with most steps; those with values are not in it where `values` is false.
private func lively(
    values: Bool = true,
    without words: [String] = [],
    border: AugmentationPolicy.Border = .reflect101
) -> AugmentationPolicy {
    var affine = ShiftScaleRotate(probability: 0.7, shift: 0.1, rotation: 20)
    affine.scale = 0.8...1.25
    var crop = RandomCrop(probability: 0.5, minimum: 0.6)
    crop.maximum = 0.9
    var steps: [any Augmentation] = [Flip(probability: 0.5), affine, crop]
    if values {
        steps += [
            BrightnessChange(probability: 0.5), ContrastChange(probability: 0.5),
            GammaChange(probability: 0.5, range: [0.7, 1.4]),
        ]
    }
    return AugmentationPolicy(steps.filter { !words.contains(type(of: $0).word) }, border: border)
}

private func sequence(_ position: UInt32, seed: UInt64 = 5) -> RandomSequence {
    RandomSequence(seed: seed, purpose: .augmentation, epoch: 1, position: position)
}

@Suite("Augmentation")
struct AugmentationTests {
    @Test("The identity copies exactly, at every size", arguments: [1, 2, 5, 31, 48, 64])
    func identity(size: Int) {
        let source = picture(size, size)
        let region = mask(size, size)
        for border in [AugmentationPolicy.Border.reflect101, .constant(9)] {
            let result = apply(
                AugmentationDraw(border: border),
                source,
                mask: region,
                width: size,
                height: size,
                output: size
            )
            #expect(result.image == source.map { Float($0) / 255 })
            #expect(result.mask == region.map { $0 != 0 ? 1 : 0 })
        }
    }

    @Test("The identity at another size is plain bilinear scaling", arguments: [(30, 20, 48), (64, 64, 32), (7, 9, 5)])
    func resize(width: Int, height: Int, output: Int) {
        let source = picture(width, height)
        let result = apply(.identity, source, width: width, height: height, output: output)
        for y in 0..<output {
            for x in 0..<output {
                let expected = bilinear(
                    source,
                    width,
                    height,
                    (Double(x) + 0.5) * Double(width) / Double(output) - 0.5,
                    (Double(y) + 0.5) * Double(height) / Double(output) - 0.5,
                    border: .reflect101
                )
                #expect(abs(Double(result.image[y * output + x]) - expected) < 1e-6)
            }
        }
    }

    @Test("A flip mirrors image and mask exactly")
    func flip() {
        let size = 33
        let source = picture(size, size)
        let region = mask(size, size)
        var draw = AugmentationDraw.identity
        draw.isFlipped = true
        let result = apply(draw, source, mask: region, width: size, height: size, output: size)
        for y in 0..<size {
            for x in 0..<size {
                #expect(result.image[y * size + x] == Float(source[y * size + size - 1 - x]) / 255)
                #expect(result.mask[y * size + x] == (region[y * size + size - 1 - x] != 0 ? 1 : 0))
            }
        }
    }

    @Test("A shift by whole pixels moves right and down; outside stands the border")
    func shift() {
        let size = 32
        let source = picture(size, size)
        let region = [UInt8](repeating: 1, count: size * size)
        for border in [AugmentationPolicy.Border.reflect101, .constant(200)] {
            var draw = AugmentationDraw(border: border)
            draw.shiftX = 0.125
            draw.shiftY = 0.0625
            let result = apply(draw, source, mask: region, width: size, height: size, output: size)
            for y in 0..<size {
                for x in 0..<size {
                    let fromX = x - 4
                    let fromY = y - 2
                    let isInside = fromX >= 0 && fromY >= 0
                    let expected =
                        isInside || border == .reflect101 ? source[abs(fromY) * size + abs(fromX)] : UInt8(200)
                    #expect(result.image[y * size + x] == Float(expected) / 255)
                    #expect(result.mask[y * size + x] == (isInside || border == .reflect101 ? 1 : 0))
                }
            }
        }
    }

    @Test("A quarter turn is clockwise; a crop scales up its part; a scale enlarges")
    func geometry() {
        let size = 16
        let source = picture(size, size)
        var turn = AugmentationDraw.identity
        turn.rotation = 90
        let turned = apply(turn, source, width: size, height: size, output: size)
        for y in 0..<size {
            for x in 0..<size {
                let expected = Float(source[(size - 1 - x) * size + y]) / 255
                #expect(abs(turned.image[y * size + x] - expected) < 1e-5)
            }
        }
        var crop = AugmentationDraw.identity
        crop.cropSide = 0.5
        crop.cropX = 0.25
        crop.cropY = 0.5
        let cropped = apply(crop, source, width: size, height: size, output: 8)
        for y in 0..<8 {
            for x in 0..<8 { #expect(cropped.image[y * 8 + x] == Float(source[(y + 8) * size + x + 4]) / 255) }
        }
        // Twice as large about the middle is the middle half, scaled.
        var scale = AugmentationDraw.identity
        scale.scale = 2
        var middle = AugmentationDraw.identity
        middle.cropSide = 0.5
        middle.cropX = 0.25
        middle.cropY = 0.25
        #expect(
            apply(scale, source, width: size, height: size, output: size)
                == apply(middle, source, width: size, height: size, output: size)
        )
    }

    @Test("Values: gamma, then contrast about middle grey, then brightness, cut to the range; then normalised")
    func values() {
        let size = 16
        let source = (0..<256).map { UInt8($0) }
        var draw = AugmentationDraw.identity
        draw.gamma = 2
        draw.contrast = 1.5
        draw.brightness = 0.1
        let result = apply(draw, source, width: size, height: size, output: size)
        for grey in 0..<256 {
            let bent = Float(Mathematics.pow(Double(Float(grey) / 255), 2.0))
            let expected = min(1, max(0, (bent - 0.5) * 1.5 + 0.5 + 0.1))
            #expect(abs(result.image[grey] - expected) < 1e-6)
        }
        let color = apply(
            draw,
            source,
            width: size,
            height: size,
            output: size,
            channels: 3,
            normalization: .imageNet
        )
        for grey in 0..<256 {
            for channel in 0..<3 {
                let statistics = ChannelNormalization.imageNet
                let expected = (result.image[grey] - statistics.mean[channel]) / statistics.deviation[channel]
                #expect(color.image[3 * grey + channel] == expected)
            }
        }
    }

    @Test("Every drawn augmentation agrees with a slow reference", arguments: 0..<24)
    func reference(position: Int) {
        let (width, height, output) = (40, 28, 36)
        let source = picture(width, height)
        let region = mask(width, height)
        let policy = lively(values: false, border: position % 2 == 1 ? .constant(77) : .reflect101)
        let draw = policy.plan(sequence: sequence(UInt32(position)))
        let result = apply(draw, source, mask: region, width: width, height: height, output: output)
        let radians = Double(draw.rotation) * .pi / 180
        var wrongMask = 0
        for y in 0..<output {
            for x in 0..<output {
                // Output → crop → shift → rotation and scale → flip, on a square of side 1.
                let u = Double(draw.cropX) + (Double(x) + 0.5) / Double(output) * Double(draw.cropSide)
                let v = Double(draw.cropY) + (Double(y) + 0.5) / Double(output) * Double(draw.cropSide)
                let du = u - 0.5 - Double(draw.shiftX)
                let dv = v - 0.5 - Double(draw.shiftY)
                var su = (Mathematics.cos(radians) * du + Mathematics.sin(radians) * dv) / Double(draw.scale)
                let sv = (Mathematics.cos(radians) * dv - Mathematics.sin(radians) * du) / Double(draw.scale)
                if draw.isFlipped { su = -su }
                let px = (su + 0.5) * Double(width) - 0.5
                let py = (sv + 0.5) * Double(height) - 0.5
                let expected = bilinear(source, width, height, px, py, border: policy.border)
                #expect(abs(Double(result.image[y * output + x]) - expected) < 1e-5)
                let nearest = bilinear(
                    region,
                    width,
                    height,
                    (px + 0.5).rounded(.down),
                    (py + 0.5).rounded(.down),
                    border: policy.border == .reflect101 ? .reflect101 : .constant(0)
                )
                if result.mask[y * output + x] != Float(nearest) { wrongMask += 1 }
            }
        }
        // Only a position that falls on a pixel's edge may go either way.
        #expect(wrongMask <= 2)
    }

    @Test("Draws are pure and lie in their ranges")
    func draws() {
        var flips = 0
        for position in 0..<400 as Range<UInt32> {
            let draw = lively().plan(sequence: sequence(position))
            #expect(draw == lively().plan(sequence: sequence(position)))
            if draw.isFlipped { flips += 1 }
            #expect(abs(draw.shiftX) <= 0.1 && abs(draw.shiftY) <= 0.1 && abs(draw.rotation) <= 20)
            #expect((0.8...1.25).contains(draw.scale) && (0.6...1).contains(draw.cropSide))
            #expect(draw.cropX >= 0 && draw.cropX + draw.cropSide <= 1.000001)
            #expect(draw.cropY >= 0 && draw.cropY + draw.cropSide <= 1.000001)
            #expect((0.7...1.4).contains(draw.gamma) && (0.8...1.2).contains(draw.contrast))
            #expect(abs(draw.brightness) <= 0.2)
        }
        #expect((150...250).contains(flips))
        #expect(AugmentationPolicy().plan(sequence: sequence(0)) == .identity)
    }

    @Test("A further use of the policy does not move the other draws")
    func wordsAreFixed() {
        for position in 0..<50 as Range<UInt32> {
            let all = lively().plan(sequence: sequence(position))
            let fewer = lively(without: ["flip", "crop", "contrast"])
            let some = fewer.plan(sequence: sequence(position))
            #expect(some.shiftX == all.shiftX && some.rotation == all.rotation && some.gamma == all.gamma)
            #expect(some.brightness == all.brightness && some.scale == all.scale)
        }
    }

    @Test("Golden augmentation")
    func golden() {
        // The same bits on every machine: weights after training depend on them.
        let size = 40
        let source = picture(size, size)
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for position in 0..<8 as Range<UInt32> {
            let draw = lively().plan(sequence: sequence(position))
            let result = apply(
                draw,
                source,
                mask: mask(size, size),
                width: size,
                height: size,
                output: size,
                channels: 3,
                normalization: .imageNet
            )
            for value in result.image + result.mask {
                hash = (hash ^ UInt64(value.bitPattern)) &* 0x100_0000_01B3
            }
        }
        #expect(hash == 4_799_049_077_667_565_853)
    }

    /// `Tests/Fixtures/clahe.py` printed the hashes of what OpenCV makes of the same pictures.
    @Test(
        "CLAHE gives OpenCV's bytes, also where the sides are no multiples of the tiles",
        arguments: [
            (64, 64, 8, 2.0, 18_149_273_004_090_505_699), (64, 64, 4, 1.0, 15_277_838_474_708_279_876),
            (40, 28, 4, 3.75, 16_616_627_600_741_949_804), (37, 53, 8, 2.5, 2_214_542_189_181_881_812),
            (5, 3, 8, 40.0, 6_154_923_772_604_455_208),
        ] as [(Int, Int, Int, Double, UInt64)]
    )
    func localContrast(width: Int, height: Int, tiles: Int, limit: Double, expected: UInt64) {
        var pixels = picture(width, height)
        pixels.withUnsafeMutableBufferPointer {
            AdaptiveEqualization(limit: limit, tiles: tiles).apply(to: $0, width: width, height: height)
        }
        let hash = pixels.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        #expect(hash == expected)
    }

    @Test("A filter changes the pixels before they are resampled, and not the mask")
    func filters() {
        let source = picture(40, 40)
        let region = mask(40, 40)
        let policy = AugmentationPolicy([Flip(probability: 1), LocalContrast(probability: 1, limit: 3, tiles: 4)])
        let draw = policy.plan(sequence: sequence(3))
        #expect(draw.filters.count == 1 && draw.isFlipped && draw != .identity)
        let found = apply(draw, source, mask: region, width: 40, height: 40, output: 40)
        var changed = source
        changed.withUnsafeMutableBufferPointer { draw.filters[0].apply(to: $0, width: 40, height: 40) }
        #expect(changed != source)
        var flip = AugmentationDraw.identity
        flip.isFlipped = true
        #expect(found == apply(flip, changed, mask: region, width: 40, height: 40, output: 40))
    }

    @Test("Each augmentation has words of its own")
    func words() {
        #expect(Set(augmentations.map { $0.word }).count == augmentations.count)
        let words = augmentations.flatMap { Array($0.words) }
        #expect(Set(words).count == words.count)
        for augmentation in augmentations {
            #expect(augmentation.declarations.contains { $0.name == "probability" }, "\(augmentation.word)")
        }
    }

    @Test("Absurd draws neither trap nor read outside")
    func absurd() {
        let source = picture(8, 8)
        for scale in [1e-30, 1e30, -1, 0] as [Float] {
            for border in [AugmentationPolicy.Border.reflect101, .constant(1)] {
                var draw = AugmentationDraw(border: border)
                draw.scale = scale
                draw.shiftX = 1e20
                let result = apply(draw, source, mask: source, width: 8, height: 8, output: 8)
                #expect(result.image.allSatisfy { (0...1).contains($0) })
            }
        }
    }
}

/// The value between pixels, in Double.
private func bilinear(
    _ image: [UInt8],
    _ width: Int,
    _ height: Int,
    _ x: Double,
    _ y: Double,
    border: AugmentationPolicy.Border
) -> Double {
    func mirrored(_ position: Int, _ count: Int) -> Int {
        var position = position
        while position < 0 || position >= count {
            position = position < 0 ? -position : 2 * (count - 1) - position
        }
        return position
    }
    func pixel(_ x: Int, _ y: Int) -> Double {
        if case .constant(let value) = border, x < 0 || y < 0 || x >= width || y >= height {
            return Double(value) / 255
        }
        return Double(image[mirrored(y, height) * width + mirrored(x, width)]) / 255
    }
    let column = Int(x.rounded(.down))
    let row = Int(y.rounded(.down))
    let fx = x - Double(column)
    let fy = y - Double(row)
    let above = pixel(column, row) * (1 - fx) + pixel(column + 1, row) * fx
    let below = pixel(column, row + 1) * (1 - fx) + pixel(column + 1, row + 1) * fx
    return above * (1 - fy) + below * fy
}
