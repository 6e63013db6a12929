/// A moment on the caller's monotonic clock, in nanoseconds since an origin that the caller chooses.
///
/// The machines read no clock: every event comes with its moment. Moments of different processes do not compare.
package struct Instant: InstantProtocol, CustomStringConvertible {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package func advanced(by duration: Duration) -> Instant {
        Instant(nanoseconds: nanoseconds &+ duration.inNanoseconds)
    }

    package func duration(to other: Instant) -> Duration {
        Duration(attoseconds: Int128(other.nanoseconds &- nanoseconds) &* 1_000_000_000)
    }

    package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    package static func + (instant: Instant, duration: Duration) -> Instant { instant.advanced(by: duration) }

    package static func - (instant: Instant, duration: Duration) -> Instant {
        Instant(nanoseconds: instant.nanoseconds &- duration.inNanoseconds)
    }

    package static func - (a: Instant, b: Instant) -> Duration { b.duration(to: a) }

    package var description: String { (self - Instant(nanoseconds: 0)).inWords }
}

extension Duration {
    /// Whole nanoseconds, held within ±146 years.
    package var inNanoseconds: Int64 {
        let whole = attoseconds
        // Nearly all durations are of less than nine seconds: their attoseconds are divided in one word.
        if let word = Int64(exactly: whole) { return word / 1_000_000_000 }
        let (seconds, attoseconds) = components
        let limit: Int64 = 4_600_000_000
        return max(-limit, min(limit, seconds)) * 1_000_000_000 + attoseconds / 1_000_000_000
    }

    /// Seconds with one decimal, for sentences: `0.4 s`.
    package var inWords: String {
        let tenths = (inNanoseconds + (inNanoseconds < 0 ? -50_000_000 : 50_000_000)) / 100_000_000
        return "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10) s"
    }
}
