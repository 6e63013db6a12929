import CIntrinsics

#if !BF16
    // The accumulators are written out: a loop over an array of them would leave the registers to the optimizer's mood.
    // Each tile keeps its sums in registers from the first tap to the last, and every sum is one fma chain.

    extension GatherTile {
        #if AVX512
            /// 12 pixels × 32 channels.
            @inline(never)
            static func wide(_ job: borrowing GatherTile) {
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
                var tap = 0
                while tap < job.taps {
                    let offset = job.weightOffsets[tap]
                    var w0 = UnsafeRawPointer(job.weights + offset)
                    var w1 = UnsafeRawPointer(job.weights + job.blockStride + offset)
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
                    repeat {
                        let u = pleura_load(w0)
                        let v = pleura_load(w1)
                        let p0 = Lanes(repeating: x0[c])
                        a0.addProduct(p0, u)
                        b0.addProduct(p0, v)
                        let p1 = Lanes(repeating: x1[c])
                        a1.addProduct(p1, u)
                        b1.addProduct(p1, v)
                        let p2 = Lanes(repeating: x2[c])
                        a2.addProduct(p2, u)
                        b2.addProduct(p2, v)
                        let p3 = Lanes(repeating: x3[c])
                        a3.addProduct(p3, u)
                        b3.addProduct(p3, v)
                        let p4 = Lanes(repeating: x4[c])
                        a4.addProduct(p4, u)
                        b4.addProduct(p4, v)
                        let p5 = Lanes(repeating: x5[c])
                        a5.addProduct(p5, u)
                        b5.addProduct(p5, v)
                        let p6 = Lanes(repeating: x6[c])
                        a6.addProduct(p6, u)
                        b6.addProduct(p6, v)
                        let p7 = Lanes(repeating: x7[c])
                        a7.addProduct(p7, u)
                        b7.addProduct(p7, v)
                        let p8 = Lanes(repeating: x8[c])
                        a8.addProduct(p8, u)
                        b8.addProduct(p8, v)
                        let p9 = Lanes(repeating: x9[c])
                        a9.addProduct(p9, u)
                        b9.addProduct(p9, v)
                        let p10 = Lanes(repeating: x10[c])
                        a10.addProduct(p10, u)
                        b10.addProduct(p10, v)
                        let p11 = Lanes(repeating: x11[c])
                        a11.addProduct(p11, u)
                        b11.addProduct(p11, v)
                        w0 += 64
                        w1 += 64
                        c += 1
                    } while c < job.depth
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
            static func narrow(_ job: borrowing GatherTile) {
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
                var tap = 0
                while tap < job.taps {
                    let offset = job.weightOffsets[tap]
                    var w0 = UnsafeRawPointer(job.weights + offset)
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
                    repeat {
                        let u = pleura_load(w0)
                        let p0 = Lanes(repeating: x0[c])
                        a0.addProduct(p0, u)
                        let p1 = Lanes(repeating: x1[c])
                        a1.addProduct(p1, u)
                        let p2 = Lanes(repeating: x2[c])
                        a2.addProduct(p2, u)
                        let p3 = Lanes(repeating: x3[c])
                        a3.addProduct(p3, u)
                        let p4 = Lanes(repeating: x4[c])
                        a4.addProduct(p4, u)
                        let p5 = Lanes(repeating: x5[c])
                        a5.addProduct(p5, u)
                        let p6 = Lanes(repeating: x6[c])
                        a6.addProduct(p6, u)
                        let p7 = Lanes(repeating: x7[c])
                        a7.addProduct(p7, u)
                        let p8 = Lanes(repeating: x8[c])
                        a8.addProduct(p8, u)
                        let p9 = Lanes(repeating: x9[c])
                        a9.addProduct(p9, u)
                        let p10 = Lanes(repeating: x10[c])
                        a10.addProduct(p10, u)
                        let p11 = Lanes(repeating: x11[c])
                        a11.addProduct(p11, u)
                        w0 += 64
                        c += 1
                    } while c < job.depth
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
        #else
            /// 6 pixels × 16 channels.
            @inline(never)
            static func narrow(_ job: borrowing GatherTile) {
                var a0 = Lanes(repeating: 0)
                var a1 = Lanes(repeating: 0)
                var a2 = Lanes(repeating: 0)
                var a3 = Lanes(repeating: 0)
                var a4 = Lanes(repeating: 0)
                var a5 = Lanes(repeating: 0)
                var pointers = job.pointers
                var tap = 0
                while tap < job.taps {
                    let offset = job.weightOffsets[tap]
                    var w0 = UnsafeRawPointer(job.weights + offset)
                    let x0 = pointers[0]
                    let x1 = pointers[1]
                    let x2 = pointers[2]
                    let x3 = pointers[3]
                    let x4 = pointers[4]
                    let x5 = pointers[5]
                    var c = 0
                    repeat {
                        let u = pleura_load(w0)
                        let p0 = Lanes(repeating: x0[c])
                        a0.addProduct(p0, u)
                        let p1 = Lanes(repeating: x1[c])
                        a1.addProduct(p1, u)
                        let p2 = Lanes(repeating: x2[c])
                        a2.addProduct(p2, u)
                        let p3 = Lanes(repeating: x3[c])
                        a3.addProduct(p3, u)
                        let p4 = Lanes(repeating: x4[c])
                        a4.addProduct(p4, u)
                        let p5 = Lanes(repeating: x5[c])
                        a5.addProduct(p5, u)
                        w0 += 64
                        c += 1
                    } while c < job.depth
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
