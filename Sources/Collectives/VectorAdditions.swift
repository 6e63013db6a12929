package import Kernels

/// The vector kernels that an all-reduce uses.
package struct VectorAdditions: Sendable {
    /// a[i] ← a[i] + b[i].
    package var add: @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void
    /// y[i] ← a[i] + b[i].
    package var sum: @Sendable (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    /// y[i] ← a[i] + b[i], operands and sum rounded to bfloat16; y may be a.
    package var sumRounded:
        @Sendable (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    /// y[i] ← the bits of x[i] as bfloat16.
    package var pack: @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void
    /// y[i] ← the value of the bfloat16 x[i].
    package var unpack: @Sendable (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void

    package init(
        add: @escaping @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void,
        sum: @escaping @Sendable (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void,
        sumRounded:
            @escaping @Sendable (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void,
        pack: @escaping @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void,
        unpack: @escaping @Sendable (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void
    ) {
        self.add = add
        self.sum = sum
        self.sumRounded = sumRounded
        self.pack = pack
        self.unpack = unpack
    }

    package init(_ kernels: KernelTable) {
        self.init(
            add: kernels.addVectors,
            sum: kernels.sumVectors,
            sumRounded: kernels.sumRounded,
            pack: kernels.packVector,
            unpack: kernels.unpackVector
        )
    }

    /// Additions for any processor; memory, not arithmetic, limits them.
    package static let portable = VectorAdditions(
        add: { a, b, count in
            var i = 0
            while i + 8 <= count {
                let x = UnsafeRawPointer(a + i).loadUnaligned(as: SIMD8<Float>.self)
                let y = UnsafeRawPointer(b + i).loadUnaligned(as: SIMD8<Float>.self)
                UnsafeMutableRawPointer(a + i).storeBytes(of: x + y, as: SIMD8<Float>.self)
                i += 8
            }
            while i < count {
                a[i] += b[i]
                i += 1
            }
        },
        sum: { a, b, y, count in
            var i = 0
            while i + 8 <= count {
                let p = UnsafeRawPointer(a + i).loadUnaligned(as: SIMD8<Float>.self)
                let q = UnsafeRawPointer(b + i).loadUnaligned(as: SIMD8<Float>.self)
                UnsafeMutableRawPointer(y + i).storeBytes(of: p + q, as: SIMD8<Float>.self)
                i += 8
            }
            while i < count {
                y[i] = a[i] + b[i]
                i += 1
            }
        },
        sumRounded: { a, b, y, count in
            for i in 0..<count {
                let sum = BFloat16.float(BFloat16.bits(a[i])) + BFloat16.float(BFloat16.bits(b[i]))
                y[i] = BFloat16.float(BFloat16.bits(sum))
            }
        },
        pack: { x, y, count in
            for i in 0..<count { y[i] = BFloat16.bits(x[i]) }
        },
        unpack: { x, y, count in
            for i in 0..<count { y[i] = BFloat16.float(x[i]) }
        }
    )
}
