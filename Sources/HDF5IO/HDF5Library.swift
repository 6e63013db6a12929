internal import CHDF5
internal import Glibc
internal import Synchronization

/// The door to the C library: every call passes through `HDF5Library.locked`.
///
/// HDF5 is one global state. Debian and Ubuntu build it thread-safe, which means one global lock inside ("the HDF5
/// library … serializes all API calls", The HDF Group's FAQ); other builds have none. Our own lock makes both equal,
/// and keeps a call and the reading of its error stack together. It is recursive because a handle may be released, and
/// so closed, inside a locked region.
package enum HDF5Library {
    /// The version of the library that the program runs with, as "1.10.8".
    package static var version: String {
        var (major, minor, release): (UInt32, UInt32, UInt32) = (0, 0, 0)
        let status = locked { H5get_libversion(&major, &minor, &release) }
        return status < 0 ? "unknown" : "\(major).\(minor).\(release)"
    }

    /// Runs `body` alone in this process, with HDF5's own printing of errors off for this thread.
    static func locked<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        lock.lock()
        defer { lock.unlock() }
        _ = setUp
        // The setting belongs to the thread (and to its error stack), so it is renewed at every entry.
        H5Eset_auto2(chdf5_error_stack_default(), nil, nil)
        return try body()
    }

    private static let lock = RecursiveLock()

    /// Keeps the library from cleaning up when the process exits.
    ///
    /// Workaround: 1.10.8 crashes there if closing a file has failed before. Files that matter are closed by then.
    private static let setUp: Void = { H5dont_atexit() }()
}

/// A recursive mutex of pthread, allocated once for the life of the process.
///
/// `@unchecked Sendable`: its only state is the mutex, which exists to be shared between threads.
private final class RecursiveLock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        mutex = .allocate(capacity: 1)
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_RECURSIVE))
        pthread_mutex_init(mutex, &attributes)
        pthread_mutexattr_destroy(&attributes)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func lock() { pthread_mutex_lock(mutex) }
    func unlock() { pthread_mutex_unlock(mutex) }
}

/// HDF5's error stack of this thread as text: the innermost cause first, then what the functions that passed it on say.
///
/// With the error of the operating system, where one was the cause. Valid only at once after the failing call, on its
/// thread, inside the lock: the next call clears it.
func hdf5ErrorStack() -> (text: String, systemError: Int32?) {
    final class Frames { var list: [String] = [] }
    let frames = Frames()
    let pointer = Unmanaged.passUnretained(frames).toOpaque()
    H5Ewalk2(
        chdf5_error_stack_default(),
        H5E_WALK_UPWARD,
        { _, frame, context in
            guard let frame, let context else { return 0 }
            let text = frame.pointee.desc.map { String(cString: $0) } ?? ""
            Unmanaged<Frames>.fromOpaque(context).takeUnretainedValue().list.append(text)
            return 0
        },
        pointer
    )
    guard let first = frames.list.first else { return ("HDF5 gave no reason", nil) }
    let rest = frames.list.dropFirst().suffix(3)
    let text = rest.isEmpty ? first : first + "; from " + rest.joined(separator: ", ")
    return (text, frames.list.lazy.compactMap(systemError).first)
}

/// The error number in the text of HDF5's virtual file layer, which holds "errno = 5, error message = '…'".
private func systemError(in text: String) -> Int32? {
    let mark = Array("errno = ".utf8)
    let bytes = Array(text.utf8)
    guard bytes.count > mark.count,
        let start = (0..<bytes.count - mark.count).first(where: { bytes[$0..<$0 + mark.count].elementsEqual(mark) })
    else { return nil }
    let digits = bytes[(start + mark.count)...].prefix { (48...57).contains($0) }
    guard let number = Int32(String(decoding: digits, as: UTF8.self)), number != 0 else { return nil }
    return number
}

/// An identifier of HDF5 with one owner; released when the owner lets go.
///
/// A file opened with the strong close degree takes its objects' identifiers with it, so one that is no longer valid is
/// left alone.
final class HDF5Identifier: Sendable {
    let raw: hid_t
    /// Whether closing has failed.
    ///
    /// Workaround: a file that 1.10.8 could not write when closing it keeps a valid identifier, and crashes the process
    /// when that is closed again. Such an identifier is leaked.
    let isAbandoned = Atomic(false)
    private let close: @Sendable @convention(c) (hid_t) -> herr_t

    init(_ raw: hid_t, close: @escaping @Sendable @convention(c) (hid_t) -> herr_t) {
        self.raw = raw
        self.close = close
    }

    deinit {
        if isAbandoned.load(ordering: .relaxed) { return }
        let (raw, close) = (raw, close)
        HDF5Library.locked {
            if H5Iis_valid(raw) > 0 { _ = close(raw) }
        }
    }
}

/// Where an operation takes place, for the errors it may throw.
struct HDF5Context {
    let file: String
    var object: String = ""

    /// An error without the library's error stack.
    func error(_ code: HDF5Error.Code, _ operation: String, _ detail: String) -> HDF5Error {
        HDF5Error(code, file: file, object: object, operation: operation, detail: detail)
    }

    /// The error for a call that has just failed on this thread.
    func libraryError(_ operation: String, code: HDF5Error.Code = .library) -> HDF5Error {
        let stack = hdf5ErrorStack()
        guard let number = stack.systemError else { return error(code, operation, stack.text) }
        let reason = String(cString: strerror(number))
        switch number {
        case ENOSPC, EDQUOT: return error(.noSpace, operation, "\(reason). Free some space and run again")
        case EFBIG:
            let advice = "It would exceed the limit on the size of files; raise it (ulimit -f)"
            return error(.noSpace, operation, "\(reason). \(advice)")
        case EIO: return error(.device, operation, reason)
        default: return error(code, operation, reason)
        }
    }

    /// Passes a status or identifier through, or throws the error stack if it is negative.
    @discardableResult
    func check<Status: SignedInteger>(
        _ status: Status,
        _ operation: String,
        code: HDF5Error.Code = .library
    ) throws(HDF5Error) -> Status {
        if status < 0 { throw libraryError(operation, code: code) }
        return status
    }

    /// Owns a fresh identifier, or throws the error stack if it is negative.
    func own(
        _ raw: hid_t,
        _ operation: String,
        code: HDF5Error.Code = .library,
        close: @escaping @Sendable @convention(c) (hid_t) -> herr_t
    ) throws(HDF5Error) -> HDF5Identifier {
        HDF5Identifier(try check(raw, operation, code: code), close: close)
    }
}
