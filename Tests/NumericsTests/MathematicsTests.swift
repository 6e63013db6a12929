import Foundation
import Numerics
import Testing

/// The functions keep the bounds that their comments state: against 60 digits at the edges, and against the C library's
/// functions on `Float80`, whose last place is 2048 times finer, in between.
@Suite struct MathematicsTests {
    /// The largest error over `count` drawn arguments, in units of the last place of the true value.
    private func worst(
        _ count: Int,
        seed: UInt64,
        _ draw: (inout SeededNumbers) -> Double,
        _ found: (Double) -> Double,
        _ exact: (Float80) -> Float80
    ) -> (error: Double, at: Double) {
        var random = SeededNumbers(seed: seed)
        var worst = (error: 0.0, at: 0.0)
        for _ in 0..<count {
            let x = draw(&random)
            let value = exact(Float80(x))
            let error = Double(abs(Float80(found(x)) - value) / Float80(Double(value).ulp))
            if !(error <= worst.error) { worst = (error, x) }
        }
        return worst
    }

    private func near(_ random: inout SeededNumbers, multipleOf step: Float80, below bound: Double) -> Double {
        let count = (Float80(bound) / step).rounded(.down)
        let multiple = Float80(random.uniform(-Double(count), Double(count))).rounded()
        return Double(multiple * step) + random.uniform(-1e-6, 1e-6)
    }

    // MARK: exp

