import CSystem
import Glibc

/// A thread that its maker owns and joins: blocking work never runs on Swift's cooperative pool, which has one thread
/// per core.
package final class OwnedThread: @unchecked Sendable {
    // `handle` is written before the object is visible to another thread and only read afterwards.
    private let handle: pthread_t

    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Starts a thread that runs `body`; `name` (15 bytes) is shown by debuggers and `top -H`.
    package init(name: String, body: @escaping @Sendable () -> Void) throws(SystemError) {
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        var handle = pthread_t()
        let status = system_start_thread(
            &handle,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                system_name_thread(start.name)
                Arithmetic.restore()
                start.body()
                return nil
            },
            start.toOpaque()
        )
        guard status == 0 else {
            start.release()
            throw .thread(code: status)
        }
        self.handle = handle
    }

    package var isCurrent: Bool { pthread_equal(handle, pthread_self()) != 0 }

    /// Lets the thread end by itself.
    ///
    /// Call once, in place of `join`.
    package func detach() { pthread_detach(handle) }

    /// Waits until the thread has ended.
    ///
    /// Call once, from another thread.
    package func join() {
        precondition(!isCurrent, "a thread cannot wait for its own end")
        pthread_join(handle, nil)
    }
}

/// A descriptor that wakes a thread which polls it.
package final class WakeUp: Sendable {
    package let descriptor: Int32

    package init() throws(SystemError) {
        descriptor = system_wake_up_descriptor()
        guard descriptor >= 0 else { throw .wakeUp(code: errno) }
    }

    /// Makes the descriptor readable; from any thread, never blocks.
    package func signal() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Makes the descriptor unreadable until the next `signal`.
    package func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }

    deinit { Glibc.close(descriptor) }
}
