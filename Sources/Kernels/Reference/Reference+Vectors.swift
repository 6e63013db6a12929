#if BF16
    import Kernels
#endif

#if !BF16
    extension Reference {
        @Sendable static func fmaRounds(iterations: Int) -> Float {
            var sums = [Float](repeating: 0.5, count: 192)
            for _ in 0..<iterations {
                for i in 0..<192 { sums[i].addProduct(0.5, 0.5) }
            }
            return sums.reduce(0, +)
        }

        @Sendable static func addVectors(a: UnsafeMutablePointer<Float>, b: UnsafePointer<Float>, count: Int) {
            for i in 0..<count { a[i] += b[i] }
        }

        @Sendable static func sumVectors(
            a: UnsafePointer<Float>,
            b: UnsafePointer<Float>,
            y: UnsafeMutablePointer<Float>,
            count: Int
        ) {
            for i in 0..<count { y[i] = a[i] + b[i] }
        }

        @Sendable static func sumRounded(
            a: UnsafePointer<Float>,
            b: UnsafePointer<Float>,
            y: UnsafeMutablePointer<Float>,
            count: Int
        ) {
            func rounded(_ value: Float) -> Float { BFloat16.float(BFloat16.bits(value)) }
            for i in 0..<count { y[i] = rounded(rounded(a[i]) + rounded(b[i])) }
        }

        @Sendable static func roundVector(x: UnsafeMutablePointer<Float>, count: Int) {
            for i in 0..<count { x[i] = BFloat16.float(BFloat16.bits(x[i])) }
        }

        @Sendable static func packVector(x: UnsafePointer<Float>, y: UnsafeMutablePointer<UInt16>, count: Int) {
            for i in 0..<count { y[i] = BFloat16.bits(x[i]) }
        }

        @Sendable static func unpackVector(x: UnsafePointer<UInt16>, y: UnsafeMutablePointer<Float>, count: Int) {
            for i in 0..<count { y[i] = BFloat16.float(x[i]) }
        }

        @Sendable static func sumOfSquares(x: UnsafePointer<Float>, count: Int) -> Double {
            var total = 0.0
            for lane in 0..<16 {
                var sum = 0.0
                for i in stride(from: lane, to: count, by: 16) { sum.addProduct(Double(x[i]), Double(x[i])) }
                total += sum
            }
            return total
        }

        @Sendable static func sgd(
            w: UnsafeMutablePointer<Float>,
            gradient: UnsafePointer<Float>,
            momentum: UnsafeMutablePointer<Float>,
            count: Int,
            step: SGDStep
        ) {
            for i in 0..<count {
                var g = (gradient[i] * step.gradientScale).addingProduct(step.weightDecay, w[i])
                if step.momentum != 0 {
                    let buffer = step.firstStep ? g : g.addingProduct(step.momentum, momentum[i])
                    momentum[i] = buffer
                    g = step.nesterov ? g.addingProduct(step.momentum, buffer) : buffer
                }
                w[i].addProduct(-step.learningRate, g)
            }
        }

        @Sendable static func adam(
            w: UnsafeMutablePointer<Float>,
            gradient: UnsafePointer<Float>,
            m: UnsafeMutablePointer<Float>,
            v: UnsafeMutablePointer<Float>,
            count: Int,
            step: AdamStep
        ) {
            for i in 0..<count {
                let weight = w[i] * step.decay
                let g = (gradient[i] * step.gradientScale).addingProduct(step.weightDecay, weight)
                let first = m[i].addingProduct(g - m[i], step.oneMinusBeta1)
                let second = (v[i] * step.beta2).addingProduct(g * step.oneMinusBeta2, g)
                m[i] = first
                v[i] = second
                let denominator = second.squareRoot() / step.rootCorrection2 + step.epsilon
                w[i] = weight.addingProduct(-step.stepSize, first / denominator)
            }
        }

        @Sendable static func movingAverage(
            average: UnsafeMutablePointer<Float>,
            w: UnsafePointer<Float>,
            weight: Float,
            count: Int
        ) {
            for i in 0..<count { average[i].addProduct(w[i] - average[i], weight) }
        }
    }
#endif
