import CIntrinsics
import Kernels

// Sums and optimizers over flat vectors, element by element. The last sixteen may read past the end by up to 15
// elements: flat vectors are padded to a multiple of 16.
@Sendable func addVectors(a: UnsafeMutablePointer<Float>, b: UnsafePointer<Float>, count: Int) {
    var i = 0
    while i + 16 <= count {
        storeLanes(load(a + i) + load(b + i), a + i)
        i += 16
    }
    while i < count {
        a[i] += b[i]
        i += 1
    }
}

@Sendable func sumVectors(
    a: UnsafePointer<Float>,
    b: UnsafePointer<Float>,
    y: UnsafeMutablePointer<Float>,
    count: Int
) {
    var i = 0
    while i + 16 <= count {
        storeLanes(load(a + i) + load(b + i), y + i)
        i += 16
    }
    while i < count {
        y[i] = a[i] + b[i]
        i += 1
    }
}

@Sendable func sumRounded(
    a: UnsafePointer<Float>,
    b: UnsafePointer<Float>,
    y: UnsafeMutablePointer<Float>,
    count: Int
) {
    var i = 0
    while i + 16 <= count {
        let sum = pleura_nearest_bf16(load(a + i)) + pleura_nearest_bf16(load(b + i))
        storeLanes(pleura_nearest_bf16(sum), y + i)
        i += 16
    }
    if i < count {
        let (x, z) = (partLanes(a + i, count - i), partLanes(b + i, count - i))
        storeLanes(pleura_nearest_bf16(pleura_nearest_bf16(x) + pleura_nearest_bf16(z)), y + i, count - i)
    }
}

@Sendable func roundVector(x: UnsafeMutablePointer<Float>, count: Int) {
    var i = 0
    while i + 16 <= count {
        storeLanes(pleura_nearest_bf16(load(x + i)), x + i)
        i += 16
    }
    if i < count { storeLanes(pleura_nearest_bf16(partLanes(x + i, count - i)), x + i, count - i) }
}

@Sendable func packVector(x: UnsafePointer<Float>, y: UnsafeMutablePointer<UInt16>, count: Int) {
    var i = 0
    while i + 16 <= count {
        storeLanes(load(x + i), y + i)
        i += 16
    }
    if i < count { storeLanes(partLanes(x + i, count - i), y + i, count - i) }
}

@Sendable func unpackVector(x: UnsafePointer<UInt16>, y: UnsafeMutablePointer<Float>, count: Int) {
    var i = 0
    while i + 16 <= count {
        storeLanes(load(x + i), y + i)
        i += 16
    }
    while i < count {
        y[i] = Float(bitPattern: UInt32(truncatingIfNeeded: x[i]) << 16)
        i += 1
    }
}

/// The first `count` elements (at most 15), zeros after them; reads nothing past them.
@inline(__always)
func partLanes(_ x: UnsafePointer<Float>, _ count: Int) -> Lanes {
    var lanes = Lanes(repeating: 0)
    var lane = 0
    while lane < count {
        lanes[lane] = x[lane]
        lane += 1
    }
    return lanes
}

@Sendable func sumOfSquares(x: UnsafePointer<Float>, count: Int) -> Double {
    var low = SIMD8<Double>(repeating: 0)
    var high = SIMD8<Double>(repeating: 0)
    var i = 0
    while i < count {
        var l = SIMD8<Double>(repeating: 0)
        var h = SIMD8<Double>(repeating: 0)
        var lane = 0
        if i + 16 <= count {
            while lane < 8 {
                l[lane] = Double(x[i + lane])
                h[lane] = Double(x[i + 8 + lane])
                lane += 1
            }
        } else {
            while lane < 8 {
                if i + lane < count { l[lane] = Double(x[i + lane]) }
                if i + 8 + lane < count { h[lane] = Double(x[i + 8 + lane]) }
                lane += 1
            }
        }
        low.addProduct(l, l)
        high.addProduct(h, h)
        i += 16
    }
    var total = 0.0
    var lane = 0
    while lane < 8 {
        total += low[lane]
        lane += 1
    }
    lane = 0
    while lane < 8 {
        total += high[lane]
        lane += 1
    }
    return total
}

@Sendable func sgd(
    w: UnsafeMutablePointer<Float>,
    gradient: UnsafePointer<Float>,
    momentum: UnsafeMutablePointer<Float>,
    count: Int,
    step: SGDStep
) {
    var i = 0
    while i < count {
        let n = count - i
        let weight = load(w + i)
        var g = fma(
            Lanes(repeating: step.weightDecay),
            weight,
            load(gradient + i) * Lanes(repeating: step.gradientScale)
        )
        if step.momentum != 0 {
            let factor = Lanes(repeating: step.momentum)
            let buffer = step.firstStep ? g : fma(factor, load(momentum + i), g)
            storeLanes(buffer, momentum + i, n)
            g = step.nesterov ? fma(factor, buffer, g) : buffer
        }
        storeLanes(fma(Lanes(repeating: -step.learningRate), g, weight), w + i, n)
        i += 16
    }
}

@Sendable func adam(
    w: UnsafeMutablePointer<Float>,
    gradient: UnsafePointer<Float>,
    m: UnsafeMutablePointer<Float>,
    v: UnsafeMutablePointer<Float>,
    count: Int,
    step: AdamStep
) {
    var i = 0
    while i < count {
        let n = count - i
        let weight = load(w + i) * Lanes(repeating: step.decay)
        let g = fma(
            Lanes(repeating: step.weightDecay),
            weight,
            load(gradient + i) * Lanes(repeating: step.gradientScale)
        )
        let old = load(m + i)
        let first = fma(g - old, Lanes(repeating: step.oneMinusBeta1), old)
        let second = fma(
            g * Lanes(repeating: step.oneMinusBeta2),
            g,
            load(v + i) * Lanes(repeating: step.beta2)
        )
        storeLanes(first, m + i, n)
        storeLanes(second, v + i, n)
        let denominator =
            pleura_square_roots(second) / Lanes(repeating: step.rootCorrection2) + Lanes(repeating: step.epsilon)
        storeLanes(fma(Lanes(repeating: -step.stepSize), first / denominator, weight), w + i, n)
        i += 16
    }
}

@Sendable func movingAverage(
    average: UnsafeMutablePointer<Float>,
    w: UnsafePointer<Float>,
    weight: Float,
    count: Int
) {
    var i = 0
    while i < count {
        let n = count - i
        let old = load(average + i)
        storeLanes(fma(load(w + i) - old, Lanes(repeating: weight), old), average + i, n)
        i += 16
    }
}
