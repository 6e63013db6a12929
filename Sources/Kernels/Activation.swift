/// What follows a normalisation, computed with it. z is what the normalisation gives.
package enum Activation: Hashable, Sendable {
    case none
    /// max(0, z); NaN stays NaN. Gradient: dy where y > 0, else 0.
    case relu
    /// z / (1 + e⁻ᶻ), also called Swish. Gradient: dy · `ScalarMath.siluDerivative`(z).
    case silu
    /// z where z > 0, else z · slope, with slope ≥ 0. Gradient: dy where y > 0, else dy · slope.
    case leakyReLU(slope: Float)
}
