import Foundation
import Glibc
import Platform
import Storage

/// A file that grows by whole records.
///
/// Each append is one system call, so a reader never waits for a buffer and a crash of the process loses nothing that
/// was appended.
struct AppendFile: ~Copyable {
    let path: String
    let descriptor: Int32
    private var running: RunningSeal

    /// Opens the file for appending; creates it, but not its folder.
    ///
    /// - Parameter exclusively: fails where the file exists already.
    init(path: String, exclusively: Bool = false) throws(ReportingError) {
        // Before it is opened: nobody else writes to it.
        var running = RunningSeal()
        if !exclusively { try Self.read(path) { running.add($0) } }
        // A pipe that nobody reads is an error, and not waited for.
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | (exclusively ? O_EXCL : 0)
        let descriptor = open(path, flags, 0o666)
        guard descriptor >= 0 else { throw ReportingError(action: "open", path: path, code: errno) }
        self.path = path
        self.descriptor = descriptor
        self.running = running
    }

    deinit { _ = close(descriptor) }

    /// Appends all bytes or throws; on a full disk, what did fit is taken back, so the file ends with a whole record.
    mutating func append(_ bytes: [UInt8]) throws(ReportingError) {
        let start = lseek(descriptor, 0, SEEK_END)
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
            }
            if count > 0 {
                written += count
            } else if errno != EINTR {
                let code = errno
                if written > 0, start >= 0 { _ = ftruncate(descriptor, start) }
                throw ReportingError(action: "append to", path: path, code: code)
            }
        }
        running.add(bytes)
    }

    /// The file as it was opened and appended to.
    var seal: FileSeal { running.seal }

    /// Waits until what was appended is on the disk.
    static func synchronize(_ descriptor: Int32, path: String) throws(ReportingError) {
        while fsync(descriptor) != 0 {
            if errno != EINTR { throw ReportingError(action: "write", path: path, code: errno) }
        }
    }

    /// Replaces a file by new contents, so that after a crash at any moment one of the two is there in full.
    static func replace(_ path: String, with bytes: [UInt8]) throws(ReportingError) {
        do throws(FileError) { try AtomicFile.write(bytes, to: path) } catch {
            throw ReportingError(action: "replace", path: path, code: error.code)
        }
    }

    /// All bytes of a file; nil where there is none.
    static func contents(of path: String) throws(ReportingError) -> [UInt8]? {
        var bytes: [UInt8] = []
        return try read(path) { bytes += $0 } ? bytes : nil
    }

    /// Hands the bytes of a file over, piece by piece; false where there is none. A device or a pipe has no bytes to
    /// hand over.
    @discardableResult
    private static func read(_ path: String, _ body: ([UInt8]) -> Void) throws(ReportingError) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return false }
            throw ReportingError(action: "open", path: path, code: errno)
        }
        defer { _ = close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else {
            throw ReportingError(action: "read", path: path, code: errno)
        }
        guard information.st_mode & S_IFMT == S_IFREG else { return true }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                body(Array(buffer[..<count]))
            } else if count == 0 {
                return true
            } else if errno != EINTR {
                throw ReportingError(action: "read", path: path, code: errno)
            }
        }
    }
}
