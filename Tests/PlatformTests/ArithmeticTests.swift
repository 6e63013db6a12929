import Glibc
import Platform
import Synchronization
import Testing

/// Threads whose results reach weights round to the nearest number, whatever was done to them.
@Suite struct ThreadArithmeticTests {
    // The names of these numbers are ambiguous in Swift: macros and members of an enumeration.
    private static let toNearest: Int32 = 0
    private static let downward: Int32 = 0x400
    private static let upward: Int32 = 0x800
    private static let towardZero: Int32 = 0xC00

    /// The last bit of what a third of a number is depends on how it is rounded.
    ///
    /// Never inlined and of a number that is not known before: the compiler divides early, and moves divisions over calls
    /// that change the rounding.
    @inline(never)
    private static func third() -> Double { Double(3 * Int(getpid()) + 1) / 3 }

    private static let nearest = third()

    @Test(.timeLimit(.minutes(15)))
    func aThreadDoesNotInheritAnotherRounding() throws {
        let nearest = Self.nearest
        fesetround(Self.downward)
        let lower = Self.third()
        fesetround(Self.upward)
        // One of them is the nearest number.
        let isChanged = Self.third() != lower
        let found = Mutex<Double>(0)
        let thread = try OwnedThread(name: "test") { found.withLock { $0 = Self.third() } }
        fesetround(Self.toNearest)
        thread.join()
        #expect(isChanged && found.withLock { $0 } == nearest)
    }

    @Test(.timeLimit(.minutes(15)))
    func aJobDoesNotChangeThoseAfterIt() throws {
        let nearest = Self.nearest
        let pool = try ComputePool(threads: 2)
        defer { pool.close() }
        let serial = try SerialThread(name: "test")
        for mode in [Self.upward, Self.downward, Self.towardZero] {
            pool.runOnAll { _, _, _ in fesetround(mode) }
            let found = Mutex<[Double]>([])
            pool.runOnAll { _, _, _ in found.withLock { $0.append(Self.third()) } }
            #expect(found.withLock { $0 } == [nearest, nearest])
            serial.submit { fesetround(mode) }
            let done = CountDown(1)
            serial.submit {
                found.withLock { $0.append(Self.third()) }
                done.signal()
            }
            done.wait()
            #expect(found.withLock { $0.last } == nearest)
        }
        serial.close()
    }

    @Test(
        arguments: [
            (0x1F80, nil), (0x1FBF, nil), (0x3F80, "rounds down"), (0x5F80, "rounds up"),
            (0x7F80, "rounds toward zero"),
            (0x9FC0, "flushes small results to zero, takes small operands for zero"), (0x0F80, "traps on some results"),
        ] as [(UInt32, String?)]
    )
    func aRegisterIsTold(word: UInt32, words: String?) {
        #expect(Arithmetic.difference(of: word) == words)
    }
}
