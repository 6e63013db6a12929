internal import CXXHash

/// XXH3, for noticing damage at memory speed; no defence against forgery.
package enum XXH3 {
    /// The 64-bit hash with seed 0.
    package static func hash64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    /// The 64-bit hash with seed 0 of an array.
    package static func hash64(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { hash64($0) } }

    /// The 128-bit hash with seed 0, as two halves.
    package static func hash128(_ bytes: UnsafeRawBufferPointer) -> XXH128Hash {
        let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
        return XXH128Hash(high: hash.high64, low: hash.low64)
    }
}

/// A 128-bit XXH3 value.
package struct XXH128Hash: Hashable, Sendable {
    package let high: UInt64
    package let low: UInt64
}
