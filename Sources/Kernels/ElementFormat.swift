/// How the elements of a feature map are stored. Vectors (weights, statistics, gradients of weights) are `Float` always.
package enum ElementFormat: String, Hashable, Sendable, Codable {
    case float32
    /// The upper half of a `Float`: 8 bits of exponent, 7 of fraction.
    case bfloat16

    package var byteCount: Int { self == .float32 ? 4 : 2 }
}

/// bfloat16 by its bits: what a kernel reads and writes where a feature map is stored so.
package enum BFloat16 {
    package static func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

    /// Rounds to nearest even as VCVTNEPS2BF16 does: denormals become zeros of their sign, NaN stays NaN.
    package static func bits(_ value: Float) -> UInt16 {
        let pattern = value.bitPattern
        if value.isNaN { return UInt16(truncatingIfNeeded: pattern >> 16) | 0x40 }
        if pattern & 0x7F80_0000 == 0 { return UInt16(truncatingIfNeeded: pattern >> 16) & 0x8000 }
        return UInt16(truncatingIfNeeded: (pattern &+ 0x7FFF &+ (pattern >> 16 & 1)) >> 16)
    }
}