    @Test func exponentialIsWithinOneUnit() throws {
        let table = try PreciseTable("exp").worst { $0.error(of: Mathematics.exp($0.arguments[0])) }
        // A whole one for the argument whose true value lies just above half of the smallest number.
        #expect(table.error <= 1, "at \(table.at)")
        for (bound, seed) in [(1.0, 1 as UInt64), (30, 2), (708, 3)] {
            let drawn = worst(50_000, seed: seed, { $0.uniform(-bound, bound) }, Mathematics.exp, { exp($0) })
            #expect(drawn.error < 1, "at \(drawn.at), seed \(seed)")
        }
        #expect(Mathematics.exp(0) == 1 && Mathematics.exp(-0.0) == 1)
        #expect(Mathematics.exp(709.782712893384) < .infinity && Mathematics.exp(709.7827128933841) == .infinity)
        #expect(
            Mathematics.exp(-745.2) == 0 && Mathematics.exp(-.infinity) == 0 && Mathematics.exp(.infinity) == .infinity
        )
        #expect(Mathematics.exp(.nan).isNaN)
    }

    // MARK: log

    @Test func logarithmIsWithinOneUnit() throws {
        let table = try PreciseTable("log").worst { $0.error(of: Mathematics.log($0.arguments[0])) }
        #expect(table.error < 1, "at \(table.at)")
        let near = worst(50_000, seed: 4, { $0.uniform(0.5, 2) }, Mathematics.log, { log($0) })
        #expect(near.error < 1, "at \(near.at), seed 4")
        // All exponents alike, the subnormal ones too.
        let all = worst(
            50_000,
            seed: 5,
            { Double(bitPattern: 1 + $0.next() % (Double.infinity.bitPattern - 1)) },
            Mathematics.log,
            { log($0) }
        )
        #expect(all.error < 1, "at \(all.at), seed 5")
        #expect(Mathematics.log(1) == 0 && Mathematics.log(0) == -.infinity && Mathematics.log(-0.0) == -.infinity)
        #expect(Mathematics.log(.infinity) == .infinity)
        #expect(Mathematics.log(-1).isNaN && Mathematics.log(-.infinity).isNaN && Mathematics.log(.nan).isNaN)
    }

    // MARK: sin, cos

    @Test(arguments: [(10.0, 1.5), (1e5, 2.5)])
    func circularFunctionsAreWithinTheirUnits(bound: Double, units: Double) throws {
        let (sines, cosines) = (try PreciseTable("sin"), try PreciseTable("cos"))
        func isIncluded(_ row: PreciseTable.Row) -> Bool { abs(row.arguments[0]) <= bound }
        let sine = sines.worst(where: isIncluded) { $0.error(of: Mathematics.sin($0.arguments[0])) }
        #expect(sine.error < units, "sin at \(sine.at)")
        let cosine = cosines.worst(where: isIncluded) { $0.error(of: Mathematics.cos($0.arguments[0])) }
        #expect(cosine.error < units, "cos at \(cosine.at)")
        for (name, found, exact) in [
            ("sin", Mathematics.sin, { (x: Float80) in sin(x) }), ("cos", Mathematics.cos, { (x: Float80) in cos(x) }),
        ] as [(String, (Double) -> Double, (Float80) -> Float80)] {
            let drawn = worst(50_000, seed: 6, { $0.uniform(-bound, bound) }, found, exact)
            #expect(drawn.error < units, "\(name) at \(drawn.at), seed 6")
            // Where little is left of the argument, and where the two polynomials meet.
            let zeros = worst(20_000, seed: 7, { near(&$0, multipleOf: .pi / 2, below: bound) }, found, exact)
            #expect(zeros.error < units, "\(name) at \(zeros.at), seed 7")
            let seams = worst(20_000, seed: 8, { near(&$0, multipleOf: .pi / 4, below: bound) }, found, exact)
            #expect(seams.error < units, "\(name) at \(seams.at), seed 8")
        }
    }

    @Test func circularFunctionsOfWhatHasNoAngle() {
        for x in [Double.nan, .infinity, -.infinity, 1e9, -1e300] {
            #expect(Mathematics.sin(x).isNaN && Mathematics.cos(x).isNaN, "\(x)")
        }
        #expect(Mathematics.sin(0) == 0 && Mathematics.sin(-0.0) == 0 && Mathematics.cos(0) == 1)
    }

    // MARK: pow

    /// The units of the last place that a power may be off, by its comment.
    private func allowance(_ base: Double, _ exponent: Double) -> Double { 2 * (1 + abs(exponent * log(base))) }

    @Test func powersKeepTheirRelativeBound() throws {
        // A unit of the last place is at most 2⁻⁵² of the value, the bound's unit half of that.
        let table = try PreciseTable("pow").worst {
            let (base, exponent) = ($0.arguments[0], $0.arguments[1])
            return $0.error(of: Mathematics.pow(base, exponent)) / allowance(base, exponent)
        }
        #expect(table.error <= 1, "at \(table.at)")
        var random = SeededNumbers(seed: 9)
        for _ in 0..<50_000 {
            let (base, exponent) = (exp(random.uniform(-20, 20)), random.uniform(-20, 20))
            let exact = Foundation.pow(Float80(base), Float80(exponent))
            let error = Double(abs(Float80(Mathematics.pow(base, exponent)) - exact) / exact)
            if error >= allowance(base, exponent) * 0x1p-53 {
                Issue.record("\(base)^\(exponent) is off by \(error) of its value, seed 9")
            }
        }
    }

    @Test func powersAtTheEdges() {
        #expect(Mathematics.pow(0, 0.0) == 1 && Mathematics.pow(.nan, 0.0) == 1 && Mathematics.pow(7, 0.0) == 1)
        #expect(Mathematics.pow(0, 0.5) == 0 && Mathematics.pow(0, -0.5) == .infinity)
        #expect(Mathematics.pow(0, .nan).isNaN && Mathematics.pow(2, .nan).isNaN && Mathematics.pow(.nan, 2.0).isNaN)
        #expect(Mathematics.pow(-2, 0.5).isNaN)
        #expect(Mathematics.pow(1, 1e300) == 1)
        #expect(Mathematics.pow(.infinity, 2.0) == .infinity && Mathematics.pow(.infinity, -2.0) == 0)
    }

    @Test func wholePowersKeepTheirRelativeBound() throws {
        let table = try PreciseTable("wholePow").worst {
            let exponent = Int($0.arguments[1])
            return $0.error(of: Mathematics.pow($0.arguments[0], exponent)) / Double(max(1, exponent))
        }
        #expect(table.error <= 1, "at \(table.at)")
        var random = SeededNumbers(seed: 10)
        for _ in 0..<5_000 {
            let (base, exponent) = (random.uniform(0.8, 1), 1 + Int(random.next() % 3_000))
            let exact = Foundation.pow(Float80(base), Float80(exponent))
            let error = Double(abs(Float80(Mathematics.pow(base, exponent)) - exact) / exact)
            if error > Double(exponent) * 0x1p-53 {
                Issue.record("\(base)^\(exponent) is off by \(error) of its value, seed 10")
            }
        }
    }

    @Test func aNegativeWholePowerIsAMistakeOfTheCaller() async {
        await #expect(processExitsWith: .failure) { _ = Mathematics.pow(2, -1) }
    }

    // MARK: Bits

    /// What a run's hash rests on: not how near the values are, but that they stay as they are.
    @Test func theBitsAreThoseOfTheFirstRuns() {
        var random = SeededNumbers(seed: 11)
        var digest: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ value: Double) { digest = (digest ^ value.bitPattern) &* 0x100_0000_01B3 }
        for _ in 0..<20_000 {
            let x = random.uniform(-20, 20)
            add(Mathematics.exp(x))
            add(Mathematics.log(abs(x)))
            add(Mathematics.sin(x))
            add(Mathematics.cos(x))
            add(Mathematics.pow(abs(x), 0.4))
            add(Mathematics.pow(0.999, Int(abs(x) * 100)))
        }
        #expect(digest == 0xA317_5404_896C_3868, "\(String(digest, radix: 16))")
    }
}

/// Random numbers that a seed repeats.
struct SeededNumbers: RandomNumberGenerator {
    private let sequence: RandomSequence
    private var block = 0

    init(seed: UInt64) { sequence = RandomSequence(seed: seed, purpose: .simulation) }

    mutating func next() -> UInt64 {
        defer { block += 1 }
        let words = sequence.words(block: block)
        return UInt64(words[0]) << 32 | UInt64(words[1])
    }

    /// Uniform in `lower` ..< `upper`, or next to it.
    mutating func uniform(_ lower: Double, _ upper: Double) -> Double {
        lower + (upper - lower) * (Double(next() >> 11) * 0x1p-53)
    }
}
