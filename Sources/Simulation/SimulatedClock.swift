import Coordination

/// A process's monotonic clock: it has an origin of its own, may run fast or slow, and may jump forward.
struct SimulatedClock: Sendable {
    /// What the clock read at a moment of the world.
    private var base: Instant
    private var at = Instant(nanoseconds: 0)
    private var ppm: Int64 = 0

    /// A clock that is right, with an origin that `seed` and `process` choose: moments of two processes do not compare.
    init(seed: UInt64, process: Int) {
        let boot = SymbolicValue(kind: 8, seed, UInt64(process)).bits % 1_000_000
        base = Instant(nanoseconds: Int64(boot) * 1_000_000_000)
    }

    func reading(at moment: Instant) -> Instant {
        let span = moment.nanoseconds - at.nanoseconds
        if ppm == 0 { return Instant(nanoseconds: base.nanoseconds + span) }
        return Instant(nanoseconds: base.nanoseconds + span * (1_000_000 + ppm) / 1_000_000)
    }

    /// The first moment at which the clock reads `reading` or more.
    func moment(of reading: Instant) -> Instant {
        let span = reading.nanoseconds - base.nanoseconds
        if ppm == 0 { return Instant(nanoseconds: at.nanoseconds + span) }
        let rate = 1_000_000 + ppm
        return Instant(nanoseconds: at.nanoseconds + (span * 1_000_000 + (span > 0 ? rate - 1 : 0)) / rate)
    }

    /// Runs fast (above 0) or slow from `moment` on.
    mutating func drift(ppm: Int, from moment: Instant) {
        base = reading(at: moment)
        at = moment
        self.ppm = Int64(ppm)
    }

    /// Reads `duration` more from now on.
    mutating func jump(by duration: Duration) { base = base + duration }

    /// Stands still for the duration from now on.
    ///
    /// Nobody may read it meanwhile.
    mutating func stop(for duration: Duration) { at = at + duration }
}

/// A timer of a process: what its clock reads when it fires, and when that is.
struct SimulatedTimer: Sendable {
    var reading: Instant
    var moment: Instant
}

/// One direction of the connection between a worker and the coordinator.
struct SimulatedLink: Sendable {
    /// When the last message arrives: a link keeps the order of what is sent.
    var lastArrival = Instant(nanoseconds: 0)
    /// When the last message arrives that was sent twice.
    var lastDuplicate = Instant(nanoseconds: 0)
    /// Until when it holds what is sent, loses it, or does something else to it.
    var heldUntil = Instant(nanoseconds: 0)
    var lossyUntil = Instant(nanoseconds: 0)
    var slowUntil = Instant(nanoseconds: 0)
    var duplicatingUntil = Instant(nanoseconds: 0)
    var reorderingUntil = Instant(nanoseconds: 0)
}

/// An effect that a fault on a worker may have.
struct PendingEffect: Hashable, Sendable {
    var effect: SimulatedEffect
    /// 0 where it is none of a worker's.
    var worker: Int
}
