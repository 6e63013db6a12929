import Numerics
import Testing

@Suite struct PhiloxTests {
    /// The authors' own: `tests/kat_vectors` of Random123 (D. E. Shaw Research), the lines `philox4x32 10`.
    @Test(arguments: [
        (
            SIMD4<UInt32>(0, 0, 0, 0), SIMD2<UInt32>(0, 0),
            SIMD4<UInt32>(0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8)
        ),
        (
            SIMD4(0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF), SIMD2(0xFFFF_FFFF, 0xFFFF_FFFF),
            SIMD4(0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD)
        ),
        (
            SIMD4(0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344), SIMD2(0xA409_3822, 0x299F_31D0),
            SIMD4(0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1)
        ),
    ])
    func knownAnswers(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, words: SIMD4<UInt32>) {
        let philox = Philox(key: UInt64(key[1]) << 32 | UInt64(key[0]))
        #expect(philox.key == key)
        #expect(philox.block(at: counter) == words)
    }

    /// Each bit of the counter and of the key changes about half of the 128 bits: none of them is left out.
    @Test func everyBitCounts() {
        let key: UInt64 = 0x0123_4567_89AB_CDEF
        let counter = SIMD4<UInt32>(11, 22, 33, 44)
        let block = Philox(key: key).block(at: counter)
        func changed(_ other: SIMD4<UInt32>) -> Int {
            (0..<4).reduce(0) { $0 + (block[$1] ^ other[$1]).nonzeroBitCount }
        }
        for bit in 0..<128 {
            var other = counter
            other[bit / 32] ^= 1 << UInt32(bit % 32)
            #expect((35...93).contains(changed(Philox(key: key).block(at: other))), "counter, bit \(bit)")
        }
        for bit in 0..<64 {
            let other = Philox(key: key ^ 1 << UInt64(bit)).block(at: counter)
            #expect((35...93).contains(changed(other)), "key, bit \(bit)")
        }
    }
}

@Suite struct RandomSequenceTests {
    private let sequence = RandomSequence(seed: 0x0123_4567_89AB_CDEF, purpose: .sampling, epoch: 5, position: 7)

    /// Where each number lies; `Tests/Fixtures/philox.py` is the other implementation, which gave these.
    @Test func wordsAreAtTheirAddresses() {
        let words: [UInt32] = [
            0x673B_627D, 0x5A59_3825, 0x9119_BBA8, 0x298B_850A, 0xA9B4_0901, 0xAC83_40A4, 0xE8EF_21B2, 0xAD11_AD41,
            0x6F78_844B, 0x5C88_50DE,
        ]
        #expect(words.indices.map(sequence.word) == words)
        let last = RandomSequence(seed: .max, purpose: .simulation, epoch: .max, position: .max)
        #expect(last.words(block: 0xFFFF_FFFF) == SIMD4(0x1410_1C4D, 0x033C_F33C, 0xBF45_4CDB, 0x7B1F_FBF7))
        // Indices count modulo 2³⁴.
        #expect(last.word(1 << 34 + 3) == last.word(3) && last.word(1 << 34 - 1) == 0x7B1F_FBF7)
        #expect(RandomSequence(seed: 1 << 32, purpose: .initialization).word(0) == 0x96B2_7E8C)
    }

