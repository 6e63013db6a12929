/// `ScalarMath` on lanes: the same operations in the same order.
enum LaneMath {
    @inline(__always)
    static func exp(_ input: Lanes) -> Lanes {
        var x = input.replacing(with: 89, where: input .> Lanes(repeating: 89))
        x = x.replacing(with: -104, where: x .< Lanes(repeating: -104))
        let magic = Lanes(repeating: 12_582_912)
        let shifted = fma(x, Lanes(repeating: 1.442695041), magic)
        let k = shifted - magic
        let r = fma(k, Lanes(repeating: -1.42860677e-06), fma(k, Lanes(repeating: -0.693145751953125), x))
        var p = Lanes(repeating: 1.9875691500e-4)
        p = fma(p, r, Lanes(repeating: 1.3981999507e-3))
        p = fma(p, r, Lanes(repeating: 8.3334519073e-3))
        p = fma(p, r, Lanes(repeating: 4.1665795894e-2))
        p = fma(p, r, Lanes(repeating: 1.6666665459e-1))
        p = fma(p, r, Lanes(repeating: 5.0000001201e-1))
        p = fma(p, r * r, r) + 1
        let exponent = unsafeBitCast(shifted, to: SIMD16<Int32>.self) &- unsafeBitCast(magic, to: SIMD16<Int32>.self)
        let half = exponent &>> 1
        let first = (half &+ 127) &<< 23
        let second = (exponent &- half &+ 127) &<< 23
        return p * unsafeBitCast(first, to: Lanes.self) * unsafeBitCast(second, to: Lanes.self)
    }

    @inline(__always)
    static func log1p(_ e: Lanes) -> Lanes {
        let s = e / (2 + e)
        let z = s * s
        var p = Lanes(repeating: 0.1333333333)
        p = fma(p, z, Lanes(repeating: 0.1538461538))
        p = fma(p, z, Lanes(repeating: 0.1818181818))
        p = fma(p, z, Lanes(repeating: 0.2222222222))
        p = fma(p, z, Lanes(repeating: 0.2857142857))
        p = fma(p, z, Lanes(repeating: 0.4))
        p = fma(p, z, Lanes(repeating: 0.6666666667))
        return fma(p * z, s, s + s)
    }

    @inline(__always)
    static func magnitude(_ x: Lanes) -> Lanes {
        unsafeBitCast(
            unsafeBitCast(x, to: SIMD16<UInt32>.self) & SIMD16<UInt32>(repeating: 0x7FFF_FFFF),
            to: Lanes.self
        )
    }

    @inline(__always)
    static func sigmoid(_ x: Lanes) -> Lanes {
        let e = exp(-magnitude(x))
        return Lanes(repeating: 1).replacing(with: e, where: x .< Lanes(repeating: 0)) / (1 + e)
    }

    @inline(__always)
    static func silu(_ x: Lanes) -> Lanes { x * sigmoid(x) }

    @inline(__always)
    static func siluDerivative(_ x: Lanes) -> Lanes {
        let s = sigmoid(x)
        return s * fma(x, 1 - s, Lanes(repeating: 1))
    }

    @inline(__always)
    static func softplus(_ x: Lanes) -> Lanes { clampBelow(x) + log1p(exp(-magnitude(x))) }
}
