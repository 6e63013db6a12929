#if BF16
    // The accumulators are written out, as in the tiles over `Float`: each sum is one chain of dot products in registers.

    extension DotTile {
        #if AVX512
            /// 12 pixels × 32 channels.
            @inline(never)
            static func wide(_ job: borrowing DotTile) {
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
                var pointers = job.pointers
                let pairs = job.pairs
                var tap = 0
                while tap < job.taps {
                    var w0 = job.weights + job.weightOffsets[tap]
                    var w1 = w0 + job.blockStride
                    let x0 = pointers[0]
                    let x1 = pointers[1]
                    let x2 = pointers[2]
                    let x3 = pointers[3]
                    let x4 = pointers[4]
                    let x5 = pointers[5]
                    let x6 = pointers[6]
                    let x7 = pointers[7]
                    let x8 = pointers[8]
                    let x9 = pointers[9]
                    let x10 = pointers[10]
                    let x11 = pointers[11]
                    var c = 0
                    while c < pairs {
                        let u = loadPairs(w0)
                        let v = loadPairs(w1)
                        let p0 = Pairs(repeating: x0[c])
                        a0 = dot(a0, p0, u)
                        b0 = dot(b0, p0, v)
                        let p1 = Pairs(repeating: x1[c])
                        a1 = dot(a1, p1, u)
                        b1 = dot(b1, p1, v)
                        let p2 = Pairs(repeating: x2[c])
                        a2 = dot(a2, p2, u)
                        b2 = dot(b2, p2, v)
                        let p3 = Pairs(repeating: x3[c])
                        a3 = dot(a3, p3, u)
                        b3 = dot(b3, p3, v)
                        let p4 = Pairs(repeating: x4[c])
                        a4 = dot(a4, p4, u)
                        b4 = dot(b4, p4, v)
                        let p5 = Pairs(repeating: x5[c])
                        a5 = dot(a5, p5, u)
                        b5 = dot(b5, p5, v)
                        let p6 = Pairs(repeating: x6[c])
                        a6 = dot(a6, p6, u)
                        b6 = dot(b6, p6, v)
                        let p7 = Pairs(repeating: x7[c])
                        a7 = dot(a7, p7, u)
                        b7 = dot(b7, p7, v)
                        let p8 = Pairs(repeating: x8[c])
                        a8 = dot(a8, p8, u)
                        b8 = dot(b8, p8, v)
                        let p9 = Pairs(repeating: x9[c])
                        a9 = dot(a9, p9, u)
                        b9 = dot(b9, p9, v)
                        let p10 = Pairs(repeating: x10[c])
                        a10 = dot(a10, p10, u)
                        b10 = dot(b10, p10, v)
                        let p11 = Pairs(repeating: x11[c])
                        a11 = dot(a11, p11, u)
                        b11 = dot(b11, p11, v)
                        w0 += 16
                        w1 += 16
                        c += 1
                    }
                    pointers += 12
                    tap += 1
                }
                job.store(0, 0, a0)
                job.store(0, 1, b0)
                job.store(1, 0, a1)
                job.store(1, 1, b1)
                job.store(2, 0, a2)
                job.store(2, 1, b2)
                job.store(3, 0, a3)
                job.store(3, 1, b3)
                job.store(4, 0, a4)
                job.store(4, 1, b4)
                job.store(5, 0, a5)
                job.store(5, 1, b5)
                job.store(6, 0, a6)
                job.store(6, 1, b6)
                job.store(7, 0, a7)
                job.store(7, 1, b7)
                job.store(8, 0, a8)
                job.store(8, 1, b8)
                job.store(9, 0, a9)
                job.store(9, 1, b9)
                job.store(10, 0, a10)
                job.store(10, 1, b10)
                job.store(11, 0, a11)
                job.store(11, 1, b11)
            }

            /// 12 pixels × 16 channels.
            @inline(never)
            static func narrow(_ job: borrowing DotTile) {
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
                var pointers = job.pointers
                let pairs = job.pairs
                var tap = 0
                while tap < job.taps {
                    var w0 = job.weights + job.weightOffsets[tap]
                    let x0 = pointers[0]
                    let x1 = pointers[1]
                    let x2 = pointers[2]
                    let x3 = pointers[3]
                    let x4 = pointers[4]
                    let x5 = pointers[5]
                    let x6 = pointers[6]
                    let x7 = pointers[7]
                    let x8 = pointers[8]
                    let x9 = pointers[9]
                    let x10 = pointers[10]
                    let x11 = pointers[11]
                    var c = 0
                    while c < pairs {
                        let u = loadPairs(w0)
                        let p0 = Pairs(repeating: x0[c])
                        a0 = dot(a0, p0, u)
                        let p1 = Pairs(repeating: x1[c])
                        a1 = dot(a1, p1, u)
                        let p2 = Pairs(repeating: x2[c])
                        a2 = dot(a2, p2, u)
                        let p3 = Pairs(repeating: x3[c])
                        a3 = dot(a3, p3, u)
                        let p4 = Pairs(repeating: x4[c])
                        a4 = dot(a4, p4, u)
                        let p5 = Pairs(repeating: x5[c])
                        a5 = dot(a5, p5, u)
                        let p6 = Pairs(repeating: x6[c])
                        a6 = dot(a6, p6, u)
                        let p7 = Pairs(repeating: x7[c])
                        a7 = dot(a7, p7, u)
                        let p8 = Pairs(repeating: x8[c])
                        a8 = dot(a8, p8, u)
                        let p9 = Pairs(repeating: x9[c])
                        a9 = dot(a9, p9, u)
                        let p10 = Pairs(repeating: x10[c])
                        a10 = dot(a10, p10, u)
                        let p11 = Pairs(repeating: x11[c])
                        a11 = dot(a11, p11, u)
                        w0 += 16
                        c += 1
                    }
                    pointers += 12
                    tap += 1
                }
                job.store(0, 0, a0)
                job.store(1, 0, a1)
                job.store(2, 0, a2)
                job.store(3, 0, a3)
                job.store(4, 0, a4)
                job.store(5, 0, a5)
                job.store(6, 0, a6)
                job.store(7, 0, a7)
                job.store(8, 0, a8)
                job.store(9, 0, a9)
                job.store(10, 0, a10)
                job.store(11, 0, a11)
            }

            /// 24 pixels × 16 channels.
            @inline(never)
            static func tall(_ job: borrowing DotTile) {
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
                var a12 = Lanes(repeating: 0)
                var a13 = Lanes(repeating: 0)
                var a14 = Lanes(repeating: 0)
                var a15 = Lanes(repeating: 0)
                var a16 = Lanes(repeating: 0)
                var a17 = Lanes(repeating: 0)
                var a18 = Lanes(repeating: 0)
                var a19 = Lanes(repeating: 0)
                var a20 = Lanes(repeating: 0)
                var a21 = Lanes(repeating: 0)
                var a22 = Lanes(repeating: 0)
                var a23 = Lanes(repeating: 0)
                var pointers = job.pointers
                let pairs = job.pairs
                var tap = 0
                while tap < job.taps {
                    var w0 = job.weights + job.weightOffsets[tap]
                    let x0 = pointers[0]
                    let x1 = pointers[1]
                    let x2 = pointers[2]
                    let x3 = pointers[3]
                    let x4 = pointers[4]
                    let x5 = pointers[5]
                    let x6 = pointers[6]
                    let x7 = pointers[7]
                    let x8 = pointers[8]
                    let x9 = pointers[9]
                    let x10 = pointers[10]
                    let x11 = pointers[11]
                    let x12 = pointers[12]
                    let x13 = pointers[13]
                    let x14 = pointers[14]
                    let x15 = pointers[15]
                    let x16 = pointers[16]
                    let x17 = pointers[17]
                    let x18 = pointers[18]
                    let x19 = pointers[19]
                    let x20 = pointers[20]
                    let x21 = pointers[21]
                    let x22 = pointers[22]
                    let x23 = pointers[23]
                    var c = 0
                    while c < pairs {
                        let u = loadPairs(w0)
                        let p0 = Pairs(repeating: x0[c])
                        a0 = dot(a0, p0, u)
                        let p1 = Pairs(repeating: x1[c])
                        a1 = dot(a1, p1, u)
                        let p2 = Pairs(repeating: x2[c])
                        a2 = dot(a2, p2, u)
                        let p3 = Pairs(repeating: x3[c])
                        a3 = dot(a3, p3, u)
                        let p4 = Pairs(repeating: x4[c])
                        a4 = dot(a4, p4, u)
                        let p5 = Pairs(repeating: x5[c])
                        a5 = dot(a5, p5, u)
                        let p6 = Pairs(repeating: x6[c])
                        a6 = dot(a6, p6, u)
                        let p7 = Pairs(repeating: x7[c])
                        a7 = dot(a7, p7, u)
                        let p8 = Pairs(repeating: x8[c])
                        a8 = dot(a8, p8, u)
                        let p9 = Pairs(repeating: x9[c])
                        a9 = dot(a9, p9, u)
                        let p10 = Pairs(repeating: x10[c])
                        a10 = dot(a10, p10, u)
                        let p11 = Pairs(repeating: x11[c])
                        a11 = dot(a11, p11, u)
                        let p12 = Pairs(repeating: x12[c])
                        a12 = dot(a12, p12, u)
                        let p13 = Pairs(repeating: x13[c])
                        a13 = dot(a13, p13, u)
                        let p14 = Pairs(repeating: x14[c])
                        a14 = dot(a14, p14, u)
                        let p15 = Pairs(repeating: x15[c])
                        a15 = dot(a15, p15, u)
                        let p16 = Pairs(repeating: x16[c])
                        a16 = dot(a16, p16, u)
                        let p17 = Pairs(repeating: x17[c])
                        a17 = dot(a17, p17, u)
                        let p18 = Pairs(repeating: x18[c])
                        a18 = dot(a18, p18, u)
                        let p19 = Pairs(repeating: x19[c])
                        a19 = dot(a19, p19, u)
                        let p20 = Pairs(repeating: x20[c])
                        a20 = dot(a20, p20, u)
                        let p21 = Pairs(repeating: x21[c])
                        a21 = dot(a21, p21, u)
                        let p22 = Pairs(repeating: x22[c])
                        a22 = dot(a22, p22, u)
                        let p23 = Pairs(repeating: x23[c])
                        a23 = dot(a23, p23, u)
                        w0 += 16
                        c += 1
                    }
                    pointers += 24
                    tap += 1
                }
                job.store(0, 0, a0)
                job.store(1, 0, a1)
                job.store(2, 0, a2)
                job.store(3, 0, a3)
                job.store(4, 0, a4)
                job.store(5, 0, a5)
                job.store(6, 0, a6)
                job.store(7, 0, a7)
                job.store(8, 0, a8)
                job.store(9, 0, a9)
                job.store(10, 0, a10)
                job.store(11, 0, a11)
                job.store(12, 0, a12)
                job.store(13, 0, a13)
                job.store(14, 0, a14)
                job.store(15, 0, a15)
                job.store(16, 0, a16)
                job.store(17, 0, a17)
                job.store(18, 0, a18)
                job.store(19, 0, a19)
                job.store(20, 0, a20)
                job.store(21, 0, a21)
                job.store(22, 0, a22)
                job.store(23, 0, a23)
            }
        #else
            /// 6 pixels × 16 channels.
            @inline(never)
            static func narrow(_ job: borrowing DotTile) {
                var a0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0)
                var a4 = Lanes(repeating: 0)
                var a5 = Lanes(repeating: 0)
                var pointers = job.pointers
                let pairs = job.pairs
                var tap = 0
                while tap < job.taps {
                    var w0 = job.weights + job.weightOffsets[tap]
                    let x0 = pointers[0]
                    let x1 = pointers[1]
                    let x2 = pointers[2]
                    let x3 = pointers[3]
                    let x4 = pointers[4]
                    let x5 = pointers[5]
                    var c = 0
                    while c < pairs {
                        let u = loadPairs(w0)
                        let p0 = Pairs(repeating: x0[c])
                        a0 = dot(a0, p0, u)
                        let p1 = Pairs(repeating: x1[c])
                        a1 = dot(a1, p1, u)
                        let p2 = Pairs(repeating: x2[c])
                        a2 = dot(a2, p2, u)
                        let p3 = Pairs(repeating: x3[c])
                        a3 = dot(a3, p3, u)
                        let p4 = Pairs(repeating: x4[c])
                        a4 = dot(a4, p4, u)
                        let p5 = Pairs(repeating: x5[c])
                        a5 = dot(a5, p5, u)
                        w0 += 16
                        c += 1
                    }
                    pointers += 6
                    tap += 1
                }
                job.store(0, 0, a0)
                job.store(1, 0, a1)
                job.store(2, 0, a2)
                job.store(3, 0, a3)
                job.store(4, 0, a4)
                job.store(5, 0, a5)
            }
        #endif
    }
#endif
