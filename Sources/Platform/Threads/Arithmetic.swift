internal import CSystem
internal import Synchronization

/// The floating-point arithmetic of a thread: to the nearest number, denormal ones kept, no traps.
///
/// Each thread has a control register of its own, inherits its value from the thread that starts it, and shares it with
/// every library that it calls: one that was compiled with `-ffast-math` or preloaded can have it round otherwise, or
/// flush small numbers to zero. Equal bits need equal arithmetic, so threads whose results reach weights restore it
/// before each piece of their work.
package enum Arithmetic {
    private static let isTold = Atomic<Bool>(false)

    /// Restores the calling thread's arithmetic; the first time that something has changed it, a line on standard error
    /// says so.
    ///
    /// Costs a nanosecond or two where there is nothing to do.
    @inline(__always)
    package static func restore() {
        if system_restore_arithmetic() { tell() }
    }

    /// How a word of the control register differs from what it should be, in words; nil where it does not.
    package static func difference(of word: UInt32) -> String? {
        var found: [String] = []
        switch (word >> 13) & 3 {
        case 1: found.append("rounds down")
        case 2: found.append("rounds up")
        case 3: found.append("rounds toward zero")
        default: break
        }
        if word & 0x8000 != 0 { found.append("flushes small results to zero") }
        if word & 0x0040 != 0 { found.append("takes small operands for zero") }
        if word & 0x1F80 != 0x1F80 { found.append("traps on some results") }
        return found.isEmpty ? nil : found.joined(separator: ", ")
    }

    /// The control register that the program was started with.
    private static let first = Atomic<UInt32>(0x1F80)

    /// Restores the arithmetic of the main thread, at the start of the program, and remembers what it was.
    package static func begin() {
        first.store(system_arithmetic(), ordering: .relaxed)
        restore()
    }

    /// What the arithmetic was that the program was started with, in words; nil where it was as it should be.
    package static var initialDifference: String? { difference(of: first.load(ordering: .relaxed)) }

    private static func tell() {
        guard !isTold.exchange(true, ordering: .relaxed) else { return }
        StandardStream.error.say(
            "warning: Something in this process, a preloaded library perhaps, had changed how its threads round numbers or "
                + "treat small ones. It was set back, and is before each piece of work: results are the same bits. `pleura "
                + "doctor` says what the program starts with.\n"
        )
    }
}
