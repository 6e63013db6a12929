import CIntrinsics

// The format of this module: feature maps hold elements, which loads widen and stores round, and what dense kernels
// multiply stands in words of 4 bytes. The folder of the other format declares the same.

/// The bits of bfloat16.
typealias Element = UInt16
let elementBytes = 2

/// Sixteen pairs of bfloat16, the even element of each in the low half.
typealias Pairs = SIMD16<Int32>
typealias Word = Int32
typealias Words = Pairs

/// Values of a word, words of sixteen channels, and their bytes.
let packing = 2
let packedLanes = 8
let tileBytes = 32

@inline(__always)
func dot(_ sum: Lanes, _ a: Pairs, _ b: Pairs) -> Lanes { pleura_dot_bf16(sum, a, b) }

@inline(__always)
func loadPairs(_ pointer: UnsafePointer<Int32>) -> Pairs {
    UnsafeRawPointer(pointer).loadUnaligned(as: Pairs.self)
}

@inline(__always)
func loadWords(_ address: UnsafeRawPointer) -> Pairs { address.loadUnaligned(as: Pairs.self) }

@inline(__always)
func repeatWord(_ address: UnsafeRawPointer) -> Pairs {
    Pairs(repeating: address.assumingMemoryBound(to: Int32.self)[0])
}

extension Lanes {
    /// The dot step. `a` comes last, where an instruction can repeat a word of memory: in tiles it is such a word.
    @inline(__always)
    mutating func addProduct(_ a: Pairs, _ b: Pairs) { self = dot(self, b, a) }
}