    /// Raw values are part of every hash.
    @Test func purposesKeepTheirNumbers() {
        let first = RandomPurpose.allCases.map { RandomSequence(seed: 42, purpose: $0).word(0) }
        #expect(
            first == [
                0x2043_9B04, 0x53C0_FA72, 0xA505_5879, 0x55F2_D2AE, 0x344F_4A6C, 0x1287_6B33, 0x49BF_0814, 0x6430_12A4,
                0xB002_60F6, 0x73AD_4A70,
            ]
        )
        #expect(RandomPurpose.allCases.map(\.rawValue) == Array(1...10))
    }

    @Test func blocksAreTheirFourWords() {
        for block in [0, 1, 2, 1_000, 0xFFFF_FFFF] {
            let words = sequence.words(block: block)
            for lane in 0..<4 { #expect(words[lane] == sequence.word(4 * block + lane), "block \(block)") }
        }
    }

    /// No draw moves another: in any order, by any number of tasks, from copies.
    @Test func theOrderOfDrawsDoesNotMatter() async {
        let count = 2_000
        let inOrder = (0..<count).map(sequence.word)
        var random = SeededNumbers(seed: 3)
        var found = [UInt32](repeating: 0, count: count)
        for index in (0..<count).shuffled(using: &random) { found[index] = sequence.word(index) }
        #expect(found == inOrder, "seed 3")
        // Numbers of other kinds in between.
        for index in (0..<count).reversed() {
            _ = sequence.normal(index + 17)
            _ = sequence.integer(3, below: 10)
            found[index] = sequence.word(index)
        }
        #expect(found == inOrder)
        let parts = await withTaskGroup(of: (Int, [UInt32]).self) { [sequence] tasks in
            for part in 0..<8 { tasks.addTask { (part, stride(from: part, to: count, by: 8).map(sequence.word)) } }
            return await tasks.reduce(into: [Int: [UInt32]]()) { $0[$1.0] = $1.1 }
        }
        #expect((0..<count).map { parts[$0 % 8]?[$0 / 8] } == inOrder)
    }

    /// Two sequences that differ in one part of their address share no word at the same place.
    @Test func everyPartOfTheAddressCounts() {
        let others = [
            RandomSequence(seed: 0x0123_4567_89AB_CDEE, purpose: .sampling, epoch: 5, position: 7),
            RandomSequence(seed: 0x0123_4566_89AB_CDEF, purpose: .sampling, epoch: 5, position: 7),
            RandomSequence(seed: 0x0123_4567_89AB_CDEF, purpose: .shuffle, epoch: 5, position: 7),
            RandomSequence(seed: 0x0123_4567_89AB_CDEF, purpose: .sampling, epoch: 7, position: 5),
            RandomSequence(seed: 0x0123_4567_89AB_CDEF, purpose: .sampling, epoch: 5, position: 8),
        ]
        for other in others { #expect((0..<1_000).allSatisfy { other.word($0) != sequence.word($0) }, "\(other)") }
    }

    @Test func uniformNumbersAreExactAndWithinTheirRange() {
        var sum = 0.0
        var squares = 0.0
        let count = 20_000
        for index in 0..<count {
            let value = sequence.uniform(index)
            #expect(value >= 0 && value < 1 && (value * 0x1p24).rounded() == value * 0x1p24, "\(value)")
            #expect(value == Float(sequence.word(index) >> 8) / 16_777_216)
            let scaled = sequence.uniform(index, in: -3...5)
            #expect(scaled >= -3 && scaled <= 5)
            sum += Double(value)
            squares += Double(value) * Double(value)
        }
        // Five standard deviations of the mean of as many numbers; the seed is fixed, so this holds or it does not.
        #expect(abs(sum / Double(count) - 0.5) < 5 * (1 / 12.0 / Double(count)).squareRoot())
        #expect(abs(squares / Double(count) - 1 / 3.0) < 5 * (4 / 45.0 / Double(count)).squareRoot())
        #expect(sequence.uniform(0, in: 2...2) == 2)
    }

    @Test func integersAreBelowTheirBound() async {
        for bound in [1, 2, 3, 7, 100, 1 << 16, Int(UInt32.max)] {
            for index in 0..<1_000 {
                let value = sequence.integer(index, below: bound)
                #expect(value >= 0 && value < bound)
                // Multiply and shift: the high word of a product.
                #expect(value == Int(sequence.word(index).multipliedFullWidth(by: UInt32(bound)).high))
            }
        }
        var times = [Int](repeating: 0, count: 7)
        for index in 0..<70_000 { times[sequence.integer(index, below: 7)] += 1 }
        #expect(times.allSatisfy { abs($0 - 10_000) < 500 }, "\(times)")
        await #expect(processExitsWith: .failure) { _ = RandomSequence(seed: 1, purpose: .folds).integer(0, below: 0) }
        await #expect(processExitsWith: .failure) {
            _ = RandomSequence(seed: 1, purpose: .folds).integer(0, below: 1 << 32)
        }
    }

    @Test func normalNumbersAreTheirFormulasAndHaveUnitVariance() {
        // From the other implementation, with another library's functions.
        let golden = RandomSequence(seed: 7, purpose: .phantom)
        let bits: [UInt32] = [0xBF4E_15CB, 0x3F5F_822A, 0xBFF7_3839, 0xBF5E_CA3F]
        #expect(bits.indices.map { golden.normal($0).bitPattern } == bits)
        let count = 20_000
        var (sum, squares, largest) = (0.0, 0.0, 0.0)
        for index in 0..<count {
            let value = Double(sequence.normal(index))
            sum += value
            squares += value * value
            largest = max(largest, abs(value))
        }
        #expect(abs(sum / Double(count)) < 5 / Double(count).squareRoot())
        #expect(abs(squares / Double(count) - 1) < 5 * (2 / Double(count)).squareRoot())
        // √(64 ln 2): the smallest word still has a logarithm.
        #expect(largest <= 6.67)
    }
}
