import Platform
import Storage
import Testing

@Suite("Hashes") struct HashTests {
    @Test func sha256OfKnownTexts() {
        // FIPS 180-2, appendix B.
        #expect(
            SHA256Digest.of(Array("abc".utf8)).description
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
        #expect(
            SHA256Digest.of([]).description == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        )
        var pieces = SHA256()
        for letter in "abc" { pieces.update(String(letter)) }
        #expect(pieces.finish() == .of(Array("abc".utf8)))
    }

    @Test func digestsAsText() throws {
        let digest = SHA256Digest.of([1, 2, 3])
        #expect(SHA256Digest(hexadecimal: digest.description) == digest)
        #expect(SHA256Digest(bytes: digest.bytes) == digest)
        #expect(SHA256Digest(hexadecimal: digest.description.dropLast()) == nil)
        #expect(SHA256Digest(hexadecimal: digest.description.uppercased()) == nil)
        #expect(SHA256Digest(bytes: [1, 2]) == nil)
    }

    @Test func xxh3OfKnownBytes() {
        // The specification's values for the empty input.
        #expect(XXH3.hash64([]) == 0x2D06_8005_38D3_94C2)
        let wide = [UInt8]().withUnsafeBytes { XXH3.hash128($0) }
        #expect(wide.high == 0x99AA_06D3_0147_98D8 && wide.low == 0x6001_C324_468D_497F)
    }

    @Test func stateHashesFollowNamesShapesAndBits() {
        let tensors = [
            StateTensor(name: "model/b.weight", shape: [2], values: [1, -0.0]),
            StateTensor(name: "model/B.weight", shape: [1], values: [3]),
            StateTensor(name: "buffers/ä", shape: [], values: [.nan]),
        ]
        let hash = StateHash.of(tensors)
        #expect(StateHash.of(tensors.reversed()) == hash)
        // The definition, spelled out: order by the bytes of names.
        var bytes: [UInt8] = []
        for (name, shape, values) in [
            ("buffers/ä", "", [Float.nan]), ("model/B.weight", "1", [3]), ("model/b.weight", "2", [1, -0.0]),
        ] {
            bytes += Array(name.utf8) + [0] + Array("float32".utf8) + [0] + Array(shape.utf8) + [0]
            for value in values {
                for shift in [0, 8, 16, 24] {
                    bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(shift)))
                }
            }
        }
        #expect(hash == SHA256Digest.of(bytes))

        func changed(_ change: (inout StateTensor) -> Void) -> SHA256Digest {
            var copy = tensors
            change(&copy[0])
            return StateHash.of(copy)
        }
        let others = [
            changed { $0.name = "model/c.weight" }, changed { $0.shape = [1, 2] }, changed { $0.values[1] = 0.0 },
            StateHash.of(Array(tensors.dropLast())), hash,
        ]
        #expect(Set(others).count == others.count)
    }
}
