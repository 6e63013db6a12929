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
        activation: Activation
    ) {
        for pixel in 0..<x.pixels {
            for c in 0..<x.channels {
                var value = shift[c].addingProduct(x.pixel(pixel)[c], scale[c])
                if let residual { value += residual.pixel(pixel)[c] }
                y.pixel(pixel)[c] = activated(value, activation)
            }
        }
    }

    static func activated(_ z: Float, _ activation: Activation) -> Float {
        switch activation {
        case .none: z
        case .relu: clampBelow(z)
        case .silu: ScalarMath.silu(z)
        case .leakyReLU(let slope): z <= 0 ? z * slope : z
        }
    }

    /// The gradient that reaches the normalisation at (pixel, c).
    static func gradient(_ at: ActivationGradient, _ x: TensorView, _ dy: TensorView, _ pixel: Int, _ c: Int) -> Float {
        let g = dy.pixel(pixel)[c]
        switch at.activation {
        case .none: return g
        case .relu:
            guard let y = at.y else { return g }
            return y.pixel(pixel)[c] > 0 ? g : 0
        case .silu:
            guard let scale = at.scale, let shift = at.shift else { return g }
            return g * ScalarMath.siluDerivative(shift[c].addingProduct(x.pixel(pixel)[c], scale[c]))
        case .leakyReLU(let slope):
            guard let y = at.y else { return g }
            return y.pixel(pixel)[c] > 0 ? g : g * slope
        }
    }

    @Sendable static func batchNormBackwardSums(
        x: TensorView,
        dy: TensorView,
        activation: ActivationGradient,
        mean: UnsafePointer<Float>,
        inverseDeviation: UnsafePointer<Float>,
        dGamma: UnsafeMutablePointer<Float>,
        dBeta: UnsafeMutablePointer<Float>
    ) {
        for c in 0..<x.channels {
            func gradient(_ pixel: Int) -> Float { Self.gradient(activation, x, dy, pixel, c) }
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
        activation: ActivationGradient,
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
                let g = gradient(activation, x, dy, pixel, channel)
                if let residualGradient {
                    store(g, at: residualGradient.pixel(pixel) + channel, accumulate: accumulateResidual)
                }
                let inner = c[channel].addingProduct(b[channel], x.pixel(pixel)[channel])
                store(inner.addingProduct(a[channel], g), at: dx.pixel(pixel) + channel, accumulate: accumulate)
            }
        }
    }
}
