/// Owned memory for `Float`s that starts at a multiple of 64 bytes, with 64 bytes of slack at its end, zero at first.
///
/// For weights, sums, inputs and arenas of callers that have no memory of their own kind (huge pages, shared memory).
package final class AlignedBuffer {
    package let count: Int
    package let base: UnsafeMutablePointer<Float>

    package init(count: Int) {
        precondition(count >= 0, "a buffer of \(count) elements")
        self.count = count
        let bytes = count * 4 + 64
        let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        base = raw.bindMemory(to: Float.self, capacity: count + 16)
    }

    deinit { UnsafeMutableRawPointer(base).deallocate() }

    package var values: [Float] { Array(UnsafeBufferPointer(start: base, count: count)) }

    /// Overwrites the first elements.
    package func set(_ values: [Float]) {
        precondition(values.count <= count, "\(values.count) values do not fit into \(count)")
        for (index, value) in values.enumerated() { base[index] = value }
    }
}
