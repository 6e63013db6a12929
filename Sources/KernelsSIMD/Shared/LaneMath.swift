import CIntrinsics

/// `ScalarMath` on lanes: the same operations in the same order.
enum LaneMath {
    /// In C: Swift's inliner leaves a call where `exp` stands inside a closure's closure, with its argument in pieces.
    @inline(__always)
    static func exp(_ x: Lanes) -> Lanes { pleura_exp(x) }

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
    static func silu(_ x: Lanes) -> Lanes { x / pleura_logistic_denominator(x) }

    @inline(__always)
    static func siluDerivative(_ x: Lanes) -> Lanes {
        let s = 1 / pleura_logistic_denominator(x)
        return s * fma(x, 1 - s, Lanes(repeating: 1))
    }

    @inline(__always)
    static func softplus(_ x: Lanes) -> Lanes { clampBelow(x) + log1p(exp(-magnitude(x))) }
}
