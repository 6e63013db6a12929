#if BF16
    import Kernels
#endif

extension Reference {
    /// The block sum of `value(pixel)` over `pixels` pixels: `Float` within a block, `Double` across blocks. `add`
    /// folds one pixel into the block's accumulator.
    static func blockSum(pixels: Int, add: (inout Float, Int) -> Void) -> Double {
        var total = 0.0
        for first in stride(from: 0, to: pixels, by: pixelBlock) {
            var sum: Float = 0
            for pixel in first..<min(first + pixelBlock, pixels) { add(&sum, pixel) }
            total += Double(sum)
        }
        return total
    }

    @Sendable static func channelSums(x: TensorView, sums: UnsafeMutablePointer<Float>) {
        for c in 0..<x.channels {
            sums[c] = Float(blockSum(pixels: x.pixels) { sum, pixel in sum += x.pixel(pixel)[c] })
        }
    }

    @Sendable static func batchStatistics(
        x: TensorView,
        mean: UnsafeMutablePointer<Float>,
        variance: UnsafeMutablePointer<Float>
    ) {
        let count = Double(x.pixels)
        for c in 0..<x.channels {
            let firstBlock = min(pixelBlock, x.pixels)
            var first: Float = 0
            for pixel in 0..<firstBlock { first += x.pixel(pixel)[c] }
            let shift = first / Float(firstBlock)
            let sum = blockSum(pixels: x.pixels) { sum, pixel in sum += x.pixel(pixel)[c] - shift }
            let squares = blockSum(pixels: x.pixels) { sum, pixel in
                let d = x.pixel(pixel)[c] - shift
                sum.addProduct(d, d)
            }
            let deviation = sum / count
            mean[c] = Float(Double(shift) + deviation)
            let spread = squares / count - deviation * deviation
            variance[c] = Float(spread < 0 ? 0 : spread)
        }
    }

    @Sendable static func scaleShift(
        x: TensorView,
        scale: UnsafePointer<Float>,
        shift: UnsafePointer<Float>,
        residual: TensorView?,
        y: TensorView,
        relu: Bool
    ) {
        for pixel in 0..<x.pixels {
            for c in 0..<x.channels {
                var value = shift[c].addingProduct(x.pixel(pixel)[c], scale[c])
                if let residual { value += residual.pixel(pixel)[c] }
                y.pixel(pixel)[c] = relu ? clampBelow(value) : value
            }
        }
    }

    @Sendable static func batchNormBackwardSums(
        x: TensorView,
        dy: TensorView,
        y: TensorView?,
        mean: UnsafePointer<Float>,
        inverseDeviation: UnsafePointer<Float>,
        dGamma: UnsafeMutablePointer<Float>,
        dBeta: UnsafeMutablePointer<Float>
    ) {
        for c in 0..<x.channels {
            func gradient(_ pixel: Int) -> Float {
                if let y, !(y.pixel(pixel)[c] > 0) { return 0 }
                return dy.pixel(pixel)[c]
            }
            dBeta[c] = Float(blockSum(pixels: x.pixels) { sum, pixel in sum += gradient(pixel) })
            dGamma[c] = Float(
                blockSum(pixels: x.pixels) { sum, pixel in
                    sum.addProduct(gradient(pixel), (x.pixel(pixel)[c] - mean[c]) * inverseDeviation[c])
                }
            )
        }
    }

    @Sendable static func batchNormBackward(
        x: TensorView,
        dy: TensorView,
        y: TensorView?,
        a: UnsafePointer<Float>,
        b: UnsafePointer<Float>,
        c: UnsafePointer<Float>,
        dx: TensorView,
        accumulate: Bool,
        residualGradient: TensorView?,
        accumulateResidual: Bool
    ) {
        for pixel in 0..<x.pixels {
            for channel in 0..<x.channels {
                var g = dy.pixel(pixel)[channel]
                if let y, !(y.pixel(pixel)[channel] > 0) { g = 0 }
                if let residualGradient {
                    store(g, at: residualGradient.pixel(pixel) + channel, accumulate: accumulateResidual)
                }
                let inner = c[channel].addingProduct(b[channel], x.pixel(pixel)[channel])
                store(inner.addingProduct(a[channel], g), at: dx.pixel(pixel) + channel, accumulate: accumulate)
            }
        }
    }
}
