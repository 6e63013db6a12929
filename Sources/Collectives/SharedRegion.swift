import CSystem
import Glibc
import Reduction

/// This worker's memory that peers of the same host read.
///
/// A memory file without a name: nothing stays anywhere when its processes end, however they do. Sealed once it is
/// mapped, so that no other process can ever write to it or cut it short; peers open it through `/proc/PID/fd`.
final class SharedRegion: @unchecked Sendable {
    // Written by this process's threads under the protocol of the stamps: a buffer is published with a release store
    // and written again only when all readers have released it.
    let layout: RegionLayout
    /// Where peers find it; -1 where this process may have no memory files: then nobody else sees it, and what peers need of
    /// it goes in frames.
    let descriptor: Int32
    let base: UnsafeMutableRawPointer
    private let reservation: UnsafeMutableRawBufferPointer

    /// `isShared`: whether peers are to read it; else it is memory of this process alone.
    init(
        layout: RegionLayout,
        job: UInt64,
        worker: ReductionPlan.Worker,
        incarnation: UInt64,
        isShared: Bool
    ) throws(AllreduceError) {
        self.layout = layout
        descriptor = isShared ? try Self.file("pleura-\(worker)-\(incarnation)", byteCount: layout.byteCount) : -1
        do throws(AllreduceError) {
            (base, reservation) = try mapAligned(
                descriptor,
                byteCount: layout.byteCount,
                protection: PROT_READ | PROT_WRITE
            )
        } catch {
            if descriptor >= 0 { close(descriptor) }
            throw error
        }
        system_advise_huge(base, layout.byteCount)
        try populate(0..<layout.controlBytes)
        let header: [(RegionLayout.Word, UInt64)] = [
            (.magic, RegionLayout.magic), (.version, RegionLayout.version), (.job, job), (.worker, UInt64(worker)),
            (.incarnation, incarnation), (.digest, layout.digest), (.byteCount, UInt64(layout.byteCount)),
        ]
        for (word, value) in header { store(value, at: layout.offset(of: word)) }
        guard descriptor < 0 || system_seal_single_writer(descriptor) == 0 else {
            throw .system("Cannot seal the shared region (Linux 5.1 or later is needed)", code: errno)
        }
    }

    /// A memory file of so many bytes.
    private static func file(_ name: String, byteCount: Int) throws(AllreduceError) -> Int32 {
        let descriptor = system_memory_file(name)
        guard descriptor >= 0 else { throw .noSharedMemory("memfd_create", code: errno) }
        guard ftruncate(descriptor, byteCount) == 0 else {
            let code = errno
            close(descriptor)
            // The limit on the size of files (ulimit -f) holds for memory files too.
            throw .noSharedMemory("ftruncate to \(byteCount) bytes", code: code)
        }
        return descriptor
    }

    deinit {
        munmap(reservation.baseAddress, reservation.count)
        if descriptor >= 0 { close(descriptor) }
    }

    /// Takes memory for a part of the region now: later, running out of it would end the process without a word.
    func populate(_ bytes: Range<Int>) throws(AllreduceError) {
        let lower = bytes.lowerBound & ~4095
        let upper = min((bytes.upperBound + 4095) & ~4095, layout.byteCount)
        guard upper > lower, system_populate(base + lower, upper - lower, true) != 0 else { return }
        let code = errno
        // Kernels before 5.14 do not know the call, and filters of containers may; pages then come as they are touched.
        if ![EINVAL, ENOSYS, EPERM].contains(code) {
            throw .system("Cannot take \(upper - lower) bytes of shared memory", code: code)
        }
    }

    func store(_ value: UInt64, at offset: Int) {
        system_store_release((base + offset).assumingMemoryBound(to: UInt64.self), value)
    }

    func load(at offset: Int) -> UInt64 {
        system_load_acquire((base + offset).assumingMemoryBound(to: UInt64.self))
    }

    func nodeBuffer(slot: Int) -> UnsafeMutablePointer<Float> {
        (base + layout.nodeBufferOffset(slot: slot)).assumingMemoryBound(to: Float.self)
    }

    var sums: UnsafeMutablePointer<Float> { (base + layout.sumOffset).assumingMemoryBound(to: Float.self) }
}

/// A peer's region, mapped for reading.
final class PeerRegion: @unchecked Sendable {
    // Read-only memory; words that change are read with acquire loads.
    let layout: RegionLayout
    let base: UnsafeRawPointer
    private let reservation: UnsafeMutableRawBufferPointer

