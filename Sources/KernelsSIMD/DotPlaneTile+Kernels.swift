#if BF16 && AVX512
    // The accumulators are written out, as in the other tiles: each sum is one chain of dot steps in registers.

    extension DotPlaneTile {
        /// 8 channels × 32 pixels.
        @inline(never)
        static func eight(_ job: borrowing DotPlaneTile) {
            var a0 = Lanes(repeating: 0), b0 = Lanes(repeating: 0)
            var a1 = Lanes(repeating: 0), b1 = Lanes(repeating: 0)
            var a2 = Lanes(repeating: 0), b2 = Lanes(repeating: 0)
            var a3 = Lanes(repeating: 0), b3 = Lanes(repeating: 0)
            var a4 = Lanes(repeating: 0), b4 = Lanes(repeating: 0)
            var a5 = Lanes(repeating: 0), b5 = Lanes(repeating: 0)
            var a6 = Lanes(repeating: 0), b6 = Lanes(repeating: 0)
            var a7 = Lanes(repeating: 0), b7 = Lanes(repeating: 0)
            let pairs = job.pairs
            var tap = 0
            while tap < job.taps {
                var x = job.sources[tap] + job.column
                let stride = job.strides[tap]
                var w = job.weights + job.weightOffsets[tap]
                var c = 0
                while c < pairs {
                    let u = loadPairs(x)
                    let v = loadPairs(x + 16)
                    let w0 = Pairs(repeating: w[0])
                    a0 = dot(a0, w0, u)
                    b0 = dot(b0, w0, v)
                    let w1 = Pairs(repeating: w[1])
                    a1 = dot(a1, w1, u)
                    b1 = dot(b1, w1, v)
                    let w2 = Pairs(repeating: w[2])
                    a2 = dot(a2, w2, u)
                    b2 = dot(b2, w2, v)
                    let w3 = Pairs(repeating: w[3])
                    a3 = dot(a3, w3, u)
                    b3 = dot(b3, w3, v)
                    let w4 = Pairs(repeating: w[4])
                    a4 = dot(a4, w4, u)
                    b4 = dot(b4, w4, v)
                    let w5 = Pairs(repeating: w[5])
                    a5 = dot(a5, w5, u)
                    b5 = dot(b5, w5, v)
                    let w6 = Pairs(repeating: w[6])
                    a6 = dot(a6, w6, u)
                    b6 = dot(b6, w6, v)
                    let w7 = Pairs(repeating: w[7])
                    a7 = dot(a7, w7, u)
                    b7 = dot(b7, w7, v)
                    x += stride
                    w += 16
                    c += 1
                }
                tap += 1
            }
            storeLanes(a0, job.sums + 0)
            storeLanes(b0, job.sums + 16)
            storeLanes(a1, job.sums + 32)
            storeLanes(b1, job.sums + 48)
            storeLanes(a2, job.sums + 64)
            storeLanes(b2, job.sums + 80)
            storeLanes(a3, job.sums + 96)
            storeLanes(b3, job.sums + 112)
            storeLanes(a4, job.sums + 128)
            storeLanes(b4, job.sums + 144)
            storeLanes(a5, job.sums + 160)
            storeLanes(b5, job.sums + 176)
            storeLanes(a6, job.sums + 192)
            storeLanes(b6, job.sums + 208)
            storeLanes(a7, job.sums + 224)
            storeLanes(b7, job.sums + 240)
        }

        /// 1 channel × 256 pixels.
        @inline(never)
        static func one(_ job: borrowing DotPlaneTile) {
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
            let pairs = job.pairs
            var tap = 0
            while tap < job.taps {
                var x = job.sources[tap] + job.column
                let stride = job.strides[tap]
                var w = job.weights + job.weightOffsets[tap]
                var c = 0
                while c < pairs {
                    let v = Pairs(repeating: w[0])
                    a0 = dot(a0, v, loadPairs(x + 0))
                    a1 = dot(a1, v, loadPairs(x + 16))
                    a2 = dot(a2, v, loadPairs(x + 32))
                    a3 = dot(a3, v, loadPairs(x + 48))
                    a4 = dot(a4, v, loadPairs(x + 64))
                    a5 = dot(a5, v, loadPairs(x + 80))
                    a6 = dot(a6, v, loadPairs(x + 96))
                    a7 = dot(a7, v, loadPairs(x + 112))
                    a8 = dot(a8, v, loadPairs(x + 128))
                    a9 = dot(a9, v, loadPairs(x + 144))
                    a10 = dot(a10, v, loadPairs(x + 160))
                    a11 = dot(a11, v, loadPairs(x + 176))
                    a12 = dot(a12, v, loadPairs(x + 192))
                    a13 = dot(a13, v, loadPairs(x + 208))
                    a14 = dot(a14, v, loadPairs(x + 224))
                    a15 = dot(a15, v, loadPairs(x + 240))
                    x += stride
                    w += 16
                    c += 1
                }
                tap += 1
            }
            storeLanes(a0, job.sums + 0)
            storeLanes(a1, job.sums + 16)
            storeLanes(a2, job.sums + 32)
            storeLanes(a3, job.sums + 48)
            storeLanes(a4, job.sums + 64)
            storeLanes(a5, job.sums + 80)
            storeLanes(a6, job.sums + 96)
            storeLanes(a7, job.sums + 112)
            storeLanes(a8, job.sums + 128)
            storeLanes(a9, job.sums + 144)
            storeLanes(a10, job.sums + 160)
            storeLanes(a11, job.sums + 176)
            storeLanes(a12, job.sums + 192)
            storeLanes(a13, job.sums + 208)
            storeLanes(a14, job.sums + 224)
            storeLanes(a15, job.sums + 240)
        }
    }
#endif
