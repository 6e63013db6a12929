import Foundation
package import Kernels

/// What one core of this machine can do: the limits that kernels are held against.
package struct CoreLimits: Codable, Sendable {
    /// Fused multiply-adds in registers, or dot steps where the precision is bf16.
    package var fmaGflops: Double
    /// A copy of 256 MiB: bytes read and written.
    package var copyGigabytesPerSecond: Double

    enum CodingKeys: String, CodingKey {
        case fmaGflops = "fma_limit_gflops"
        case copyGigabytesPerSecond = "copy_limit_gb_s"
    }

    /// The best of several short runs on the calling thread, since a limit is what is reached undisturbed.
    package static func measure(_ tables: KernelTables, precision: ElementFormat) -> CoreLimits {
        CoreLimits(
            fmaGflops: fmaLimit(tables[precision]),
            copyGigabytesPerSecond: copyLimit(tables.float32)
        )
    }

    /// GFLOP/s of multiply-adds in registers on the calling thread.
    package static func fmaLimit(_ table: KernelTable) -> Double {
        let iterations = 4_000_000
        let seconds = time { _ = table.fmaRounds(iterations) }.minimum
        return (table.format == .float32 ? 384 : 768) * Double(iterations) / seconds / 1e9
    }

    private static func copyLimit(_ table: KernelTable) -> Double {
        let count = 32 << 20
        let memory = Memory(count: 2 * count)
        let view = { (base: UnsafeMutablePointer<Float>) in
            TensorView(base, images: 1, height: 1, width: count / 64, channels: 64)
        }
        let seconds = time { table.copy(view(memory.base), view(memory.base + count), false) }.minimum
        return 8 * Double(count) / seconds / 1e9
    }

    /// Median and minimum over the repetitions, each at least 5 ms of calls.
    private static func time(_ body: () -> Void) -> (median: Double, minimum: Double) {
        let clock = ContinuousClock()
        func once(_ calls: Int) -> Double {
            let elapsed = clock.measure { for _ in 0..<calls { body() } }
            return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
        }
        let first = once(1)
        let calls = max(1, min(1000, Int(0.005 / max(first, 1e-9))))
        let samples = (0..<7).map { _ in once(calls) / Double(calls) }.sorted()
        return (samples[samples.count / 2], samples[0])
    }

    /// Memory on huge pages where the system has them, filled with small numbers.
    private final class Memory {
        let base: UnsafeMutablePointer<Float>
        let count: Int

        init(count: Int) {
            self.count = count
            let bytes = (count * 4 + 64 + (2 << 20) - 1) / (2 << 20) * (2 << 20)
            let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 2 << 20)
            madvise(raw, bytes, 14)
            base = raw.bindMemory(to: Float.self, capacity: bytes / 4)
            for index in 0..<bytes / 4 { base[index] = Float(index & 15) * 0.0625 - 0.4 }
        }

        deinit { UnsafeMutableRawPointer(base).deallocate() }
    }
}
