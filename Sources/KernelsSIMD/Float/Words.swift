import CIntrinsics

// The format of this module: feature maps hold elements, which loads widen and stores round, and what dense kernels
// multiply stands in words of 4 bytes. The folder of the other format declares the same.

typealias Element = Float
let elementBytes = 4

typealias Word = Float
typealias Words = Lanes

/// Values of a word, words of sixteen channels, and their bytes.
let packing = 1
let packedLanes = 16
let tileBytes = 64

@inline(__always)
func loadWords(_ address: UnsafeRawPointer) -> Lanes { pleura_load(address) }

@inline(__always)
func repeatWord(_ address: UnsafeRawPointer) -> Lanes { pleura_repeat(address) }
