import Glibc
import Synchronization

/// Events from any thread to the one that waits for them: the inbox of a shell's loop.
package final class EventQueue<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    private let wakeUp: WakeUp

    package init() throws(SystemError) { wakeUp = try WakeUp() }

    /// Appends an event; from any thread, never blocks for long.
    package func push(_ element: Element) {
        elements.withLock { $0.append(element) }
        wakeUp.signal()
    }

    /// All events so far, in order; waits for the first one for at most `milliseconds`, for ever where negative.
    package func take(milliseconds: Int32) -> [Element] {
        var descriptor = pollfd(fd: wakeUp.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, milliseconds)
        wakeUp.clear()
        return elements.withLock { elements in
            defer { elements = [] }
            return elements
        }
    }
}
