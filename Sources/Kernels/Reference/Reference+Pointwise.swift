import Numerics

#if BF16
    import Kernels
#endif

extension Reference {
    private static func forEach(_ view: TensorView, _ body: (_ pixel: Int, _ channel: Int) -> Void) {
        for pixel in 0..<view.pixels {
            for channel in 0..<view.channels { body(pixel, channel) }
        }
    }

    @Sendable static func relu(x: TensorView, y: TensorView) {
        forEach(x) { pixel, c in y.pixel(pixel)[c] = clampBelow(x.pixel(pixel)[c]) }
    }

    @Sendable static func reluBackward(y: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
        forEach(y) { pixel, c in
            let g = y.pixel(pixel)[c] > 0 ? dy.pixel(pixel)[c] : 0
            store(g, at: dx.pixel(pixel) + c, accumulate: accumulate)
        }
    }

    @Sendable static func sigmoid(x: TensorView, y: TensorView) {
        forEach(x) { pixel, c in y.pixel(pixel)[c] = ScalarMath.sigmoid(x.pixel(pixel)[c]) }
    }

    @Sendable static func sigmoidBackward(y: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
        forEach(y) { pixel, c in
            let p = y.pixel(pixel)[c]
            store(dy.pixel(pixel)[c] * (p * (1 - p)), at: dx.pixel(pixel) + c, accumulate: accumulate)
        }
    }

    @Sendable static func silu(x: TensorView, y: TensorView) {
        forEach(x) { pixel, c in y.pixel(pixel)[c] = ScalarMath.silu(x.pixel(pixel)[c]) }
    }

    @Sendable static func siluBackward(x: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
        forEach(x) { pixel, c in
            let g = dy.pixel(pixel)[c] * ScalarMath.siluDerivative(x.pixel(pixel)[c])
            store(g, at: dx.pixel(pixel) + c, accumulate: accumulate)
        }
    }

    @Sendable static func leakyReLU(x: TensorView, y: TensorView, slope: Float) {
        forEach(x) { pixel, c in y.pixel(pixel)[c] = activated(x.pixel(pixel)[c], .leakyReLU(slope: slope)) }
    }

    @Sendable static func leakyReLUBackward(
        y: TensorView,
        dy: TensorView,
        dx: TensorView,
        slope: Float,
        accumulate: Bool
    ) {
        forEach(y) { pixel, c in
            let g = dy.pixel(pixel)[c]
            store(y.pixel(pixel)[c] > 0 ? g : g * slope, at: dx.pixel(pixel) + c, accumulate: accumulate)
        }
    }

    @Sendable static func softmax(x: TensorView, y: TensorView) {
        for pixel in 0..<x.pixels {
            var most = x.pixel(pixel)[0]
            for c in 0..<x.channels where x.pixel(pixel)[c] > most { most = x.pixel(pixel)[c] }
            var sum: Float = 0
            for c in 0..<x.channels { sum += ScalarMath.exp(x.pixel(pixel)[c] - most) }
            for c in 0..<x.channels { y.pixel(pixel)[c] = ScalarMath.exp(x.pixel(pixel)[c] - most) / sum }
        }
    }

    @Sendable static func softmaxBackward(y: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
        for pixel in 0..<y.pixels {
            var sum: Float = 0
            for c in 0..<y.channels { sum.addProduct(y.pixel(pixel)[c], dy.pixel(pixel)[c]) }
            for c in 0..<y.channels {
                let value = y.pixel(pixel)[c] * (dy.pixel(pixel)[c] - sum)
                store(value, at: dx.pixel(pixel) + c, accumulate: accumulate)
            }
        }
    }

    @Sendable static func scaleChannels(x: TensorView, gate: TensorView, y: TensorView, accumulate: Bool) {
        forEach(x) { pixel, c in
            let value = x.pixel(pixel)[c] * gate.pixel(pixel / x.pixelsPerImage)[c]
            store(value, at: y.pixel(pixel) + c, accumulate: accumulate)
        }
    }

    @Sendable static func scaleChannelsBackward(x: TensorView, dy: TensorView, dgate: TensorView, accumulate: Bool) {
        for n in 0..<x.images {
            for c in 0..<x.channels {
                let total = blockSum(pixels: x.pixelsPerImage) { sum, pixel in
                    let place = n * x.pixelsPerImage + pixel
                    sum.addProduct(x.pixel(place)[c], dy.pixel(place)[c])
                }
                store(Float(total), at: dgate.pixel(n) + c, accumulate: accumulate)
            }
        }
    }

    @Sendable static func add(a: TensorView, b: TensorView, y: TensorView, relu: Bool) {
        forEach(a) { pixel, c in
            let sum = a.pixel(pixel)[c] + b.pixel(pixel)[c]
            y.pixel(pixel)[c] = relu ? clampBelow(sum) : sum
        }
    }

    @Sendable static func copy(x: TensorView, y: TensorView, accumulate: Bool) {
        forEach(x) { pixel, c in store(x.pixel(pixel)[c], at: y.pixel(pixel) + c, accumulate: accumulate) }
    }

    @Sendable static func widen(x: TensorView, y: TensorView, accumulate: Bool) {
        forEach(x) { pixel, c in
            let place = y.floats + pixel * y.pixelStride + c
            place.pointee = accumulate ? place.pointee + x.pixel(pixel)[c] : x.pixel(pixel)[c]
        }
    }

    @Sendable static func narrow(x: TensorView, y: TensorView, accumulate: Bool) {
        forEach(x) { pixel, c in
            store((x.floats + pixel * x.pixelStride)[c], at: y.pixel(pixel) + c, accumulate: accumulate)
        }
    }

    @Sendable static func fill(y: TensorView, value: Float) {
        forEach(y) { pixel, c in y.pixel(pixel)[c] = value }
    }

    @Sendable static func dropout(
        x: TensorView,
        y: TensorView,
        keep: Float,
        threshold: UInt32,
        key: DropoutKey,
        accumulate: Bool
    ) {
        let sequence = RandomSequence(
            seed: key.seed,
            purpose: .dropout,
            epoch: key.step,
            position: key.position
        )
        forEach(x) { pixel, c in
            let word = sequence.word(key.firstWord + pixel * x.channels + c)
            store(word < threshold ? x.pixel(pixel)[c] / keep : 0, at: y.pixel(pixel) + c, accumulate: accumulate)
        }
    }

    @Sendable static func dropConnect(
        x: TensorView,
        y: TensorView,
        keep: Float,
        threshold: UInt32,
        key: DropoutKey,
        accumulate: Bool
    ) {
        let sequence = RandomSequence(
            seed: key.seed,
            purpose: .dropout,
            epoch: key.step,
            position: key.position
        )
        forEach(x) { pixel, c in
            let word = sequence.word(key.firstWord + pixel / x.pixelsPerImage)
            store(word < threshold ? x.pixel(pixel)[c] / keep : 0, at: y.pixel(pixel) + c, accumulate: accumulate)
        }
    }
}
