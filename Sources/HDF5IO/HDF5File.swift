internal import CHDF5
internal import Glibc
internal import Synchronization

/// An open HDF5 file, on disk or in memory.
///
/// Thread-safe: calls from any thread are done one at a time over the whole process (see `HDF5Library`). A file being
/// written belongs under a private name until it is closed without error; HDF5 promises nothing about a file whose
/// writer dies. Never on Swift's cooperative pool: calls block on the disk and on each other.
package final class HDF5File: Sendable {
    /// The path given, or a name in angle brackets for a file in memory.
    package let path: String
    /// Bytes of the file when it was opened for reading; nil for a file being written.
    let openedBytes: Int?
    let identifier: HDF5Identifier
    private let isClosed = Mutex(false)

    private init(path: String, openedBytes: Int?, identifier: HDF5Identifier) {
        self.path = path
        self.openedBytes = openedBytes
        self.identifier = identifier
    }

    var context: HDF5Context { HDF5Context(file: path) }

    // MARK: Opening

    /// Creates a file for writing; an existing one is an error.
    ///
    /// `userBlock` bytes at the front of the file (0, 512, or a larger power of two) are left to the caller. Objects
    /// carry no times, so equal contents are equal bytes. The structure is written in the checksummed form of HDF5 1.8
    /// and 1.10, so that the library notices damage to it before it follows it.
    package static func create(_ path: String, userBlock: Int = 0) throws(HDF5Error) -> HDF5File {
        let context = HDF5Context(file: path)
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5File in
            let access = try makeAccess(context, inMemory: false)
            return try create(path, userBlock: userBlock, access: access, context: context)
        }
    }

    /// Opens a file for reading, without locks: files are published complete and never changed afterwards.
    package static func open(_ path: String) throws(HDF5Error) -> HDF5File {
        let context = HDF5Context(file: path)
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw context.error(.missingFile, "open", String(cString: strerror(errno)))
        }
        guard access(path, R_OK) == 0 else {
            throw context.error(.missingFile, "open", String(cString: strerror(errno)))
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw context.error(.damagedFile, "open", "it is not a regular file")
        }
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5File in
            let access = try makeAccess(context, inMemory: false)
            let raw = H5Fopen(path, chdf5_open_read_only(), access.raw)
            if raw < 0, hdf5ErrorStack().text.contains("already open for write") { throw openElsewhere(path, context) }
            let file = try context.own(raw, "open", code: .damagedFile, close: H5Fclose)
            return HDF5File(path: path, openedBytes: Int(status.st_size), identifier: file)
        }
    }

    /// The error for a file that is marked as open for writing: by a program that has it open still, which then holds a
    /// lock on it, or by one that has died. Call inside the lock, after the failed call.
    private static func openElsewhere(_ path: String, _ context: HDF5Context) -> HDF5Error {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        defer { if descriptor >= 0 { Glibc.close(descriptor) } }
        let isHeld = descriptor >= 0 && flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
        if isHeld {
            return context.error(
                .inUse,
                "open",
                "another program has it open for writing; close it there and try again"
            )
        }
        return context.error(
            .damagedFile,
            "open",
            "a program that had it open for writing has died, or holds no lock on it. Where nobody writes it, `h5clear -s "
                + "\(path)` takes the mark away; whether its contents are whole is then another question"
        )
    }

    /// Opens the bytes of a file for reading; they are copied.
    package static func open(image: [UInt8], name: String = "memory") throws(HDF5Error) -> HDF5File {
        let context = HDF5Context(file: "<\(name)>")
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5File in
            let access = try makeAccess(context, inMemory: true)
            var copy = image
            let status = copy.withUnsafeMutableBytes { H5Pset_file_image(access.raw, $0.baseAddress, $0.count) }
            try context.check(status, "open")
            let raw = H5Fopen(uniqueMemoryName(), chdf5_open_read_only(), access.raw)
            let file = try context.own(raw, "open", code: .damagedFile, close: H5Fclose)
            return HDF5File(path: "<\(name)>", openedBytes: image.count, identifier: file)
        }
    }

    private static func create(
        _ name: String,
        path: String? = nil,
        userBlock: Int,
        access: HDF5Identifier,
        context: HDF5Context
    ) throws(HDF5Error) -> HDF5File {
        let creation = try context.own(H5Pcreate(chdf5_property_file_create()), "create", close: H5Pclose)
        try context.check(H5Pset_obj_track_times(creation.raw, false), "create")
        if userBlock > 0 { try context.check(H5Pset_userblock(creation.raw, hsize_t(userBlock)), "create") }
        let raw = H5Fcreate(name, chdf5_create_exclusively(), creation.raw, access.raw)
        let file = try context.own(raw, "create", close: H5Fclose)
        return HDF5File(path: path ?? name, openedBytes: nil, identifier: file)
    }

    /// The property list of access: strong close degree, so that closing the file closes what is open in it.
    private static func makeAccess(_ context: HDF5Context, inMemory: Bool) throws(HDF5Error) -> HDF5Identifier {
        let list = try context.own(H5Pcreate(chdf5_property_file_access()), "open", close: H5Pclose)
        try context.check(H5Pset_fclose_degree(list.raw, H5F_CLOSE_STRONG), "open")
        try context.check(H5Pset_libver_bounds(list.raw, H5F_LIBVER_V110, H5F_LIBVER_V110), "open")
        // Files are written under private names and published whole: a lock would guard nothing, and there are file systems
        // without a lock service, where every file would fail to open.
        try context.check(H5Pset_file_locking(list.raw, false, true), "open")
        // Large arrays start on a cache line, wherever the file is mapped.
        try context.check(H5Pset_alignment(list.raw, 4096, 64), "open")
        if inMemory { try context.check(H5Pset_fapl_core(list.raw, 1 << 20, false), "open") }
        return list
    }

    private static let memoryNames = Atomic(0)

    private static func uniqueMemoryName() -> String {
        let number = memoryNames.add(1, ordering: .relaxed).newValue
        return "pleura-memory-\(getpid())-\(number)"
    }

    // MARK: Closing

    /// Closes the file and everything open in it, and reports what the library could not write.
    ///
    /// The data is then with the operating system, not yet on the disk: HDF5 never calls fsync. A second call does
    /// nothing. Without a call the file is closed when its last user lets go, and errors are lost.
    package func close() throws(HDF5Error) {
        let context = context
        try HDF5Library.locked { () throws(HDF5Error) in
            let already = isClosed.withLock { closed in
                defer { closed = true }
                return closed
            }
            if already { return }
            // What the stack says must be read before anything else is called.
            let status = H5Fclose(identifier.raw)
            if status < 0 { identifier.isAbandoned.store(true, ordering: .relaxed) }
            try context.check(status, "close")
        }
    }

    /// Closes and removes a file being written that nobody wants any more, on a full disk too.
    ///
    /// The library insists on writing when it closes; cutting the file first gives it the room, and gives the space back
    /// even if it then keeps the descriptor.
    package func discard() {
        truncate(path, 0)
        do throws(HDF5Error) { try close() } catch { truncate(path, 0) }
        unlink(path)
    }

    /// Hands everything written so far to the operating system.
    package func flush() throws(HDF5Error) {
        let context = context
        try HDF5Library.locked { () throws(HDF5Error) in
            try requireOpen()
            try context.check(H5Fflush(identifier.raw, H5F_SCOPE_GLOBAL), "flush")
        }
    }

    /// Throws if the file is closed.
    ///
    /// Call it inside the lock.
    func requireOpen() throws(HDF5Error) {
        if isClosed.withLock({ $0 }) { throw context.error(.misuse, "use", "it is already closed") }
    }

    /// The most bytes that an object read from this file may claim: what deflate at its best could have packed into it.
    var plausibleBytes: Int {
        guard let openedBytes else { return .max }
        return openedBytes.multipliedReportingOverflow(by: 1032).partialValue &+ 1 << 20
    }
}
