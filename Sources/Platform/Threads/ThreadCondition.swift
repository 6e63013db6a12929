import CSystem
import Synchronization

/// Lets threads sleep until something may have changed, without a lock of its own: a counter and a futex.
///
/// Take the ticket, look at the state, and wait since that ticket: a signal in between ends the wait at once.
package final class ThreadCondition: @unchecked Sendable {
    // The word is changed and read by atomic operations only.
    private let word: UnsafeMutablePointer<UInt32>

    package init() {
        word = .allocate(capacity: 1)
        word.initialize(to: 0)
    }

    deinit { word.deallocate() }

    package var ticket: UInt32 { system_load_acquire_32(word) }

    /// Wakes all sleepers.
    package func signal() {
        _ = system_add_32(word, 1)
        _ = system_futex_wake(word, false)
    }

    package func broadcast() { signal() }

    /// Sleeps until a signal after `ticket`, or a second at most: callers look again in any case.
    package func wait(since ticket: UInt32) {
        _ = system_futex_wait(word, ticket, 1_000_000_000, false)
    }
}
