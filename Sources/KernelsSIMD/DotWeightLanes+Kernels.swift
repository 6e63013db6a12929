#if BF16 && AVX512
    // Written out like `DotTile`'s kernels.

    extension DotWeightTile {
        /// 8 output channels × 48 lanes.
        @inline(never)
        static func eight3(_ job: borrowing DotWeightTile) {
            var a0 = Lanes(repeating: 0), b0 = Lanes(repeating: 0), c0 = Lanes(repeating: 0)
            var a1 = Lanes(repeating: 0), b1 = Lanes(repeating: 0), c1 = Lanes(repeating: 0)
            var a2 = Lanes(repeating: 0), b2 = Lanes(repeating: 0), c2 = Lanes(repeating: 0)
            var a3 = Lanes(repeating: 0), b3 = Lanes(repeating: 0), c3 = Lanes(repeating: 0)
            var a4 = Lanes(repeating: 0), b4 = Lanes(repeating: 0), c4 = Lanes(repeating: 0)
            var a5 = Lanes(repeating: 0), b5 = Lanes(repeating: 0), c5 = Lanes(repeating: 0)
            var a6 = Lanes(repeating: 0), b6 = Lanes(repeating: 0), c6 = Lanes(repeating: 0)
            var a7 = Lanes(repeating: 0), b7 = Lanes(repeating: 0), c7 = Lanes(repeating: 0)
            var row = job.firstRow
            while row < job.lastRow {
                var x = job.inputPairs(row: row)
                var dy = job.gradientPairs(row: row)
                var count = job.inputRowIsInside(row: row) ? job.pairs : 0
                while count > 0 {
                    let x0 = loadPairs(x)
                    let x1 = loadPairs(x + 16)
                    let x2 = loadPairs(x + 32)
                    let p0 = Pairs(repeating: dy[0])
                    a0 = dot(a0, x0, p0)
                    b0 = dot(b0, x1, p0)
                    c0 = dot(c0, x2, p0)
                    let p1 = Pairs(repeating: dy[1])
                    a1 = dot(a1, x0, p1)
                    b1 = dot(b1, x1, p1)
                    c1 = dot(c1, x2, p1)
                    let p2 = Pairs(repeating: dy[2])
                    a2 = dot(a2, x0, p2)
                    b2 = dot(b2, x1, p2)
                    c2 = dot(c2, x2, p2)
                    let p3 = Pairs(repeating: dy[3])
                    a3 = dot(a3, x0, p3)
                    b3 = dot(b3, x1, p3)
                    c3 = dot(c3, x2, p3)
                    let p4 = Pairs(repeating: dy[4])
                    a4 = dot(a4, x0, p4)
                    b4 = dot(b4, x1, p4)
                    c4 = dot(c4, x2, p4)
                    let p5 = Pairs(repeating: dy[5])
                    a5 = dot(a5, x0, p5)
                    b5 = dot(b5, x1, p5)
                    c5 = dot(c5, x2, p5)
                    let p6 = Pairs(repeating: dy[6])
                    a6 = dot(a6, x0, p6)
                    b6 = dot(b6, x1, p6)
                    c6 = dot(c6, x2, p6)
                    let p7 = Pairs(repeating: dy[7])
                    a7 = dot(a7, x0, p7)
                    b7 = dot(b7, x1, p7)
                    c7 = dot(c7, x2, p7)
                    x += job.inputStep
                    dy += job.gradientStep
                    count -= 1
                }
                row += 1
            }
            job.add(0, 0, a0)
            job.add(1, 0, b0)
            job.add(2, 0, c0)
            job.add(0, 1, a1)
            job.add(1, 1, b1)
            job.add(2, 1, c1)
            job.add(0, 2, a2)
            job.add(1, 2, b2)
            job.add(2, 2, c2)
            job.add(0, 3, a3)
            job.add(1, 3, b3)
            job.add(2, 3, c3)
            job.add(0, 4, a4)
            job.add(1, 4, b4)
            job.add(2, 4, c4)
            job.add(0, 5, a5)
            job.add(1, 5, b5)
            job.add(2, 5, c5)
            job.add(0, 6, a6)
            job.add(1, 6, b6)
            job.add(2, 6, c6)
            job.add(0, 7, a7)
            job.add(1, 7, b7)
            job.add(2, 7, c7)
        }

        /// 8 output channels × 32 lanes.
        @inline(never)
        static func eight2(_ job: borrowing DotWeightTile) {
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
                var x = job.inputPairs(row: row)
                var dy = job.gradientPairs(row: row)
                var count = job.inputRowIsInside(row: row) ? job.pairs : 0
                while count > 0 {
                    let x0 = loadPairs(x)
                    let x1 = loadPairs(x + 16)
                    let p0 = Pairs(repeating: dy[0])
                    a0 = dot(a0, x0, p0)
                    b0 = dot(b0, x1, p0)
                    let p1 = Pairs(repeating: dy[1])
                    a1 = dot(a1, x0, p1)
                    b1 = dot(b1, x1, p1)
                    let p2 = Pairs(repeating: dy[2])
                    a2 = dot(a2, x0, p2)
                    b2 = dot(b2, x1, p2)
                    let p3 = Pairs(repeating: dy[3])
                    a3 = dot(a3, x0, p3)
                    b3 = dot(b3, x1, p3)
                    let p4 = Pairs(repeating: dy[4])
                    a4 = dot(a4, x0, p4)
                    b4 = dot(b4, x1, p4)
                    let p5 = Pairs(repeating: dy[5])
                    a5 = dot(a5, x0, p5)
                    b5 = dot(b5, x1, p5)
                    let p6 = Pairs(repeating: dy[6])
                    a6 = dot(a6, x0, p6)
                    b6 = dot(b6, x1, p6)
                    let p7 = Pairs(repeating: dy[7])
                    a7 = dot(a7, x0, p7)
                    b7 = dot(b7, x1, p7)
                    x += job.inputStep
                    dy += job.gradientStep
                    count -= 1
                }
                row += 1
            }
            job.add(0, 0, a0)
            job.add(1, 0, b0)
            job.add(0, 1, a1)
            job.add(1, 1, b1)
            job.add(0, 2, a2)
            job.add(1, 2, b2)
            job.add(0, 3, a3)
            job.add(1, 3, b3)
            job.add(0, 4, a4)
            job.add(1, 4, b4)
            job.add(0, 5, a5)
            job.add(1, 5, b5)
            job.add(0, 6, a6)
            job.add(1, 6, b6)
            job.add(0, 7, a7)
            job.add(1, 7, b7)
        }

        /// 8 output channels × 16 lanes.
        @inline(never)
        static func eight1(_ job: borrowing DotWeightTile) {
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
                var x = job.inputPairs(row: row)
                var dy = job.gradientPairs(row: row)
                var count = job.inputRowIsInside(row: row) ? job.pairs : 0
                while count > 0 {
                    let x0 = loadPairs(x)
                    let p0 = Pairs(repeating: dy[0])
                    a0 = dot(a0, x0, p0)
                    let p1 = Pairs(repeating: dy[1])
                    a1 = dot(a1, x0, p1)
                    let p2 = Pairs(repeating: dy[2])
                    a2 = dot(a2, x0, p2)
                    let p3 = Pairs(repeating: dy[3])
                    a3 = dot(a3, x0, p3)
                    let p4 = Pairs(repeating: dy[4])
                    a4 = dot(a4, x0, p4)
                    let p5 = Pairs(repeating: dy[5])
                    a5 = dot(a5, x0, p5)
                    let p6 = Pairs(repeating: dy[6])
                    a6 = dot(a6, x0, p6)
                    let p7 = Pairs(repeating: dy[7])
                    a7 = dot(a7, x0, p7)
                    x += job.inputStep
                    dy += job.gradientStep
                    count -= 1
                }
                row += 1
            }
            job.add(0, 0, a0)
            job.add(0, 1, a1)
            job.add(0, 2, a2)
            job.add(0, 3, a3)
            job.add(0, 4, a4)
            job.add(0, 5, a5)
            job.add(0, 6, a6)
            job.add(0, 7, a7)
        }

        /// 1 output channel × 48 lanes.
        @inline(never)
        static func one3(_ job: borrowing DotWeightTile) {
            var a0 = Lanes(repeating: 0), b0 = Lanes(repeating: 0), c0 = Lanes(repeating: 0)
            var row = job.firstRow
            while row < job.lastRow {
                var x = job.inputPairs(row: row)
                var dy = job.gradientPairs(row: row)
                var count = job.inputRowIsInside(row: row) ? job.pairs : 0
                while count > 0 {
                    let x0 = loadPairs(x)
                    let x1 = loadPairs(x + 16)
                    let x2 = loadPairs(x + 32)
                    let p0 = Pairs(repeating: dy[0])
                    a0 = dot(a0, x0, p0)
                    b0 = dot(b0, x1, p0)
                    c0 = dot(c0, x2, p0)
                    x += job.inputStep
                    dy += job.gradientStep
                    count -= 1
                }
                row += 1
            }
            job.add(0, 0, a0)
            job.add(1, 0, b0)
            job.add(2, 0, c0)
        }

        /// 1 output channel × 32 lanes.
        @inline(never)
        static func one2(_ job: borrowing DotWeightTile) {
            var a0 = Lanes(repeating: 0), b0 = Lanes(repeating: 0)
            var row = job.firstRow
            while row < job.lastRow {
                var x = job.inputPairs(row: row)
                var dy = job.gradientPairs(row: row)
                var count = job.inputRowIsInside(row: row) ? job.pairs : 0
                while count > 0 {
                    let x0 = loadPairs(x)
                    let x1 = loadPairs(x + 16)
                    let p0 = Pairs(repeating: dy[0])
                    a0 = dot(a0, x0, p0)
                    b0 = dot(b0, x1, p0)
                    x += job.inputStep
                    dy += job.gradientStep
                    count -= 1
                }
                row += 1
            }
            job.add(0, 0, a0)
            job.add(1, 0, b0)
        }

        /// 1 output channel × 16 lanes.
        @inline(never)
        static func one1(_ job: borrowing DotWeightTile) {
            var a0 = Lanes(repeating: 0)
            var row = job.firstRow
            while row < job.lastRow {
                var x = job.inputPairs(row: row)
                var dy = job.gradientPairs(row: row)
                var count = job.inputRowIsInside(row: row) ? job.pairs : 0
                while count > 0 {
                    let x0 = loadPairs(x)
                    let p0 = Pairs(repeating: dy[0])
                    a0 = dot(a0, x0, p0)
                    x += job.inputStep
                    dy += job.gradientStep
                    count -= 1
                }
                row += 1
            }
            job.add(0, 0, a0)
        }
    }
#endif
