import CHash
import CXXHash
import Testing

@Suite struct HashTests {
    @Test("The wide variants give libxxhash's XXH3-64, at once and in pieces")
    func hashesAreXXH3() throws {
        var bytes: [UInt8] = []
        var state: UInt32 = 1
        for _ in 0..<20_000 {
            state = state &* 1_664_525 &+ 1_013_904_223
            bytes.append(UInt8(state >> 24))
        }
        let stream = try #require(hash_stream_create())
        defer { hash_stream_free(stream) }
        for length in Array(0...600) + [1023, 1024, 1025, 4096, 8192, 19_999, 20_000] {
            let expected = XXH3_64bits(bytes, length)
            #expect(hash_xxh3(bytes, length) == expected)
            hash_stream_reset(stream)
            var offset = 0
            var piece = 1
            while offset < length {
                let count = min(piece, length - offset)
                bytes.withUnsafeBytes { hash_stream_update(stream, $0.baseAddress?.advanced(by: offset), count) }
                offset += count
                piece = piece * 3 + 1
            }
            #expect(hash_stream_digest(stream) == expected, "\(length) bytes with \(String(cString: hash_variant()))")
        }
    }
}
