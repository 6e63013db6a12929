import CIntrinsics

#if !BF16
    // The accumulators are written out: a loop over an array of them would leave the registers to the optimizer's mood.
    // Each tile keeps its sums in registers from the first tap to the last, and every sum is one fma chain.

    extension WeightTile {
        #if AVX512
            /// 12 input channels × 32 output channels.
            @inline(never)
            static func wide12(_ job: borrowing WeightTile) {
                var a0 = Lanes(repeating: 0), b0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0), b1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0), b2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0), b3 = Lanes(repeating: 0)
                var a4 = Lanes(repeating: 0), b4 = Lanes(repeating: 0)
                var a5 = Lanes(repeating: 0), b5 = Lanes(repeating: 0)
                var a6 = Lanes(repeating: 0), b6 = Lanes(repeating: 0)
                var a7 = Lanes(repeating: 0), b7 = Lanes(repeating: 0)
                var a8 = Lanes(repeating: 0), b8 = Lanes(repeating: 0)
                var a9 = Lanes(repeating: 0), b9 = Lanes(repeating: 0)
                var a10 = Lanes(repeating: 0), b10 = Lanes(repeating: 0)
                var a11 = Lanes(repeating: 0), b11 = Lanes(repeating: 0)
                var row = job.firstRow
                while row < job.lastRow {
                    var x = job.inputPointer(row: row)
                    var dy = UnsafeRawPointer(job.gradientPointer(row: row))
                    var count = job.inputRowIsInside(row: row) ? job.columns : 0
                    while count > 0 {
                        let u = pleura_load(dy)
                        let v = dy.loadUnaligned(fromByteOffset: 64, as: Lanes.self)
                        let p0 = Lanes(repeating: x[0])
                        a0.addProduct(p0, u)
                        b0.addProduct(p0, v)
                        let p1 = Lanes(repeating: x[1])
                        a1.addProduct(p1, u)
                        b1.addProduct(p1, v)
                        let p2 = Lanes(repeating: x[2])
                        a2.addProduct(p2, u)
                        b2.addProduct(p2, v)
                        let p3 = Lanes(repeating: x[3])
                        a3.addProduct(p3, u)
                        b3.addProduct(p3, v)
                        let p4 = Lanes(repeating: x[4])
                        a4.addProduct(p4, u)
                        b4.addProduct(p4, v)
                        let p5 = Lanes(repeating: x[5])
                        a5.addProduct(p5, u)
                        b5.addProduct(p5, v)
                        let p6 = Lanes(repeating: x[6])
                        a6.addProduct(p6, u)
                        b6.addProduct(p6, v)
                        let p7 = Lanes(repeating: x[7])
                        a7.addProduct(p7, u)
                        b7.addProduct(p7, v)
                        let p8 = Lanes(repeating: x[8])
                        a8.addProduct(p8, u)
                        b8.addProduct(p8, v)
                        let p9 = Lanes(repeating: x[9])
                        a9.addProduct(p9, u)
                        b9.addProduct(p9, v)
                        let p10 = Lanes(repeating: x[10])
                        a10.addProduct(p10, u)
                        b10.addProduct(p10, v)
                        let p11 = Lanes(repeating: x[11])
                        a11.addProduct(p11, u)
                        b11.addProduct(p11, v)
                        x += job.inputStep
                        dy += job.gradientStep
                        count -= 1
                    }
                    row += 1
                }
                job.add(0, 0, a0)
                job.add(0, 1, b0)
                job.add(1, 0, a1)
                job.add(1, 1, b1)
                job.add(2, 0, a2)
                job.add(2, 1, b2)
                job.add(3, 0, a3)
                job.add(3, 1, b3)
                job.add(4, 0, a4)
                job.add(4, 1, b4)
                job.add(5, 0, a5)
                job.add(5, 1, b5)
                job.add(6, 0, a6)
                job.add(6, 1, b6)
                job.add(7, 0, a7)
                job.add(7, 1, b7)
                job.add(8, 0, a8)
                job.add(8, 1, b8)
                job.add(9, 0, a9)
                job.add(9, 1, b9)
                job.add(10, 0, a10)
                job.add(10, 1, b10)
                job.add(11, 0, a11)
                job.add(11, 1, b11)
            }

            /// 8 input channels × 32 output channels.
            @inline(never)
            static func wide8(_ job: borrowing WeightTile) {
                var a0 = Lanes(repeating: 0), b0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0), b1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0), b2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0), b3 = Lanes(repeating: 0)
                var a4 = Lanes(repeating: 0), b4 = Lanes(repeating: 0)
                var a5 = Lanes(repeating: 0), b5 = Lanes(repeating: 0)
                var a6 = Lanes(repeating: 0), b6 = Lanes(repeating: 0)
                var a7 = Lanes(repeating: 0), b7 = Lanes(repeating: 0)
                var row = job.firstRow
                while row < job.lastRow {
                    var x = job.inputPointer(row: row)
                    var dy = UnsafeRawPointer(job.gradientPointer(row: row))
                    var count = job.inputRowIsInside(row: row) ? job.columns : 0
                    while count > 0 {
                        let u = pleura_load(dy)
                        let v = dy.loadUnaligned(fromByteOffset: 64, as: Lanes.self)
                        let p0 = Lanes(repeating: x[0])
                        a0.addProduct(p0, u)
                        b0.addProduct(p0, v)
                        let p1 = Lanes(repeating: x[1])
                        a1.addProduct(p1, u)
                        b1.addProduct(p1, v)
                        let p2 = Lanes(repeating: x[2])
                        a2.addProduct(p2, u)
                        b2.addProduct(p2, v)
                        let p3 = Lanes(repeating: x[3])
                        a3.addProduct(p3, u)
                        b3.addProduct(p3, v)
                        let p4 = Lanes(repeating: x[4])
                        a4.addProduct(p4, u)
                        b4.addProduct(p4, v)
                        let p5 = Lanes(repeating: x[5])
                        a5.addProduct(p5, u)
                        b5.addProduct(p5, v)
                        let p6 = Lanes(repeating: x[6])
                        a6.addProduct(p6, u)
                        b6.addProduct(p6, v)
                        let p7 = Lanes(repeating: x[7])
                        a7.addProduct(p7, u)
                        b7.addProduct(p7, v)
                        x += job.inputStep
                        dy += job.gradientStep
                        count -= 1
                    }
                    row += 1
                }
                job.add(0, 0, a0)
                job.add(0, 1, b0)
                job.add(1, 0, a1)
                job.add(1, 1, b1)
                job.add(2, 0, a2)
                job.add(2, 1, b2)
                job.add(3, 0, a3)
                job.add(3, 1, b3)
                job.add(4, 0, a4)
                job.add(4, 1, b4)
                job.add(5, 0, a5)
                job.add(5, 1, b5)
                job.add(6, 0, a6)
                job.add(6, 1, b6)
                job.add(7, 0, a7)
                job.add(7, 1, b7)
            }

            /// 12 input channels × 16 output channels.
            @inline(never)
            static func narrow12(_ job: borrowing WeightTile) {
                var a0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0)
                var a4 = Lanes(repeating: 0)
                var a5 = Lanes(repeating: 0)
                var a6 = Lanes(repeating: 0)
                var a7 = Lanes(repeating: 0)
                var a8 = Lanes(repeating: 0)
                var a9 = Lanes(repeating: 0)
                var a10 = Lanes(repeating: 0)
                var a11 = Lanes(repeating: 0)
                var row = job.firstRow
                while row < job.lastRow {
                    var x = job.inputPointer(row: row)
                    var dy = UnsafeRawPointer(job.gradientPointer(row: row))
                    var count = job.inputRowIsInside(row: row) ? job.columns : 0
                    while count > 0 {
                        let u = pleura_load(dy)
                        let p0 = Lanes(repeating: x[0])
                        a0.addProduct(p0, u)
                        let p1 = Lanes(repeating: x[1])
                        a1.addProduct(p1, u)
                        let p2 = Lanes(repeating: x[2])
                        a2.addProduct(p2, u)
                        let p3 = Lanes(repeating: x[3])
                        a3.addProduct(p3, u)
                        let p4 = Lanes(repeating: x[4])
                        a4.addProduct(p4, u)
                        let p5 = Lanes(repeating: x[5])
                        a5.addProduct(p5, u)
                        let p6 = Lanes(repeating: x[6])
                        a6.addProduct(p6, u)
                        let p7 = Lanes(repeating: x[7])
                        a7.addProduct(p7, u)
                        let p8 = Lanes(repeating: x[8])
                        a8.addProduct(p8, u)
                        let p9 = Lanes(repeating: x[9])
                        a9.addProduct(p9, u)
                        let p10 = Lanes(repeating: x[10])
                        a10.addProduct(p10, u)
                        let p11 = Lanes(repeating: x[11])
                        a11.addProduct(p11, u)
                        x += job.inputStep
                        dy += job.gradientStep
                        count -= 1
                    }
                    row += 1
                }
                job.add(0, 0, a0)
                job.add(1, 0, a1)
                job.add(2, 0, a2)
                job.add(3, 0, a3)
                job.add(4, 0, a4)
                job.add(5, 0, a5)
                job.add(6, 0, a6)
                job.add(7, 0, a7)
                job.add(8, 0, a8)
                job.add(9, 0, a9)
                job.add(10, 0, a10)
                job.add(11, 0, a11)
            }

            /// 8 input channels × 16 output channels.
            @inline(never)
            static func narrow8(_ job: borrowing WeightTile) {
                var a0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0)
                var a4 = Lanes(repeating: 0)
                var a5 = Lanes(repeating: 0)
                var a6 = Lanes(repeating: 0)
                var a7 = Lanes(repeating: 0)
                var row = job.firstRow
                while row < job.lastRow {
                    var x = job.inputPointer(row: row)
                    var dy = UnsafeRawPointer(job.gradientPointer(row: row))
                    var count = job.inputRowIsInside(row: row) ? job.columns : 0
                    while count > 0 {
                        let u = pleura_load(dy)
                        let p0 = Lanes(repeating: x[0])
                        a0.addProduct(p0, u)
                        let p1 = Lanes(repeating: x[1])
                        a1.addProduct(p1, u)
                        let p2 = Lanes(repeating: x[2])
                        a2.addProduct(p2, u)
                        let p3 = Lanes(repeating: x[3])
                        a3.addProduct(p3, u)
                        let p4 = Lanes(repeating: x[4])
                        a4.addProduct(p4, u)
                        let p5 = Lanes(repeating: x[5])
                        a5.addProduct(p5, u)
                        let p6 = Lanes(repeating: x[6])
                        a6.addProduct(p6, u)
                        let p7 = Lanes(repeating: x[7])
                        a7.addProduct(p7, u)
                        x += job.inputStep
                        dy += job.gradientStep
                        count -= 1
                    }
                    row += 1
                }
                job.add(0, 0, a0)
                job.add(1, 0, a1)
                job.add(2, 0, a2)
                job.add(3, 0, a3)
                job.add(4, 0, a4)
                job.add(5, 0, a5)
                job.add(6, 0, a6)
                job.add(7, 0, a7)
            }
        #else
            /// 6 input channels × 16 output channels.
            @inline(never)
            static func narrow6(_ job: borrowing WeightTile) {
                var a0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0)
                var a4 = Lanes(repeating: 0)
                var a5 = Lanes(repeating: 0)
                var row = job.firstRow
                while row < job.lastRow {
                    var x = job.inputPointer(row: row)
                    var dy = UnsafeRawPointer(job.gradientPointer(row: row))
                    var count = job.inputRowIsInside(row: row) ? job.columns : 0
                    while count > 0 {
                        let u = pleura_load(dy)
                        let p0 = Lanes(repeating: x[0])
                        a0.addProduct(p0, u)
                        let p1 = Lanes(repeating: x[1])
                        a1.addProduct(p1, u)
                        let p2 = Lanes(repeating: x[2])
                        a2.addProduct(p2, u)
                        let p3 = Lanes(repeating: x[3])
                        a3.addProduct(p3, u)
                        let p4 = Lanes(repeating: x[4])
                        a4.addProduct(p4, u)
                        let p5 = Lanes(repeating: x[5])
                        a5.addProduct(p5, u)
                        x += job.inputStep
                        dy += job.gradientStep
                        count -= 1
                    }
                    row += 1
                }
                job.add(0, 0, a0)
                job.add(1, 0, a1)
                job.add(2, 0, a2)
                job.add(3, 0, a3)
                job.add(4, 0, a4)
                job.add(5, 0, a5)
            }

            /// 4 input channels × 16 output channels.
            @inline(never)
            static func narrow4(_ job: borrowing WeightTile) {
                var a0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0)
                var row = job.firstRow
                while row < job.lastRow {
                    var x = job.inputPointer(row: row)
                    var dy = UnsafeRawPointer(job.gradientPointer(row: row))
                    var count = job.inputRowIsInside(row: row) ? job.columns : 0
                    while count > 0 {
                        let u = pleura_load(dy)
                        let p0 = Lanes(repeating: x[0])
                        a0.addProduct(p0, u)
                        let p1 = Lanes(repeating: x[1])
                        a1.addProduct(p1, u)
                        let p2 = Lanes(repeating: x[2])
                        a2.addProduct(p2, u)
                        let p3 = Lanes(repeating: x[3])
                        a3.addProduct(p3, u)
                        x += job.inputStep
                        dy += job.gradientStep
                        count -= 1
                    }
                    row += 1
                }
                job.add(0, 0, a0)
                job.add(1, 0, a1)
                job.add(2, 0, a2)
                job.add(3, 0, a3)
            }
        #endif
    }
#endif
