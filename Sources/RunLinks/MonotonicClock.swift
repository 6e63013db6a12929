package import Coordination

/// The clock of the shells: the pure machines are told its moments.
package enum MonotonicClock {
    private static let origin = ContinuousClock.now

    /// The present moment, counted from the process's first look at the clock.
    package static var now: Instant {
        Instant(nanoseconds: (ContinuousClock.now - origin).inNanoseconds)
    }
}
