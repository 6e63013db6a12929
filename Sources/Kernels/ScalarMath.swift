/// The transcendental functions of kernels on `Float`: polynomials by fma, the same bits for every vector width.
///
/// The vector kernels repeat these lines on lanes. Each function states its largest error, in units of the last place
/// (ulp) of the true value, and what was measured against `Double` over every 97th float. The tests hold them to it.
package enum ScalarMath {
    /// eˣ; overflows to infinity above 88.72, gives denormals below -87.33 and 0 below -104. NaN gives NaN. Error below
    /// 1.01 ulp (1.004), denormal results included.
    package static func exp(_ x: Float) -> Float {
        var x = x
        if x > 89 { x = 89 }
        if x < -104 { x = -104 }
        // x = k ln 2 + r; adding 1.5 · 2²³ rounds to the nearest integer and leaves it in the low bits.
        let magic: Float = 12_582_912
        let shifted = magic.addingProduct(x, 1.442695041)
        let k = shifted - magic
        let r = x.addingProduct(k, -0.693145751953125).addingProduct(k, -1.42860677e-06)
        var p: Float = 1.9875691500e-4
        p = Float(1.3981999507e-3).addingProduct(p, r)
        p = Float(8.3334519073e-3).addingProduct(p, r)
        p = Float(4.1665795894e-2).addingProduct(p, r)
        p = Float(1.6666665459e-1).addingProduct(p, r)
        p = Float(5.0000001201e-1).addingProduct(p, r)
        p = r.addingProduct(p, r * r) + 1
        // 2ᵏ in two factors, so that denormal results round once.
        let exponent = Int32(bitPattern: shifted.bitPattern &- magic.bitPattern)
        let half = exponent >> 1
        let first = Float(bitPattern: UInt32(bitPattern: (half &+ 127) &<< 23))
        let second = Float(bitPattern: UInt32(bitPattern: (exponent &- half &+ 127) &<< 23))
        return p * first * second
    }

    /// log(1 + e) for e in [0, 1]: 2 artanh(s) with s = e / (2 + e). Error below 2 ulp (1.94).
    package static func log1p(_ e: Float) -> Float {
        let s = e / (2 + e)
        let z = s * s
        var p: Float = 0.1333333333
        p = Float(0.1538461538).addingProduct(p, z)
        p = Float(0.1818181818).addingProduct(p, z)
        p = Float(0.2222222222).addingProduct(p, z)
        p = Float(0.2857142857).addingProduct(p, z)
        p = Float(0.4).addingProduct(p, z)
        p = Float(0.6666666667).addingProduct(p, z)
        let twice = s + s
        return twice.addingProduct(p * z, s)
    }

    /// 1 / (1 + e⁻ˣ), without overflow on either side. Error below 2.5 ulp (2.28).
    package static func sigmoid(_ x: Float) -> Float {
        let e = exp(-abs(x))
        return (x < 0 ? e : 1) / (1 + e)
    }

    /// 1 + e⁻ˣ for `silu`, in fewer operations than `exp` takes: infinity from x = -88.38 down, 1 from 17 up. Error below
    /// 1.25 ulp (1.20) from x = -88 up.
    package static func logisticDenominator(_ x: Float) -> Float {
        var y = -x
        if y > 88.8 { y = 88.8 }
        if y < -87 { y = -87 }
        let magic: Float = 12_582_912
        let shifted = magic.addingProduct(y, 1.442695041)
        let k = shifted - magic
        let r = y.addingProduct(k, -0.693145751953125).addingProduct(k, -1.42860677e-06)
        var p: Float = 1.9875691500e-4
        p = Float(1.3981999507e-3).addingProduct(p, r)
        p = Float(8.3334519073e-3).addingProduct(p, r)
        p = Float(4.1665795894e-2).addingProduct(p, r)
        p = Float(1.6666665459e-1).addingProduct(p, r)
        p = Float(5.0000001201e-1).addingProduct(p, r)
        p = r.addingProduct(p, r * r) + 1
        // 2ᵏ, infinite for k = 128: the low bits of `shifted` are k.
        let factor = Float(bitPattern: (shifted.bitPattern &<< 23) &+ 0x3F80_0000)
        return 1 + p * factor
    }

    /// x · σ(x) as x / (1 + e⁻ˣ). Error below 2.5 ulp (2.24) from x = -88 up; further down it is 0, where the true value
    /// is above -10⁻³⁶. -∞ gives NaN.
    package static func silu(_ x: Float) -> Float { x / logisticDenominator(x) }

    /// The derivative of `silu`: s · (1 + x · (1 - s)), the parenthesis by fma, with s = 1 / (1 + e⁻ˣ).
    ///
    /// It passes through 0, so its error is bounded as it is and not in ulp: below 17 · 2⁻²⁴ (16.4), the most near x = 17,
    /// where 1 - s has lost all its places but one.
    package static func siluDerivative(_ x: Float) -> Float {
        let s = 1 / logisticDenominator(x)
        return s * Float(1).addingProduct(x, 1 - s)
    }

    /// log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|). Error below 2.75 ulp (2.59).
    package static func softplus(_ x: Float) -> Float {
        (x < 0 ? 0 : x) + log1p(exp(-abs(x)))
    }
}
