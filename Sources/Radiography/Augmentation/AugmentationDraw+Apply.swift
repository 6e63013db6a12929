import Numerics

extension AugmentationDraw {
    /// Resamples an image, and its mask, to a square of `outputSize` pixels in one pass.
    ///
    /// - Parameters:
    ///   - image: `height` × `width` grey values, row-major.
    ///   - mask: as large as the image; every byte but 0 counts as set. Nothing where there is none.
    ///   - output: `outputSize` · `outputSize` · `channels` values, row-major, the channels of a pixel together.
    ///   - channels: 1, or 3 with the same grey value normalised by each channel's statistics.
    ///   - maskOutput: `outputSize` · `outputSize` values 0 or 1; needed where there is a mask.
    ///
    /// Values between pixel centres are bilinear, the mask is nearest. Pixels are squares: output pixel x has its
    /// centre at (x + ½) · width / `outputSize` of the source. There is no averaging when the output is smaller than
    /// the source; shards are made at the size that is trained at. The bits are the same on every machine: positions
    /// are fixed-point numbers, everything else IEEE operations in one order. The identity draw copies exactly where
    /// the sizes are equal. Pure; any thread.
    package func apply(
        image: UnsafePointer<UInt8>,
        mask: UnsafePointer<UInt8>?,
        width: Int,
        height: Int,
        outputSize: Int,
        into output: UnsafeMutablePointer<Float>,
        channels: Int,
        normalization: ChannelNormalization,
        maskInto maskOutput: UnsafeMutablePointer<Float>?
    ) {
        precondition(channels == 1 || channels == 3, "\(channels) channels")
        precondition(
            (1...1 << 15).contains(width) && (1...1 << 15).contains(height) && (1...1 << 15).contains(outputSize),
            "an image of \(width)×\(height) to \(outputSize)"
        )
        guard filters.isEmpty else {
            var plain = self
            plain.filters = []
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: width * height) { pixels in
                guard let base = pixels.baseAddress else { return }
                base.initialize(from: image, count: width * height)
                for filter in filters { filter.apply(to: pixels, width: width, height: height) }
                plain.apply(
                    image: base,
                    mask: mask,
                    width: width,
                    height: height,
                    outputSize: outputSize,
                    into: output,
                    channels: channels,
                    normalization: normalization,
                    maskInto: maskOutput
                )
            }
            return
        }
        let positions = SourcePositions(draw: self, width: width, height: height, outputSize: outputSize)
        let outside: UInt8?
        switch border {
        case .reflect101: outside = nil
        case .constant(let value): outside = value
        }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { table in
            fillTable(table)
            guard let values = table.baseAddress else { return }
            let source = SourceImage(
                pixels: image,
                width: width,
                height: height,
                table: UnsafePointer(values),
                outside: outside
            )
            for y in 0..<outputSize {
                let row = output + y * outputSize * channels
                if channels == 1 {
                    source.resampleRow(
                        positions.row(y),
                        count: outputSize,
                        into: row,
                        mean: normalization.mean[0],
                        deviation: normalization.deviation[0]
                    )
                } else {
                    source.resampleRow(positions.row(y), count: outputSize, into: row, normalization: normalization)
                }
            }
        }
        if let mask, let maskOutput {
            for y in 0..<outputSize {
                nearestRow(
                    mask,
                    width: width,
                    height: height,
                    positions: positions.row(y),
                    isReflected: outside == nil,
                    count: outputSize,
                    into: maskOutput + y * outputSize
                )
            }
        }
    }

    /// The new value, 0...1, of each of the 256 grey values.
    private func fillTable(_ table: UnsafeMutableBufferPointer<Float>) {
        let isPlain = gamma == 1 && contrast == 1 && brightness == 0
        for grey in 0..<256 {
            var value = Float(grey) / 255
            if !isPlain {
                if gamma != 1 { value = Float(Mathematics.pow(Double(value), Double(gamma))) }
                value = (value - 0.5) * contrast + 0.5 + brightness
                value = value < 0 ? 0 : value > 1 ? 1 : value
            }
            table.initializeElement(at: grey, to: value)
        }
    }
}

/// Where in the source the pixels of one output row come from: fixed-point numbers of 32 fractional bits.
private struct RowPositions {
    var x: Int64
    var y: Int64
    var stepX: Int64
    var stepY: Int64
}

/// The affine map from output pixels to source pixels.
private struct SourcePositions {
    private var xx: Int64
    private var xy: Int64
    private var yx: Int64
    private var yy: Int64
    private var x0: Int64
    private var y0: Int64

    /// Backwards through the augmentation: crop, shift, rotation and scale about the middle, flip.
    ///
    /// All is measured from the middles of source and output, so that equal sizes map pixel to pixel exactly.
    init(draw: AugmentationDraw, width: Int, height: Int, outputSize: Int) {
        let size = Double(outputSize)
        let middle = size / 2 - 0.5
        let side = Double(draw.cropSide)
        let radians = Double(draw.rotation) * (Double.pi / 180)
        let c = Mathematics.cos(radians) / Double(draw.scale)
        let s = Mathematics.sin(radians) / Double(draw.scale)
        // From the middle of the output: v' = side · v + offset, in pixels of the output.
        let offsetX = (Double(draw.cropX) + side / 2 - 0.5 - Double(draw.shiftX)) * size
        let offsetY = (Double(draw.cropY) + side / 2 - 0.5 - Double(draw.shiftY)) * size
        let stretchX = Double(width) / size * (draw.isFlipped ? -1 : 1)
        let stretchY = Double(height) / size
        let xx = c * side * stretchX
        let xy = s * side * stretchX
        let yx = -s * side * stretchY
        let yy = c * side * stretchY
        let x0 = Double(width) / 2 - 0.5 + (c * offsetX + s * offsetY) * stretchX - xx * middle - xy * middle
        let y0 = Double(height) / 2 - 0.5 + (c * offsetY - s * offsetX) * stretchY - yx * middle - yy * middle
        self.xx = Self.fixed(xx)
        self.xy = Self.fixed(xy)
        self.yx = Self.fixed(yx)
        self.yy = Self.fixed(yy)
        self.x0 = Self.fixed(x0)
        self.y0 = Self.fixed(y0)
    }

