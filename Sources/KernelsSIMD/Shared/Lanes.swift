// The vocabulary of the vector kernels. These folders are compiled once per instruction set, through symlinks in each
// kernel target; AVX512 or AVX2 is defined, and the folder `Float` or `BFloat16` stands beside `Shared`. Nothing here may
// use a generic of the standard library that is not inlined: its specialisation would be a weak symbol with this target's
// instructions, which the linker may give to others. Of our own generics, only what is inlined always, as in `Sums`.

import CIntrinsics
import Kernels

/// Sixteen channels of a pixel: one 512-bit register, or two of 256 bits.
typealias Lanes = SIMD16<Float>
typealias LaneMask = SIMDMask<SIMD16<Int32>>

extension TensorView {
    var base: UnsafeMutablePointer<Element> {
        @inline(__always) get { address.assumingMemoryBound(to: Element.self) }
    }

    /// How far ahead, in elements, to ask for the lines of some of a wider tensor's channels, between which the processor
    /// finds no pattern; 0 where the pixels lie side by side.
    var ahead: Int {
        @inline(__always) get { pixelStride == channels ? 0 : 24 * pixelStride }
    }
}

@inline(__always)
func load(_ pointer: UnsafePointer<UInt16>) -> Lanes { pleura_widen_bf16(pointer) }

@inline(__always)
func load(_ pointer: UnsafeMutablePointer<UInt16>) -> Lanes { pleura_widen_bf16(pointer) }

/// Rounds and stores the first `count` lanes (at least 1, at most 16).
@inline(__always)
func storeLanes(_ value: Lanes, _ pointer: UnsafeMutablePointer<UInt16>, _ count: Int = 16) {
    pleura_round_bf16(value, pointer, count)
}

@inline(__always)
func load(_ pointer: UnsafePointer<Float>) -> Lanes {
    pleura_load(pointer)
}

@inline(__always)
func load(_ pointer: UnsafeMutablePointer<Float>) -> Lanes {
    pleura_load(pointer)
}

/// Stores the first `count` lanes (at least 1, at most 16).
@inline(__always)
func storeLanes(_ value: Lanes, _ pointer: UnsafeMutablePointer<Float>, _ count: Int = 16) {
    if count >= 16 {
        pleura_store(value, pointer)
    } else {
        pleura_store_some(value, pointer, count)
    }
}

@inline(__always)
func fma(_ a: Lanes, _ b: Lanes, _ c: Lanes) -> Lanes { c.addingProduct(a, b) }

/// max(0, v) with NaN kept.
@inline(__always)
func clampBelow(_ v: Lanes) -> Lanes { v.replacing(with: 0, where: v .< Lanes(repeating: 0)) }

/// v where v > 0 or NaN, else v · slope.
@inline(__always)
func leaky(_ v: Lanes, _ slope: Lanes) -> Lanes { v.replacing(with: v * slope, where: v .<= Lanes(repeating: 0)) }

/// `g` where y > 0, else g · slope.
@inline(__always)
func leakyMasked(_ g: Lanes, where y: Lanes, _ slope: Lanes) -> Lanes {
    (g * slope).replacing(with: g, where: y .> Lanes(repeating: 0))
}

/// `g` where y > 0, else 0.
@inline(__always)
func masked(_ g: Lanes, where y: Lanes) -> Lanes {
    Lanes(repeating: 0).replacing(with: g, where: y .> Lanes(repeating: 0))
}
