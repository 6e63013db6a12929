internal import CSystem
internal import Glibc

/// The beginning of the program: states that do not depend on who started it.
package enum ProcessStart {
    /// The words of the command line behind the program's name.
    ///
    /// Not Swift's `CommandLine`, which reads a file of /proc and finds no words where there is none.
    package static var arguments: [String] {
        (1..<max(1, system_argument_count())).compactMap { index in
            system_argument(index).map { String(cString: $0) }
        }
    }

    /// Prepares the process; the first thing that `main` does, before there is another thread.
    ///
    /// Descriptors 0 to 2 are open, no signal is blocked, SIGPIPE, SIGXFSZ and SIGTTOU are ignored (the calls that meant
    /// them fail instead), children can be waited for, files may be open up to the hard limit, threads get stacks of 8 MiB,
    /// the program's own file is kept for children, and what is said is written before the program ends.
    package static func prepare() {
        system_set_known_states()
        FileDescriptors.raiseLimit()
        _ = OwnProgram.shared
        // Started through a descriptor, the kernel calls the process by its number.
        system_name_thread("pleura")
        StandardStream.flushAtExit()
    }

    /// Runs `work` on a thread with a stack of 8 MiB and waits for it: the first thread's stack is what the shell's limit
    /// leaves, and overflowing it ends the program without a word.
    package static func runOnOwnThread(_ work: @escaping @Sendable () -> Void) throws(SystemError) {
        let start = Unmanaged.passRetained(Work(work))
        var thread = pthread_t()
        let status = system_start_thread(
            &thread,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            },
            start.toOpaque()
        )
        guard status == 0 else {
            start.release()
            throw .thread(code: status)
        }
        pthread_join(thread, nil)
    }

    private final class Work {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
