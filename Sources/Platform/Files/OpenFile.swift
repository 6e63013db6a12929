internal import CSystem
import Diagnostics
internal import Glibc

/// A file descriptor with one owner.
///
/// Its operations take positions, so threads share it without a lock.
package final class OpenFile: Sendable {
    package let path: String
    package let descriptor: Int32

    /// How a file is opened.
    package enum Mode: Sendable {
        /// A pipe is refused: its reader would wait for a writer that may never come.
        case read
        /// For reading and writing; it must exist.
        case update
        /// For reading and writing; it must not exist yet.
        case create
        /// For appending; created if it does not exist.
        case append
        /// For writing from the start, one byte after another; created if it does not exist. For devices and pipes too.
        case stream
    }

    /// Opens a regular file for reading and nothing else: no link is followed, and a pipe is not waited for.
    ///
    /// Throws `FileError` with a `detail` where another kind of thing stands there.
    package init(regularAt path: String) throws(FileError) {
        var descriptor: Int32
        repeat {
            descriptor = Glibc.open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
        } while descriptor < 0 && errno == EINTR
        let code = errno
        let other = "it is no regular file"
        guard descriptor >= 0 else {
            throw FileError("open", path: path, code: code, detail: code == ELOOP || code == ENXIO ? other : nil)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            Glibc.close(descriptor)
            throw FileError("open", path: path, code: EINVAL, detail: other)
        }
        self.path = path
        self.descriptor = descriptor
    }

    package init(_ path: String, _ mode: Mode) throws(FileError) {
        let flags =
            switch mode {
            case .read: O_RDONLY | O_NONBLOCK
            case .update: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            case .append: O_RDWR | O_CREAT | O_APPEND
            case .stream: O_WRONLY | O_CREAT | O_TRUNC
            }
        var descriptor: Int32
        repeat { descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o666) } while descriptor < 0 && errno == EINTR
        guard descriptor >= 0 else { throw FileError("open", path: path, code: errno) }
        if mode == .read {
            var status = stat()
            if fstat(descriptor, &status) == 0, [S_IFIFO, S_IFSOCK].contains(status.st_mode & S_IFMT) {
                Glibc.close(descriptor)
                throw FileError("open", path: path, code: EINVAL, detail: "it is a pipe, and a file is needed")
            }
            // Devices are read as they were before.
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { Glibc.close(descriptor) }

    /// The file's size in bytes.
    package func size() throws(FileError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileError("read the size of", path: path, code: errno) }
        return Int(status.st_size)
    }

    /// Reads until the buffer is full or the file ends; returns the bytes read.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let count = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw FileError("read", path: path, code: errno)
            }
            if count == 0 { break }
            done += count
        }
        // What is read is parsed next, and numbers are rounded there too.
        Arithmetic.restore()
        return done
    }

    /// Writes all bytes at a position.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw FileError("write", path: path, code: errno)
            }
            done += count
        }
    }

    /// Writes all bytes at the end of a file opened with `.append`, or after those before with `.stream`.
    package func append(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = Glibc.write(descriptor, base + done, bytes.count - done)
            if count < 0 {
                if errno == EINTR { continue }
                throw FileError("append to", path: path, code: errno)
            }
            done += count
        }
    }

    /// Cuts the file, or extends it with zeros.
    package func truncate(to bytes: Int) throws(FileError) {
        guard ftruncate(descriptor, off_t(bytes)) == 0 else {
            throw FileError("change the size of", path: path, code: errno)
        }
    }

    /// Takes disk space for the first `bytes` bytes without changing the file's size.
    ///
    /// A full disk shows here and not in the middle of a write. File systems without this service are let pass.
    package func reserve(bytes: Int) throws(FileError) {
        var status: Int32
        repeat { status = system_reserve(descriptor, Int64(bytes)) } while status != 0 && errno == EINTR
        if status != 0, errno != EOPNOTSUPP, errno != ENOSYS {
            throw FileError("reserve space for", path: path, code: errno)
        }
    }

    /// Waits until the file's bytes are on the disk.
    package func sync() throws(FileError) {
        while fsync(descriptor) != 0 {
            if errno != EINTR { throw FileError("write to the disk", path: path, code: errno) }
        }
    }

    /// Reads the whole file, if it has at most `limit` bytes; the error is "file too large" if it has more.
    package func readAll(limit: Int) throws(FileError) -> [UInt8] {
        let size = try size()
        guard size <= limit else {
            let detail = "it has \(size) bytes, and such a file has at most \(limit)"
            throw FileError("read", path: path, code: EFBIG, detail: detail)
        }
        var bytes = [UInt8](repeating: 0, count: size)
        var failure: FileError?
        let count = bytes.withUnsafeMutableBytes { buffer -> Int in
            do throws(FileError) { return try read(at: 0, into: buffer) } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        bytes.removeLast(size - count)
        return bytes
    }
}