    /// Opens the region that `address` names and checks that it is the one: its size, its seals and every word of its
    /// header.
    ///
    /// Throws `.unreachable` where it is not.
    init(_ address: PeerAddress, layout: RegionLayout, job: UInt64) throws(AllreduceError) {
        func refused(_ reason: String) -> AllreduceError { .unreachable(worker: address.worker, reason: reason) }
        let path = "/proc/\(address.process)/fd/\(address.region)"
        // Not blocking: the number may lead to a pipe by now.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw refused("its shared memory \(path) cannot be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size == layout.byteCount else {
            throw refused("its shared memory has \(status.st_size) bytes and not \(layout.byteCount)")
        }
        guard system_is_sealed_single_writer(descriptor) else {
            throw refused("its shared memory is not sealed against other writers")
        }
        let (base, reservation) = try mapAligned(descriptor, byteCount: layout.byteCount, protection: PROT_READ)
        self.layout = layout
        self.base = UnsafeRawPointer(base)
        self.reservation = reservation
        let expected: [(RegionLayout.Word, UInt64, String)] = [
            (.magic, RegionLayout.magic, "magic number"), (.version, RegionLayout.version, "version"),
            (.job, job, "job"), (.worker, UInt64(address.worker), "worker"),
            (.incarnation, address.incarnation, "incarnation"), (.digest, layout.digest, "layout"),
            (.byteCount, UInt64(layout.byteCount), "size"),
        ]
        for (word, value, name) in expected where load(at: layout.offset(of: word)) != value {
            throw refused("its shared memory is of another \(name)")
        }
        system_advise_huge(base, layout.byteCount)
    }

    deinit { munmap(reservation.baseAddress, reservation.count) }

    func load(at offset: Int) -> UInt64 {
        system_load_acquire((base + offset).assumingMemoryBound(to: UInt64.self))
    }

    /// The slot that holds `bucket` of the node that `stamp` names, or nil while none does.
    func slot(holding stamp: UInt64, bucket: Int) -> Int? {
        (0..<layout.nodeCapacity).first { load(at: layout.nodeStampOffset(slot: $0, bucket: bucket)) == stamp }
    }

    func nodeBuffer(slot: Int) -> UnsafePointer<Float> {
        (base + layout.nodeBufferOffset(slot: slot)).assumingMemoryBound(to: Float.self)
    }

    var sums: UnsafePointer<Float> { (base + layout.sumOffset).assumingMemoryBound(to: Float.self) }
}

/// Maps a file, or memory of this process alone where `descriptor` is -1, at an address that is a multiple of 2 MiB, as huge pages need it.
private func mapAligned(
    _ descriptor: Int32,
    byteCount: Int,
    protection: Int32
) throws(AllreduceError) -> (base: UnsafeMutableRawPointer, reservation: UnsafeMutableRawBufferPointer) {
    let huge = 2 << 20
    let reserved = byteCount + huge
    guard let start = mmap(nil, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
        start != MAP_FAILED
    else { throw .system("Cannot reserve \(reserved) bytes of address space", code: errno) }
    let aligned = UnsafeMutableRawPointer(bitPattern: (UInt(bitPattern: start) + UInt(huge - 1)) & ~UInt(huge - 1))
    let flags = MAP_FIXED | (descriptor >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS)
    guard let base = mmap(aligned, byteCount, protection, flags, descriptor, 0), base != MAP_FAILED
    else {
        let code = errno
        munmap(start, reserved)
        throw .system("Cannot map \(byteCount) bytes of shared memory", code: code)
    }
    return (base, UnsafeMutableRawBufferPointer(start: start, count: reserved))
}

/// A pipe that wakes a worker's communication thread.
///
/// Peers write a byte to it; what they write means nothing.
final class Doorbell: Sendable {
    let readEnd: Int32
    private let writeEnd: Int32

    init() throws(AllreduceError) {
        var ends: [Int32] = [-1, -1]
        guard system_pipe(&ends, false) == 0 else { throw .system("Cannot make a pipe", code: errno) }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    func ring() { Self.ring(writeEnd) }

    /// Makes the pipe unreadable until it is rung again.
    func clear() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            while read(readEnd, buffer.baseAddress, buffer.count) == buffer.count {}
        }
    }

    /// A full pipe (EAGAIN) wakes its reader anyway.
    static func ring(_ descriptor: Int32) {
        var byte: UInt8 = 1
        _ = write(descriptor, &byte, 1)
    }

    /// A peer's pipe, to ring.
    ///
    /// Opened for reading too, so that a peer's end does not raise SIGPIPE here.
    static func open(of address: PeerAddress) throws(AllreduceError) -> Int32 {
        let path = "/proc/\(address.process)/fd/\(address.doorbell)"
        let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .unreachable(
                worker: address.worker,
                reason: "its doorbell \(path) cannot be opened: \(String(cString: strerror(errno)))"
            )
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else {
            close(descriptor)
            throw .unreachable(worker: address.worker, reason: "its doorbell \(path) is not a pipe")
        }
        return descriptor
    }
}
