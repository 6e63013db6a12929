/// What follows a normalisation, computed with it. z is what the normalisation gives.
package enum Activation: Hashable, Sendable {
    case none
    /// max(0, z); NaN stays NaN. Gradient: dy where y > 0, else 0.
    case relu
    /// z · σ(z), also called Swish. Gradient: dy · s · (1 + z · (1 - s)) with s = σ(z), the parenthesis by fma.
    case silu
    /// z where z > 0, else z · slope, with slope ≥ 0. Gradient: dy where y > 0, else dy · slope.
    case leakyReLU(slope: Float)
}
