/// The counter-based generator Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
///
/// A pure function from a 64-bit key and a 128-bit counter to 128 random bits: no state, so that who draws a number,
/// and in which order, cannot change it.
package struct Philox: Sendable, Equatable {
    package var key: SIMD2<UInt32>

    package init(key: UInt64) {
        self.key = SIMD2(UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32))
    }

    /// The 128 bits at `counter`, as four words.
    package func block(at counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
        var c = counter
        var k = key
        for _ in 0..<10 {
            let p0 = UInt64(0xD251_1F53) * UInt64(c[0])
            let p1 = UInt64(0xCD9E_8D57) * UInt64(c[2])
            c = SIMD4(
                UInt32(truncatingIfNeeded: p1 >> 32) ^ c[1] ^ k[0],
                UInt32(truncatingIfNeeded: p1),
                UInt32(truncatingIfNeeded: p0 >> 32) ^ c[3] ^ k[1],
                UInt32(truncatingIfNeeded: p0)
            )
            k[0] &+= 0x9E37_79B9
            k[1] &+= 0xBB67_AE85
        }
        return c
    }
}

/// What a random number is for. The raw value is part of the key, so two purposes never share numbers; raw values are
/// part of the numerics profile and never change.
package enum RandomPurpose: UInt32, Sendable, CaseIterable {
    case initialization = 1
    case shuffle = 2
    case sampling = 3
    case augmentation = 4
    case dropout = 5
    case folds = 6
    case phantom = 7
    case audit = 8
    case simulation = 9
    case checkpointTokens = 10
}

/// The random numbers of one (seed, purpose, epoch, position): an infinite sequence addressed by index.
///
/// `epoch` is the epoch, or the step where the purpose counts in steps; `position` is the position in the epoch, the
/// parameter's number or the microbatch's index. Position and not sample id: a sample drawn twice in an epoch gets two
/// augmentations.
package struct RandomSequence: Sendable, Equatable {
    private let philox: Philox
    private let purpose: UInt32
    private let epoch: UInt32
    private let position: UInt32

    package init(seed: UInt64, purpose: RandomPurpose, epoch: UInt32 = 0, position: UInt32 = 0) {
        self.philox = Philox(key: seed)
        self.purpose = purpose.rawValue
        self.epoch = epoch
        self.position = position
    }

    /// Word `index` of the sequence: 32 random bits. Word i is lane i mod 4 of the block with counter
    /// (i / 4, position, epoch, purpose); indices count modulo 2³⁴.
    package func word(_ index: Int) -> UInt32 {
        let block = philox.block(at: SIMD4(UInt32(truncatingIfNeeded: index >> 2), position, epoch, purpose))
        return block[index & 3]
    }

    /// Words 4·`block` ..< 4·`block` + 4 at once.
    package func words(block: Int) -> SIMD4<UInt32> {
        philox.block(at: SIMD4(UInt32(truncatingIfNeeded: block), position, epoch, purpose))
    }

    /// Number `index` of the sequence, uniform in [0, 1), a multiple of 2⁻²⁴: exact in `Float`.
    package func uniform(_ index: Int) -> Float {
        Float(word(index) >> 8) * 0x1p-24
    }

    /// Number `index` of the sequence, uniform in `range`.
    package func uniform(_ index: Int, in range: ClosedRange<Float>) -> Float {
        range.lowerBound + (range.upperBound - range.lowerBound) * uniform(index)
    }

    /// An integer uniform in 0 ..< `bound`, from word `index` by multiply-shift; the bias is below `bound` / 2³².
    package func integer(_ index: Int, below bound: Int) -> Int {
        precondition(bound > 0 && bound <= Int(UInt32.max), "bound \(bound) is not in 1...2³²-1")
        return Int((UInt64(word(index)) &* UInt64(bound)) >> 32)
    }

    /// A standard normal number, from words 2·`index` and 2·`index` + 1 (Box and Muller).
    package func normal(_ index: Int) -> Float {
        let u1 = (Double(word(2 * index)) + 1) * 0x1p-32
        let u2 = Double(word(2 * index + 1)) * 0x1p-32
        return Float((-2 * Mathematics.log(u1)).squareRoot() * Mathematics.cos(2 * Double.pi * u2))
    }
}