    /// Out of reach, which only absurd scales are, counts as the farthest that can be told.
    private static func fixed(_ value: Double) -> Int64 {
        let limit = 0x1p20
        let held = value.isNaN ? 0 : value < -limit ? -limit : value > limit ? limit : value
        return Int64((held * 0x1p32).rounded(.toNearestOrEven))
    }

    func row(_ y: Int) -> RowPositions {
        // Wraps only for absurd scales; positions then are anywhere outside.
        let line = Int64(y)
        return RowPositions(x: x0 &+ xy &* line, y: y0 &+ yy &* line, stepX: xx, stepY: yx)
    }
}

/// The index of `position` in 0 ..< `count`, mirrored at the first and last.
func reflected(_ position: Int, _ count: Int) -> Int {
    if count == 1 { return 0 }
    let period = 2 * (count - 1)
    var rest = position % period
    if rest < 0 { rest += period }
    return rest < count ? rest : period - rest
}

/// An image to be read between its pixels.
private struct SourceImage {
    var pixels: UnsafePointer<UInt8>
    var width: Int
    var height: Int
    /// The value of each grey value.
    var table: UnsafePointer<Float>
    /// The grey value outside, or nothing where the image is mirrored.
    var outside: UInt8?

    /// The value at a position, bilinear.
    @inline(__always)
    func value(_ x: Int64, _ y: Int64) -> Float {
        let column = Int(x >> 32)
        let row = Int(y >> 32)
        // 24 bits of the fraction: exact in Float.
        let fx = Float(UInt32(truncatingIfNeeded: x) >> 8) * 0x1p-24
        let fy = Float(UInt32(truncatingIfNeeded: y) >> 8) * 0x1p-24
        let a: Float
        let b: Float
        let c: Float
        let d: Float
        if UInt(bitPattern: column) < UInt(width - 1) && UInt(bitPattern: row) < UInt(height - 1) {
            let corner = pixels + (row * width + column)
            a = table[Int(corner[0])]
            b = table[Int(corner[1])]
            c = table[Int(corner[width])]
            d = table[Int(corner[width + 1])]
        } else {
            a = beyond(column, row)
            b = beyond(column &+ 1, row)
            c = beyond(column, row &+ 1)
            d = beyond(column &+ 1, row &+ 1)
        }
        let above = a + (b - a) * fx
        let below = c + (d - c) * fx
        return above + (below - above) * fy
    }

    /// The value of a pixel that may lie outside.
    @inline(never)
    private func beyond(_ column: Int, _ row: Int) -> Float {
        if let outside {
            guard column >= 0 && column < width && row >= 0 && row < height else { return table[Int(outside)] }
            return table[Int(pixels[row * width + column])]
        }
        return table[Int(pixels[reflected(row, height) * width + reflected(column, width)])]
    }

    func resampleRow(
        _ positions: RowPositions,
        count: Int,
        into output: UnsafeMutablePointer<Float>,
        mean: Float,
        deviation: Float
    ) {
        var x = positions.x
        var y = positions.y
        for pixel in 0..<count {
            output[pixel] = (value(x, y) - mean) / deviation
            x &+= positions.stepX
            y &+= positions.stepY
        }
    }

    func resampleRow(
        _ positions: RowPositions,
        count: Int,
        into output: UnsafeMutablePointer<Float>,
        normalization: ChannelNormalization
    ) {
        let mean = normalization.mean
        let deviation = normalization.deviation
        var x = positions.x
        var y = positions.y
        for pixel in 0..<count {
            let value = value(x, y)
            output[3 * pixel] = (value - mean.x) / deviation.x
            output[3 * pixel + 1] = (value - mean.y) / deviation.y
            output[3 * pixel + 2] = (value - mean.z) / deviation.z
            x &+= positions.stepX
            y &+= positions.stepY
        }
    }
}

private func nearestRow(
    _ mask: UnsafePointer<UInt8>,
    width: Int,
    height: Int,
    positions: RowPositions,
    isReflected: Bool,
    count: Int,
    into output: UnsafeMutablePointer<Float>
) {
    let half = Int64(1) << 31
    var x = positions.x &+ half
    var y = positions.y &+ half
    for pixel in 0..<count {
        let column = Int(x >> 32)
        let row = Int(y >> 32)
        if UInt(bitPattern: column) < UInt(width) && UInt(bitPattern: row) < UInt(height) {
            output[pixel] = mask[row * width + column] != 0 ? 1 : 0
        } else if isReflected {
            output[pixel] = mask[reflected(row, height) * width + reflected(column, width)] != 0 ? 1 : 0
        } else {
            output[pixel] = 0
        }
        x &+= positions.stepX
        y &+= positions.stepY
    }
}
