/// Transcendental functions with the same bits on every machine.
///
/// A C library's `exp` or `pow` differs between versions and, through runtime dispatch, between processors. These use
/// only IEEE additions, multiplications, divisions and square roots in a fixed order (Swift never contracts them), so
/// learning rates, schedules and augmentations are part of "one run, one hash". They are for scalars off the hot path;
/// kernels have `Float` versions of their own.
///
/// Each function states its largest error, in units of the last place (ulp) of the true value, and what was measured
/// over 20 million drawn arguments against `Float80`. The tests hold them to it.
package enum Mathematics {
    /// eˣ. Overflows to infinity above 709.78, underflows to 0 below -745.14; NaN gives NaN. Error below 1 ulp (0.90),
    /// subnormal results included.
    package static func exp(_ x: Double) -> Double {
        guard !x.isNaN else { return x }
        if x > 709.782712893384 { return .infinity }
        if x < -745.133219101941 { return 0 }
        // x = k ln 2 + r, |r| ≤ ln 2 / 2, with ln 2 split so that k · high is exact.
        let k = (x * 1.4426950408889634).rounded(.toNearestOrEven)
        let high = x - k * 6.93147180369123816490e-01
        let low = k * 1.90821492927058770002e-10
        let r = high - low
        // FDLIBM's rational form: eʳ = 1 + 2r / (R - r), R = r·coth-like polynomial in r².
        let t = r * r
        let p0 = 6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08)
        let c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * p0))
        let y = 1 - ((low - (r * c) / (2 - c)) - high)
        return scale(y, by: Int(k))
    }

    /// The natural logarithm. 0 gives -∞, negative numbers and NaN give NaN. Error below 1 ulp (0.85).
    package static func log(_ x: Double) -> Double {
        guard x > 0 else { return x == 0 ? -.infinity : .nan }
        guard x.isFinite else { return x }
        // x = 2ᵏ · m with m in [√½, √2); FDLIBM's polynomial in s = f / (2 + f), f = m - 1.
        var m = x.significand
        var k = Int(x.exponent)
        if m > 1.4142135623730951 {
            m *= 0.5
            k += 1
        }
        let f = m - 1
        let s = f / (2 + f)
        let z = s * s
        let w = z * z
        let odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
        let even =
            z
            * (6.666666666666735130e-01
                + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)))
        let half = 0.5 * f * f
        let dk = Double(k)
        return dk * 6.93147180369123816490e-01
            - ((half - (s * (half + odd + even) + dk * 1.90821492927058770002e-10)) - f)
    }

    /// `base`^`exponent` for `base` ≥ 0, as e^(exponent · ln base). The relative error is below
    /// (1 + |exponent · ln base|) · 2⁻⁵² (0.97 of that), so powers far from 1 are off by more than an ulp or two.
    ///
    /// Anything to the 0th is 1; NaN and negative bases give NaN.
    package static func pow(_ base: Double, _ exponent: Double) -> Double {
        if exponent == 0 { return 1 }
        if exponent.isNaN { return exponent }
        if base == 0 { return exponent > 0 ? 0 : .infinity }
        return exp(exponent * log(base))
    }

    /// `base` raised to a whole power by repeated squaring: the bias corrections of Adam. The relative error is below
    /// `exponent` · 2⁻⁵³ (0.64 of that), as each squaring doubles the error before it.
    package static func pow(_ base: Double, _ exponent: Int) -> Double {
        precondition(exponent >= 0, "negative exponent \(exponent)")
        var result = 1.0
        var square = base
        var rest = exponent
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }

    /// The sine of `x` radians. Error below 1.5 ulp for |x| ≤ 10 (1.43) and below 2.5 ulp for |x| ≤ 10⁵ (2.37); NaN from
    /// 10⁹ on, and for what is no finite number.
    package static func sin(_ x: Double) -> Double {
        let (quadrant, r) = reduced(x)
        switch quadrant {
        case 0: return sinPolynomial(r)
        case 1: return cosPolynomial(r)
        case 2: return -sinPolynomial(r)
        default: return -cosPolynomial(r)
        }
    }

    /// The cosine of `x` radians. Error below 1.5 ulp for |x| ≤ 10 (1.47) and below 2.5 ulp for |x| ≤ 10⁵ (2.41); NaN
    /// from 10⁹ on, and for what is no finite number.
    package static func cos(_ x: Double) -> Double {
        let (quadrant, r) = reduced(x)
        switch quadrant {
        case 0: return cosPolynomial(r)
        case 1: return -sinPolynomial(r)
        case 2: return -cosPolynomial(r)
        default: return sinPolynomial(r)
        }
    }

    /// x = k · π/2 + r with |r| ≤ π/4 (Cody and Waite, π/2 in three parts); returns k mod 4 and r.
    private static func reduced(_ x: Double) -> (quadrant: Int, remainder: Double) {
        guard x.isFinite, abs(x) < 1e9 else { return (0, .nan) }
        let k = (x * 0.6366197723675814).rounded(.toNearestOrEven)
        let r = ((x - k * 1.57079632673412561417e+00) - k * 6.07710050630396597660e-11) - k * 2.02226624879595063154e-21
        return (Int(k) & 3, r)
    }

    private static func sinPolynomial(_ r: Double) -> Double {
        let z = r * r
        let tail =
            8.33333333332248946124e-03 + z
            * (-1.98412698298579493134e-04
                + z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))
        return r + r * z * (-1.66666666666666324348e-01 + z * tail)
    }

    private static func cosPolynomial(_ r: Double) -> Double {
        let z = r * r
        let tail =
            4.16666666666666019037e-02 + z
            * (-1.38888888888741095749e-03
                + z
                * (2.48015872894767294178e-05 + z
                    * (-2.75573143513906633035e-07
                        + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11))))
        return 1 - (0.5 * z - z * z * tail)
    }

    /// `y` · 2^`k`, in two steps so that subnormal results round once.
    private static func scale(_ y: Double, by k: Int) -> Double {
        if k >= -1021 && k <= 1023 { return y * Double(sign: .plus, exponent: k, significand: 1) }
        let first = k / 2
        return y * Double(sign: .plus, exponent: first, significand: 1)
            * Double(sign: .plus, exponent: k - first, significand: 1)
    }
}
