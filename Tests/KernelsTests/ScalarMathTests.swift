import Foundation
import Kernels
import Testing

/// The kernels' functions keep the bounds that their comments state: against 60 digits at the edges, and against the C
/// library's functions on `Double` over a spread of all floats.
@Suite struct ScalarMathTests {
    private struct Worst {
        var units = 0.0
        var absolute = 0.0
        var at: Float = 0
    }

    /// The largest errors over every 10,007th float of `range`, in units of the last place and as they are.
    private func sweep(
        _ range: ClosedRange<Float>,
        _ found: (Float) -> Float,
        _ exact: (Double) -> Double
    ) -> Worst {
        var worst = Worst()
        func look(_ x: Float) {
            let value = exact(Double(x))
            let error = abs(Double(found(x)) - value)
            let units = error / Double(Float(value).ulp)
            worst.absolute = error <= worst.absolute ? worst.absolute : error
            if !(units <= worst.units) { (worst.units, worst.at) = (units, x) }
        }
        for sign: UInt32 in [0, 0x8000_0000] {
            var bits: UInt32 = sign
            while case let x = Float(bitPattern: bits), !x.isNaN, abs(x) <= 200 {
                if range.contains(x) { look(x) }
                bits += 10_007
            }
        }
        look(range.lowerBound)
        look(range.upperBound)
        return worst
    }

    private func table(
        _ name: String,
        where isIncluded: (Float) -> Bool = { _ in true },
        _ found: (Float) -> Float
    ) throws -> (error: Double, at: String) {
        try PreciseTable(name).worst(where: { isIncluded(Float($0.arguments[0])) }) {
            $0.error(of: found(Float($0.arguments[0])))
        }
    }

    private func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

    @Test func exponential() throws {
        let edges = try table("scalarExp", ScalarMath.exp)
        #expect(edges.error < 1.01, "at \(edges.at)")
        // Denormal results as well.
        let worst = sweep(-110...88.7228, ScalarMath.exp) { exp($0) }
        #expect(worst.units < 1.01, "at \(worst.at)")
        #expect(ScalarMath.exp(0) == 1 && ScalarMath.exp(-0.0) == 1)
        #expect(ScalarMath.exp(.nan).isNaN)
        #expect(ScalarMath.exp(88.73) == .infinity && ScalarMath.exp(.infinity) == .infinity)
        #expect(ScalarMath.exp(-104) == 0 && ScalarMath.exp(-.infinity) == 0)
    }

    @Test func logarithmOfOnePlus() throws {
        let edges = try table("scalarLog1p", ScalarMath.log1p)
        #expect(edges.error < 2, "at \(edges.at)")
        let worst = sweep(0...1, ScalarMath.log1p) { log1p($0) }
        #expect(worst.units < 2, "at \(worst.at)")
        #expect(ScalarMath.log1p(0) == 0 && ScalarMath.log1p(.nan).isNaN)
    }

    @Test func logistic() throws {
        let edges = try table("scalarSigmoid", ScalarMath.sigmoid)
        #expect(edges.error < 2.5, "at \(edges.at)")
        let worst = sweep(-110...110, ScalarMath.sigmoid, sigmoid)
        #expect(worst.units < 2.5, "at \(worst.at)")
        #expect(ScalarMath.sigmoid(0) == 0.5 && ScalarMath.sigmoid(.nan).isNaN)
        #expect(ScalarMath.sigmoid(.infinity) == 1 && ScalarMath.sigmoid(-.infinity) == 0)
    }

    @Test func logisticDenominator() {
        let worst = sweep(-88...110, ScalarMath.logisticDenominator) { 1 + exp(-$0) }
        #expect(worst.units < 1.25, "at \(worst.at)")
        #expect(
            ScalarMath.logisticDenominator(-88.37) < .infinity && ScalarMath.logisticDenominator(-88.38) == .infinity
        )
        #expect(ScalarMath.logisticDenominator(17) == 1 && ScalarMath.logisticDenominator(.infinity) == 1)
        #expect(ScalarMath.logisticDenominator(.nan).isNaN)
    }

    @Test func silu() throws {
        let edges = try table("scalarSilu", where: { $0 > -88 }, ScalarMath.silu)
        #expect(edges.error < 2.5, "at \(edges.at)")
        let worst = sweep(-88...110, ScalarMath.silu) { $0 * sigmoid($0) }
        #expect(worst.units < 2.5, "at \(worst.at)")
        // Below that the denominator overflows, and nothing is left of a value that is next to nothing.
        #expect(sweep(-200 ... -88, ScalarMath.silu) { $0 * sigmoid($0) }.absolute < 1e-36)
        #expect(ScalarMath.silu(0) == 0 && ScalarMath.silu(-100) == 0 && ScalarMath.silu(.infinity) == .infinity)
        #expect(ScalarMath.silu(.nan).isNaN)
    }

    @Test func derivativeOfSilu() throws {
        let exact = { (x: Double) in
            let s = sigmoid(x)
            return s * (1 + x * (1 - s))
        }
        // It passes through 0, so no bound in units of the last place holds; its values lie in -0.1 ... 1.1.
        let worst = sweep(-110...110, ScalarMath.siluDerivative, exact)
        #expect(worst.absolute < 17 * 0x1p-24, "\(worst.absolute)")
        for row in try PreciseTable("scalarSiluDerivative").rows {
            let found = Double(ScalarMath.siluDerivative(Float(row.arguments[0])))
            #expect(abs(found - row.high) < 17 * 0x1p-24, "at \(row)")
        }
        #expect(ScalarMath.siluDerivative(0) == 0.5 && ScalarMath.siluDerivative(.nan).isNaN)
    }

    @Test func softplus() throws {
        let edges = try table("scalarSoftplus", ScalarMath.softplus)
        #expect(edges.error < 2.75, "at \(edges.at)")
        let worst = sweep(-110...110, ScalarMath.softplus) { log1p(exp($0)) }
        #expect(worst.units < 2.75, "at \(worst.at)")
        #expect(ScalarMath.softplus(.infinity) == .infinity && ScalarMath.softplus(-.infinity) == 0)
        #expect(ScalarMath.softplus(.nan).isNaN)
    }

    /// What a run's hash rests on: not how near the values are, but that they stay as they are.
    @Test func theBitsAreThoseOfTheFirstRuns() {
        var digest: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ value: Float) { digest = (digest ^ UInt64(value.bitPattern)) &* 0x100_0000_01B3 }
        for number in -11_000...11_000 {
            let x = Float(number) / 101
            add(ScalarMath.exp(x))
            add(ScalarMath.log1p(abs(Float(number)) / 11_003))
            add(ScalarMath.sigmoid(x))
            add(ScalarMath.logisticDenominator(x))
            add(ScalarMath.siluDerivative(x))
            add(ScalarMath.softplus(x))
        }
        #expect(digest == 0x72DF_27A9_C024_0A52, "\(String(digest, radix: 16))")
    }
}
