import Messaging

/// How elements of a step's vector stand in frames: those below `roundedCount`, which are exactly representable so, as
/// the bits of bfloat16, the others as fp32.
///
/// Memory of this process and shared memory hold fp32 always. The bytes of a range of elements are its packed ones, then
/// the others, without padding.
struct WireFormat: Sendable {
    let roundedCount: Int
    let additions: VectorAdditions

    /// Whether elements of `range` travel in another form than they lie in memory.
    func packs(_ range: Range<Int>) -> Bool { range.lowerBound < roundedCount && !range.isEmpty }

    func byteCount(of range: Range<Int>) -> Int { 4 * range.count - 2 * packedCount(of: range) }

    /// How many of the first elements of `range` are packed.
    func packedCount(of range: Range<Int>) -> Int { max(0, min(range.upperBound, roundedCount) - range.lowerBound) }

    /// The frame of `range` of `vector`, whose address is that of element 0.
    func message(of vector: UnsafePointer<Float>, _ range: Range<Int>) throws(MessagingError) -> Message {
        let message = try Message(byteCount: byteCount(of: range))
        let packed = packedCount(of: range)
        message.withMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            additions.pack(vector + range.lowerBound, base.assumingMemoryBound(to: UInt16.self), packed)
            (base + 2 * packed).copyMemory(
                from: vector + range.lowerBound + packed,
                byteCount: 4 * (range.count - packed)
            )
        }
        return message
    }

    /// Writes the elements of `part`, out of the bytes of `range`, to `target`. `bytes` is aligned for 16 bits.
    func unpack(
        _ part: Range<Int>,
        of range: Range<Int>,
        _ bytes: UnsafeRawPointer,
        to target: UnsafeMutablePointer<Float>
    ) {
        let packed = packedCount(of: part)
        additions.unpack(
            (bytes + 2 * (part.lowerBound - range.lowerBound)).assumingMemoryBound(to: UInt16.self),
            target,
            packed
        )
        let rest = part.lowerBound + packed..<part.upperBound
        if rest.isEmpty { return }
        UnsafeMutableRawPointer(target + packed).copyMemory(
            from: bytes + byteCount(of: range.lowerBound..<rest.lowerBound),
            byteCount: 4 * rest.count
        )
    }
}
