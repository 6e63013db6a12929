import Kernels

// The segmentation losses: sixteen pixels at once.

@inline(__always)
func focal(_ x: Lanes, _ positive: LaneMask, _ gamma: Float) -> (value: Lanes, derivative: Lanes) {
    let z = (-x).replacing(with: x, where: positive)
    let minusLog = LaneMath.softplus(-z)
    let q = LaneMath.sigmoid(z)
    let rest = LaneMath.sigmoid(-z)
    let power = gamma == 2 ? rest * rest : LaneMath.exp(Lanes(repeating: -gamma) * LaneMath.softplus(z))
    let slope = power * ((Lanes(repeating: -gamma) * q * minusLog) - rest)
    return (power * minusLog, (-slope).replacing(with: slope, where: positive))
}

/// Up to 16 pixels from `pixel` on; places past `count` read as `filler`.
@inline(__always)
func pixels(_ view: TensorView, _ pixel: Int, _ count: Int, _ filler: Float) -> Lanes {
    if count >= 16 && view.pixelStride == 1 { return load(view.base + pixel) }
    var value = Lanes(repeating: filler)
    var lane = 0
    while lane < min(16, count) {
        value[lane] = view.base[(pixel + lane) * view.pixelStride]
        lane += 1
    }
    return value
}

@inline(__always)
func add(_ lanes: Lanes, _ count: Int, to total: inout Double) {
    var lane = 0
    while lane < min(16, count) {
        total += Double(lanes[lane])
        lane += 1
    }
}

@Sendable func lossSums(
    logits: TensorView,
    targets: TensorView,
    focalGamma: Float,
    sums: UnsafeMutablePointer<LossSums>
) {
    let count = logits.pixelsPerImage
    var image = 0
    while image < logits.images {
        var total = LossSums()
        var first = 0
        while first < count {
            let last = min(first + 1024, count)
            var cross = Lanes(repeating: 0)
            var focalSum = Lanes(repeating: 0)
            var probability = Lanes(repeating: 0)
            var target = Lanes(repeating: 0)
            var intersection = Lanes(repeating: 0)
            var squaredProbability = Lanes(repeating: 0)
            var squaredTarget = Lanes(repeating: 0)
            var pixel = first
            while pixel < last {
                let left = last - pixel
                let x = pixels(logits, image * count + pixel, left, 0)
                let t = pixels(targets, image * count + pixel, left, 0)
                let exists =
                    SIMD16<Int32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
                    .< SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: left))
                let zero = Lanes(repeating: 0)
                let p = zero.replacing(with: LaneMath.sigmoid(x), where: exists)
                let e = LaneMath.log1p(LaneMath.exp(-LaneMath.magnitude(x)))
                cross += zero.replacing(with: fma(-x, t, clampBelow(x)) + e, where: exists)
                let f = focal(x, t .>= Lanes(repeating: 0.5), focalGamma)
                focalSum += zero.replacing(with: f.value, where: exists)
                probability += p
                target += t
                intersection = fma(p, t, intersection)
                squaredProbability = fma(p, p, squaredProbability)
                squaredTarget = fma(t, t, squaredTarget)
                pixel += 16
            }
            let lanes = last - first
            add(cross, lanes, to: &total.crossEntropy)
            add(focalSum, lanes, to: &total.focal)
            add(probability, lanes, to: &total.probability)
            add(target, lanes, to: &total.target)
            add(intersection, lanes, to: &total.intersection)
            add(squaredProbability, lanes, to: &total.squaredProbability)
            add(squaredTarget, lanes, to: &total.squaredTarget)
            first = last
        }
        sums[image] = total
        image += 1
    }
}

@Sendable func lossGradient(
    logits: TensorView,
    targets: TensorView,
    focalGamma: Float,
    coefficients: UnsafePointer<LossCoefficients>,
    dlogits: TensorView
) {
    let count = logits.pixelsPerImage
    var image = 0
    while image < logits.images {
        let c = coefficients[image]
        var pixel = 0
        while pixel < count {
            let place = image * count + pixel
            let left = count - pixel
            let x = pixels(logits, place, left, 0)
            let t = pixels(targets, place, left, 0)
            let p = LaneMath.sigmoid(x)
            let inner = fma(
                Lanes(repeating: c.probability),
                p,
                fma(Lanes(repeating: c.target), t, Lanes(repeating: c.constant))
            )
            var g = fma(inner, p * (1 - p), Lanes(repeating: c.cross) * (p - t))
            if c.focal != 0 {
                let f = focal(x, t .>= Lanes(repeating: 0.5), focalGamma)
                g = fma(Lanes(repeating: c.focal), f.derivative, g)
            }
            if left >= 16 && dlogits.pixelStride == 1 {
                storeLanes(g, dlogits.base + place)
            } else {
                var lane = 0
                while lane < min(16, left) {
                    dlogits.base[(place + lane) * dlogits.pixelStride] = g[lane]
                    lane += 1
                }
            }
            pixel += 16
        }
        image += 1
    }
}
