internal import Glibc

/// The open files, sockets and pipes that this process may have.
package enum FileDescriptors {
    /// Raises the soft limit to the hard one, or to 65,536, which is more than any run needs.
    static func raiseLimit() {
        var limits = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limits) == 0, limits.rlim_cur < min(limits.rlim_max, 1 << 16) else { return }
        limits.rlim_cur = min(limits.rlim_max, 1 << 16)
        setrlimit(resource, &limits)
    }

    /// Throws where fewer than `count` descriptors are left: a library that runs out of them ends the program.
    package static func require(_ count: Int, for purpose: String) throws(SystemError) {
        var taken: [Int32] = []
        defer { for descriptor in taken { close(descriptor) } }
        while taken.count < count {
            let descriptor = fcntl(2, F_DUPFD_CLOEXEC, 0)
            if descriptor < 0 {
                if errno == EMFILE { throw .descriptors(needed: count, left: taken.count, purpose: purpose) }
                // Nothing that a limit would explain.
                return
            }
            taken.append(descriptor)
        }
    }
}
