import CSystem
import Glibc

/// Memory of whole pages, huge ones where the kernel has them: arenas, weights, optimizer state.
///
/// Zero at first. Who may write which part when is its owner's business.
package final class PageMemory: @unchecked Sendable {
    // Immutable: an address and a size. What stands behind the address is synchronised by its users.
    package let base: UnsafeMutableRawPointer
    package let byteCount: Int

    private static let hugePage = 2 << 20
    private static let page = 4096

    /// Takes `bytes` bytes and 64 more, so that kernels may read past the end.
    ///
    /// The end that does not fill a huge page is of small ones: it takes no more than it holds.
    package init(bytes: Int) throws(SystemError) {
        let isLarge = bytes >= Self.hugePage
        let unit = isLarge ? Self.hugePage : Self.page
        byteCount = (bytes + 64 + Self.page - 1) / Self.page * Self.page
        // A huge page begins at its own multiple: map one more and keep the aligned part.
        let slack = isLarge ? Self.hugePage : 0
        guard
            let raw = mmap(
                nil,
                byteCount + slack,
                PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1,
                0
            ),
            raw != MAP_FAILED
        else {
            throw .memory(bytes: bytes, code: errno)
        }
        let address = UInt(bitPattern: raw)
        let aligned = (address + UInt(unit) - 1) / UInt(unit) * UInt(unit)
        let head = Int(aligned - address)
        if head > 0 { munmap(raw, head) }
        if slack - head > 0 { munmap(raw + head + byteCount, slack - head) }
        base = raw + head
        if isLarge { _ = system_advise_huge(base, byteCount) }
    }

    deinit { munmap(base, byteCount) }

    package var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
}
