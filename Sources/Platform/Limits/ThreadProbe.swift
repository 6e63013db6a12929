internal import CSystem
internal import Glibc

/// Whether so many threads can be had.
package enum ThreadProbe {
    /// Throws where `count` threads more cannot be started: a library that is refused one ends the program.
    package static func require(_ count: Int) throws(SystemError) {
        let word = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
        word.initialize(to: 0)
        var threads: [pthread_t] = []
        defer {
            _ = system_add_32(word, 1)
            _ = system_futex_wake(word, false)
            for thread in threads { pthread_join(thread, nil) }
            word.deallocate()
        }
        for _ in 0..<count {
            var thread = pthread_t()
            let status = system_start_thread(
                &thread,
                { argument in
                    guard let word = argument?.assumingMemoryBound(to: UInt32.self) else { return nil }
                    while system_load_acquire_32(word) == 0 { _ = system_futex_wait(word, 0, 1_000_000_000, false) }
                    return nil
                },
                word
            )
            guard status == 0 else { throw .thread(code: status) }
            threads.append(thread)
        }
    }
}
