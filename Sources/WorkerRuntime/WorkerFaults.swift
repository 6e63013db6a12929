/// What a worker does worse than it could, for tests and benchmarks of how a run bears it.
///
/// Nothing here is on by default; the hidden option `worker --fault` sets it.
package struct WorkerFaults: Sendable, Equatable {
    /// How many times each microbatch is computed, from step `repeatsFrom` on; the bits are the same.
    package var repeats = 1
    package var repeatsFrom: UInt64 = 0
    /// How long the loading of each microbatch takes besides.
    package var loadDelay = Duration.zero
    /// From this step on, a bit of each microbatch's gradient is wrong.
    package var flipsFrom: UInt64?
    /// From this step on, a pixel of the second microbatch is not a number.
    package var poisonsFrom: UInt64?

    package init() {}

    /// Reads `slow=4`, `slow=4@20` (from step 20 on), `load=50` (milliseconds), `flip=12` and `nan=12`.
    package init(_ texts: [String]) throws {
        for text in texts {
            let parts = text.split(separator: "=", maxSplits: 1)
            let values = (parts.last ?? "").split(separator: "@").compactMap { UInt64($0) }
            guard parts.count == 2, let value = values.first, value <= 1_000_000 else {
                throw WorkerError.fault("There is no fault \(text).")
            }
            switch parts[0] {
            case "slow":
                repeats = max(1, Int(value))
                repeatsFrom = values.count > 1 ? values[1] : 0
            case "load": loadDelay = .milliseconds(Int(value))
            case "flip": flipsFrom = value
            case "nan": poisonsFrom = value
            default: throw WorkerError.fault("There is no fault \(text).")
            }
        }
    }
}
