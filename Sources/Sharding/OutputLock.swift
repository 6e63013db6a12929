private import Glibc
import Radiography

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
        // A process that another thread is just starting holds a copy of the descriptor until it runs its own program:
        // closing ours alone would keep the lock until then.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
