package import Glibc

/// Starts programs as children, and waits for their ends.
package enum ChildProcess {
    /// What a child runs.
    package enum Program: Sendable, Equatable, CustomStringConvertible {
        /// This program, from the very file that this process runs.
        case own
        /// The file at a path.
        case file(String)

        package var description: String {
            switch self {
            case .own: OwnProgram.shared.name
            case .file(let path): path
            }
        }
    }

    /// How a child ended.
    package enum End: Sendable, Equatable {
        case exited(Int32)
        case signal(Int32)
        /// Somebody else has waited for it.
        case unknown
    }

    /// Starts a child whose signal masks and actions do not depend on this process's; it gets the descriptors 0 to 2
    /// and no other one, as `prepare` says.
    ///
    /// - Parameters:
    ///   - environment: nil for this process's own.
    ///   - hasOwnGroup: whether it is out of reach of its terminal's Ctrl-C.
    package static func spawn(
        _ program: Program,
        _ arguments: [String],
        environment: [String: String]? = nil,
        hasOwnGroup: Bool = false,
        _ prepare: (inout posix_spawn_file_actions_t) -> Void
    ) throws(SystemError) -> Int32 {
        let path: String
        switch program {
        case .file(let file): path = file
        case .own:
            guard let file = OwnProgram.shared.path else {
                throw .spawn(
                    program: OwnProgram.shared.name,
                    reason:
                        "the program does not know where its own file is, since /proc is not there and it was not started "
                        + "by its path. Mount /proc, or start it by its whole path"
                )
            }
            path = file
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        prepare(&actions)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
        if hasOwnGroup {
            flags |= POSIX_SPAWN_SETPGROUP
            posix_spawnattr_setpgroup(&attributes, 0)
        }
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        // Not SIGHUP, SIGINT and the like: a child of `nohup pleura` is to be left alone too.
        for signal in [SIGPIPE, SIGXFSZ, SIGTTOU, SIGCHLD, SIGTERM, SIGUSR1, SIGUSR2] { sigaddset(&signals, signal) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        var words: [UnsafeMutablePointer<CChar>?] = ([program.description] + arguments).map { strdup($0) }
        words.append(nil)
        var variables: [UnsafeMutablePointer<CChar>?] = environment?.map { strdup("\($0.key)=\($0.value)") } ?? []
        variables.append(nil)
        defer { for word in words + variables { free(word) } }
        var process: Int32 = 0
        let status =
            environment == nil
            ? posix_spawn(&process, path, &actions, &attributes, words, environ)
            : posix_spawn(&process, path, &actions, &attributes, words, variables)
        guard status == 0 else {
            throw .spawn(program: program.description, reason: reason(status))
        }
        return process
    }

    private static func reason(_ code: Int32) -> String {
        let words = String(cString: strerror(code))
        return code == EAGAIN || code == ENOMEM
            ? "\(words); the limits on processes (ulimit -u, pids.max) or memory are reached" : words
    }

    /// Waits until a child has ended; its process number may be another's afterwards.
    package static func wait(for process: Int32) -> End {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            if errno != EINTR { return .unknown }
        }
        return end(status)
    }

    /// What the status of `waitpid` says of a child that has ended.
    package static func end(_ status: Int32) -> End {
        let signal = status & 0x7F
        return signal == 0 ? .exited((status >> 8) & 0xFF) : .signal(signal)
    }
}
