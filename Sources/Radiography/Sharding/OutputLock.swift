private import Glibc

/// Keeps a second process from writing to the same output folder: an advisory lock on the folder, which the kernel
/// drops when the process ends.
struct OutputLock {
    private let descriptor: Int32

    /// Throws `ShardingError.busy` where another process has it.
    ///
    /// File systems without locks are let pass.
    init(_ folder: String) throws {
        descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw InputFileError.system(path: folder, call: "open", errno: errno) }
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
            close(descriptor)
            throw ShardingError.busy(output: folder)
        }
    }

    func release() {
        close(descriptor)
    }
}
