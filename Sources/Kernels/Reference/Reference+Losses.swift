#if BF16
    import Kernels
#endif

#if !BF16
    extension Reference {
        /// -(1 - q)^γ log q of one pixel and its derivative to the logit, with q = sigmoid(z), z = ± logit.
        private static func focal(logit: Float, target: Float, gamma: Float) -> (value: Float, derivative: Float) {
            let positive = target >= 0.5
            let z = positive ? logit : -logit
            let minusLog = ScalarMath.softplus(-z)
            let q = ScalarMath.sigmoid(z)
            let rest = ScalarMath.sigmoid(-z)
            let power = gamma == 2 ? rest * rest : ScalarMath.exp(-gamma * ScalarMath.softplus(z))
            let slope = power * ((-gamma * q * minusLog) - rest)
            return (power * minusLog, positive ? slope : -slope)
        }

        @Sendable static func lossSums(
            logits: TensorView,
            targets: TensorView,
            focalGamma: Float,
            sums: UnsafeMutablePointer<LossSums>
        ) {
            let count = logits.pixelsPerImage
            for n in 0..<logits.images {
                var total = LossSums()
                for first in stride(from: 0, to: count, by: 1024) {
                    for lane in 0..<16 {
                        var cross: Float = 0
                        var focalSum: Float = 0
                        var probability: Float = 0
                        var target: Float = 0
                        var intersection: Float = 0
                        var squaredProbability: Float = 0
                        var squaredTarget: Float = 0
                        for pixel in stride(from: first + lane, to: min(first + 1024, count), by: 16) {
                            let x = logits.pixel(n * count + pixel)[0]
                            let t = targets.pixel(n * count + pixel)[0]
                            let p = ScalarMath.sigmoid(x)
                            let e = ScalarMath.log1p(ScalarMath.exp(-abs(x)))
                            cross += clampBelow(x).addingProduct(-x, t) + e
                            focalSum += focal(logit: x, target: t, gamma: focalGamma).value
                            probability += p
                            target += t
                            intersection.addProduct(p, t)
                            squaredProbability.addProduct(p, p)
                            squaredTarget.addProduct(t, t)
                        }
                        total.crossEntropy += Double(cross)
                        total.focal += Double(focalSum)
                        total.probability += Double(probability)
                        total.target += Double(target)
                        total.intersection += Double(intersection)
                        total.squaredProbability += Double(squaredProbability)
                        total.squaredTarget += Double(squaredTarget)
                    }
                }
                sums[n] = total
            }
        }

        @Sendable static func lossGradient(
            logits: TensorView,
            targets: TensorView,
            focalGamma: Float,
            coefficients: UnsafePointer<LossCoefficients>,
            dlogits: TensorView
        ) {
            let count = logits.pixelsPerImage
            for n in 0..<logits.images {
                let c = coefficients[n]
                for pixel in n * count..<(n + 1) * count {
                    let x = logits.pixel(pixel)[0]
                    let t = targets.pixel(pixel)[0]
                    let p = ScalarMath.sigmoid(x)
                    let inner = c.constant.addingProduct(c.target, t).addingProduct(c.probability, p)
                    var g = (c.cross * (p - t)).addingProduct(inner, p * (1 - p))
                    if c.focal != 0 { g.addProduct(c.focal, focal(logit: x, target: t, gamma: focalGamma).derivative) }
                    dlogits.pixel(pixel)[0] = g
                }
            }
        }
    }
#endif
