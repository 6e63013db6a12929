import Foundation
import Testing

/// Arguments of a function and its true values, which `Tests/Fixtures/mathematics.py` wrote.
struct PreciseTable {
    struct Row: CustomStringConvertible {
        var arguments: [Double]
        /// The true value, correctly rounded.
        var high: Double
        /// What rounding took away from it, so that errors far below a unit in the last place are seen.
        var low: Double

        var description: String { "\(arguments)" }

        /// How far `found` is from the true value, in units of the last place of the correctly rounded one; infinity for
        /// NaN, and where the one is finite and the other is not.
        func error(of found: Double) -> Double {
            if found == high && (low == 0 || !high.isFinite) { return 0 }
            let error = abs((found - high) - low) / high.ulp
            return error.isNaN ? .infinity : error
        }

        /// The same for a function on `Float`.
        func error(of found: Float) -> Double {
            let rounded = Float(high)
            if !rounded.isFinite { return found == rounded ? 0 : .infinity }
            let error = abs((Double(found) - high) - low) / Double(rounded.ulp)
            return error.isNaN ? .infinity : error
        }
    }

    let rows: [Row]

    init(_ function: String) throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fixtures/mathematics.json")
        let table = try JSONDecoder().decode([String: [[String]]].self, from: Data(contentsOf: file))
        rows = try #require(table[function]).map { row in
            let values = try row.map { Double(bitPattern: try #require(UInt64($0, radix: 16))) }
            return Row(
                arguments: Array(values.dropLast(2)),
                high: values[values.count - 2],
                low: values[values.count - 1]
            )
        }
        try #require(rows.count > 40, "\(function) has \(rows.count) rows")
    }

    /// The row whose value is furthest off, by how much, and how many rows were looked at.
    func worst(where isIncluded: (Row) -> Bool = { _ in true }, _ error: (Row) -> Double) -> (error: Double, at: String)
    {
        rows.filter(isIncluded).map { (error: error($0), at: $0.description) }.max { $0.error < $1.error } ?? (
            .nan, "none"
        )
    }
}
