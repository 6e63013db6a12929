import CIntrinsics

// The accumulators are written out: a loop over an array of them would leave the registers to the optimizer's mood.

extension ProductTile {
    #if AVX512
        /// 12 tiles × 32 channels.
        @inline(never)
        static func wide12(_ job: borrowing ProductTile) {
            var a0 = job.start(0, 0), b0 = job.start(0, 1)
            var a1 = job.start(1, 0), b1 = job.start(1, 1)
            var a2 = job.start(2, 0), b2 = job.start(2, 1)
            var a3 = job.start(3, 0), b3 = job.start(3, 1)
            var a4 = job.start(4, 0), b4 = job.start(4, 1)
            var a5 = job.start(5, 0), b5 = job.start(5, 1)
            var a6 = job.start(6, 0), b6 = job.start(6, 1)
            var a7 = job.start(7, 0), b7 = job.start(7, 1)
            var a8 = job.start(8, 0), b8 = job.start(8, 1)
            var a9 = job.start(9, 0), b9 = job.start(9, 1)
            var a10 = job.start(10, 0), b10 = job.start(10, 1)
            var a11 = job.start(11, 0), b11 = job.start(11, 1)
            var patches = job.patches
            var weights = job.weights
            var ahead0 = job.ahead.0
            var ahead1 = job.ahead.1
            var ahead2 = job.ahead.2
            var left = job.depth
            while left > 0 {
                pleura_prefetch(ahead0)
                pleura_prefetch(ahead1)
                pleura_prefetch(ahead2)
                ahead0 += job.aheadStep
                ahead1 += job.aheadStep
                ahead2 += job.aheadStep
                var steps = min(packedLanes, left)
                left -= steps
                var x = patches
                while steps > 0 {
                    let u = loadWords(weights)
                    let v = loadWords(weights + 64)
                    let p0 = repeatWord(x)
                    a0.addProduct(p0, u)
                    b0.addProduct(p0, v)
                    let p1 = repeatWord(x + tileBytes)
                    a1.addProduct(p1, u)
                    b1.addProduct(p1, v)
                    let p2 = repeatWord(x + 2 * tileBytes)
                    a2.addProduct(p2, u)
                    b2.addProduct(p2, v)
                    let p3 = repeatWord(x + 3 * tileBytes)
                    a3.addProduct(p3, u)
                    b3.addProduct(p3, v)
                    let p4 = repeatWord(x + 4 * tileBytes)
                    a4.addProduct(p4, u)
                    b4.addProduct(p4, v)
                    let p5 = repeatWord(x + 5 * tileBytes)
                    a5.addProduct(p5, u)
                    b5.addProduct(p5, v)
                    let p6 = repeatWord(x + 6 * tileBytes)
                    a6.addProduct(p6, u)
                    b6.addProduct(p6, v)
                    let p7 = repeatWord(x + 7 * tileBytes)
                    a7.addProduct(p7, u)
                    b7.addProduct(p7, v)
                    let p8 = repeatWord(x + 8 * tileBytes)
                    a8.addProduct(p8, u)
                    b8.addProduct(p8, v)
                    let p9 = repeatWord(x + 9 * tileBytes)
                    a9.addProduct(p9, u)
                    b9.addProduct(p9, v)
                    let p10 = repeatWord(x + 10 * tileBytes)
                    a10.addProduct(p10, u)
                    b10.addProduct(p10, v)
                    let p11 = repeatWord(x + 11 * tileBytes)
                    a11.addProduct(p11, u)
                    b11.addProduct(p11, v)
                    x += 4
                    weights += 128
                    steps -= 1
                }
                patches += tileBytes * ProductTile.size
            }
            job.keep(0, 0, a0)
            job.keep(0, 1, b0)
            job.keep(1, 0, a1)
            job.keep(1, 1, b1)
            job.keep(2, 0, a2)
            job.keep(2, 1, b2)
            job.keep(3, 0, a3)
            job.keep(3, 1, b3)
            job.keep(4, 0, a4)
            job.keep(4, 1, b4)
            job.keep(5, 0, a5)
            job.keep(5, 1, b5)
            job.keep(6, 0, a6)
            job.keep(6, 1, b6)
            job.keep(7, 0, a7)
            job.keep(7, 1, b7)
            job.keep(8, 0, a8)
            job.keep(8, 1, b8)
            job.keep(9, 0, a9)
            job.keep(9, 1, b9)
            job.keep(10, 0, a10)
            job.keep(10, 1, b10)
            job.keep(11, 0, a11)
            job.keep(11, 1, b11)
        }

        /// 4 tiles × 32 channels.
        @inline(never)
        static func wide4(_ job: borrowing ProductTile) {
            var a0 = job.start(0, 0), b0 = job.start(0, 1)
            var a1 = job.start(1, 0), b1 = job.start(1, 1)
            var a2 = job.start(2, 0), b2 = job.start(2, 1)
            var a3 = job.start(3, 0), b3 = job.start(3, 1)
            var patches = job.patches
            var weights = job.weights
            var ahead0 = job.ahead.0
            var ahead1 = job.ahead.1
            var ahead2 = job.ahead.2
            var left = job.depth
            while left > 0 {
                pleura_prefetch(ahead0)
                pleura_prefetch(ahead1)
                pleura_prefetch(ahead2)
                ahead0 += job.aheadStep
                ahead1 += job.aheadStep
                ahead2 += job.aheadStep
                var steps = min(packedLanes, left)
                left -= steps
                var x = patches
                while steps > 0 {
                    let u = loadWords(weights)
                    let v = loadWords(weights + 64)
                    let p0 = repeatWord(x)
                    a0.addProduct(p0, u)
                    b0.addProduct(p0, v)
                    let p1 = repeatWord(x + tileBytes)
                    a1.addProduct(p1, u)
                    b1.addProduct(p1, v)
                    let p2 = repeatWord(x + 2 * tileBytes)
                    a2.addProduct(p2, u)
                    b2.addProduct(p2, v)
                    let p3 = repeatWord(x + 3 * tileBytes)
                    a3.addProduct(p3, u)
                    b3.addProduct(p3, v)
                    x += 4
                    weights += 128
                    steps -= 1
                }
                patches += tileBytes * ProductTile.size
            }
            job.keep(0, 0, a0)
            job.keep(0, 1, b0)
            job.keep(1, 0, a1)
            job.keep(1, 1, b1)
            job.keep(2, 0, a2)
            job.keep(2, 1, b2)
            job.keep(3, 0, a3)
            job.keep(3, 1, b3)
        }

        /// 12 tiles × 16 channels.
        @inline(never)
        static func narrow12(_ job: borrowing ProductTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var a2 = job.start(2, 0)
            var a3 = job.start(3, 0)
            var a4 = job.start(4, 0)
            var a5 = job.start(5, 0)
            var a6 = job.start(6, 0)
            var a7 = job.start(7, 0)
            var a8 = job.start(8, 0)
            var a9 = job.start(9, 0)
            var a10 = job.start(10, 0)
            var a11 = job.start(11, 0)
            var patches = job.patches
            var weights = job.weights
            var ahead0 = job.ahead.0
            var ahead1 = job.ahead.1
            var ahead2 = job.ahead.2
            var left = job.depth
            while left > 0 {
                pleura_prefetch(ahead0)
                pleura_prefetch(ahead1)
                pleura_prefetch(ahead2)
                ahead0 += job.aheadStep
                ahead1 += job.aheadStep
                ahead2 += job.aheadStep
                var steps = min(packedLanes, left)
                left -= steps
                var x = patches
                while steps > 0 {
                    let u = loadWords(weights)
                    let p0 = repeatWord(x)
                    a0.addProduct(p0, u)
                    let p1 = repeatWord(x + tileBytes)
                    a1.addProduct(p1, u)
                    let p2 = repeatWord(x + 2 * tileBytes)
                    a2.addProduct(p2, u)
                    let p3 = repeatWord(x + 3 * tileBytes)
                    a3.addProduct(p3, u)
                    let p4 = repeatWord(x + 4 * tileBytes)
                    a4.addProduct(p4, u)
                    let p5 = repeatWord(x + 5 * tileBytes)
                    a5.addProduct(p5, u)
                    let p6 = repeatWord(x + 6 * tileBytes)
                    a6.addProduct(p6, u)
                    let p7 = repeatWord(x + 7 * tileBytes)
                    a7.addProduct(p7, u)
                    let p8 = repeatWord(x + 8 * tileBytes)
                    a8.addProduct(p8, u)
                    let p9 = repeatWord(x + 9 * tileBytes)
                    a9.addProduct(p9, u)
                    let p10 = repeatWord(x + 10 * tileBytes)
                    a10.addProduct(p10, u)
                    let p11 = repeatWord(x + 11 * tileBytes)
                    a11.addProduct(p11, u)
                    x += 4
                    weights += 64
                    steps -= 1
                }
                patches += tileBytes * ProductTile.size
            }
            job.keep(0, 0, a0)
            job.keep(1, 0, a1)
            job.keep(2, 0, a2)
            job.keep(3, 0, a3)
            job.keep(4, 0, a4)
            job.keep(5, 0, a5)
            job.keep(6, 0, a6)
            job.keep(7, 0, a7)
            job.keep(8, 0, a8)
            job.keep(9, 0, a9)
            job.keep(10, 0, a10)
            job.keep(11, 0, a11)
        }

        /// 4 tiles × 16 channels.
        @inline(never)
        static func narrow4(_ job: borrowing ProductTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var a2 = job.start(2, 0)
            var a3 = job.start(3, 0)
            var patches = job.patches
            var weights = job.weights
            var ahead0 = job.ahead.0
            var ahead1 = job.ahead.1
            var ahead2 = job.ahead.2
            var left = job.depth
            while left > 0 {
                pleura_prefetch(ahead0)
                pleura_prefetch(ahead1)
                pleura_prefetch(ahead2)
                ahead0 += job.aheadStep
                ahead1 += job.aheadStep
                ahead2 += job.aheadStep
                var steps = min(packedLanes, left)
                left -= steps
                var x = patches
                while steps > 0 {
                    let u = loadWords(weights)
                    let p0 = repeatWord(x)
                    a0.addProduct(p0, u)
                    let p1 = repeatWord(x + tileBytes)
                    a1.addProduct(p1, u)
                    let p2 = repeatWord(x + 2 * tileBytes)
                    a2.addProduct(p2, u)
                    let p3 = repeatWord(x + 3 * tileBytes)
                    a3.addProduct(p3, u)
                    x += 4
                    weights += 64
                    steps -= 1
                }
                patches += tileBytes * ProductTile.size
            }
            job.keep(0, 0, a0)
            job.keep(1, 0, a1)
            job.keep(2, 0, a2)
            job.keep(3, 0, a3)
        }
    #else
        /// 6 tiles × 16 channels.
        @inline(never)
        static func narrow6(_ job: borrowing ProductTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var a2 = job.start(2, 0)
            var a3 = job.start(3, 0)
            var a4 = job.start(4, 0)
            var a5 = job.start(5, 0)
            var patches = job.patches
            var weights = job.weights
            var ahead0 = job.ahead.0
            var ahead1 = job.ahead.1
            var ahead2 = job.ahead.2
            var left = job.depth
            while left > 0 {
                pleura_prefetch(ahead0)
                pleura_prefetch(ahead1)
                pleura_prefetch(ahead2)
                ahead0 += job.aheadStep
                ahead1 += job.aheadStep
                ahead2 += job.aheadStep
                var steps = min(packedLanes, left)
                left -= steps
                var x = patches
                while steps > 0 {
                    let u = loadWords(weights)
                    let p0 = repeatWord(x)
                    a0.addProduct(p0, u)
                    let p1 = repeatWord(x + tileBytes)
                    a1.addProduct(p1, u)
                    let p2 = repeatWord(x + 2 * tileBytes)
                    a2.addProduct(p2, u)
                    let p3 = repeatWord(x + 3 * tileBytes)
                    a3.addProduct(p3, u)
                    let p4 = repeatWord(x + 4 * tileBytes)
                    a4.addProduct(p4, u)
                    let p5 = repeatWord(x + 5 * tileBytes)
                    a5.addProduct(p5, u)
                    x += 4
                    weights += 64
                    steps -= 1
                }
                patches += tileBytes * ProductTile.size
            }
            job.keep(0, 0, a0)
            job.keep(1, 0, a1)
            job.keep(2, 0, a2)
            job.keep(3, 0, a3)
            job.keep(4, 0, a4)
            job.keep(5, 0, a5)
        }

        /// 2 tiles × 16 channels.
        @inline(never)
        static func narrow2(_ job: borrowing ProductTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var patches = job.patches
            var weights = job.weights
            var ahead0 = job.ahead.0
            var ahead1 = job.ahead.1
            var ahead2 = job.ahead.2
            var left = job.depth
            while left > 0 {
                pleura_prefetch(ahead0)
                pleura_prefetch(ahead1)
                pleura_prefetch(ahead2)
                ahead0 += job.aheadStep
                ahead1 += job.aheadStep
                ahead2 += job.aheadStep
                var steps = min(packedLanes, left)
                left -= steps
                var x = patches
                while steps > 0 {
                    let u = loadWords(weights)
                    let p0 = repeatWord(x)
                    a0.addProduct(p0, u)
                    let p1 = repeatWord(x + tileBytes)
                    a1.addProduct(p1, u)
                    x += 4
                    weights += 64
                    steps -= 1
                }
                patches += tileBytes * ProductTile.size
            }
            job.keep(0, 0, a0)
            job.keep(1, 0, a1)
        }
    #endif
}

extension GradientTile {
    #if AVX512
        /// 8 input channels × 32 output channels.
        @inline(never)
        static func wide8(_ job: borrowing GradientTile) {
            var a0 = job.start(0, 0), b0 = job.start(0, 1)
            var a1 = job.start(1, 0), b1 = job.start(1, 1)
            var a2 = job.start(2, 0), b2 = job.start(2, 1)
            var a3 = job.start(3, 0), b3 = job.start(3, 1)
            var a4 = job.start(4, 0), b4 = job.start(4, 1)
            var a5 = job.start(5, 0), b5 = job.start(5, 1)
            var a6 = job.start(6, 0), b6 = job.start(6, 1)
            var a7 = job.start(7, 0), b7 = job.start(7, 1)
            var patches = job.patches
            var gradients = job.gradients
            var ahead = job.ahead
            var left = job.tiles
            while left > 0 {
                pleura_prefetch(ahead)
                ahead += job.aheadStep
                let u = loadWords(gradients)
                let v = loadWords(gradients + 64)
                let p0 = repeatWord(patches)
                a0.addProduct(p0, u)
                b0.addProduct(p0, v)
                let p1 = repeatWord(patches + 4)
                a1.addProduct(p1, u)
                b1.addProduct(p1, v)
                let p2 = repeatWord(patches + 8)
                a2.addProduct(p2, u)
                b2.addProduct(p2, v)
                let p3 = repeatWord(patches + 12)
                a3.addProduct(p3, u)
                b3.addProduct(p3, v)
                let p4 = repeatWord(patches + 16)
                a4.addProduct(p4, u)
                b4.addProduct(p4, v)
                let p5 = repeatWord(patches + 20)
                a5.addProduct(p5, u)
                b5.addProduct(p5, v)
                let p6 = repeatWord(patches + 24)
                a6.addProduct(p6, u)
                b6.addProduct(p6, v)
                let p7 = repeatWord(patches + 28)
                a7.addProduct(p7, u)
                b7.addProduct(p7, v)
                patches += 64
                gradients += 128
                left -= 1
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

        /// 8 input channels × 16 output channels.
        @inline(never)
        static func narrow8(_ job: borrowing GradientTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var a2 = job.start(2, 0)
            var a3 = job.start(3, 0)
            var a4 = job.start(4, 0)
            var a5 = job.start(5, 0)
            var a6 = job.start(6, 0)
            var a7 = job.start(7, 0)
            var patches = job.patches
            var gradients = job.gradients
            var ahead = job.ahead
            var left = job.tiles
            while left > 0 {
                pleura_prefetch(ahead)
                ahead += job.aheadStep
                let u = loadWords(gradients)
                let p0 = repeatWord(patches)
                a0.addProduct(p0, u)
                let p1 = repeatWord(patches + 4)
                a1.addProduct(p1, u)
                let p2 = repeatWord(patches + 8)
                a2.addProduct(p2, u)
                let p3 = repeatWord(patches + 12)
                a3.addProduct(p3, u)
                let p4 = repeatWord(patches + 16)
                a4.addProduct(p4, u)
                let p5 = repeatWord(patches + 20)
                a5.addProduct(p5, u)
                let p6 = repeatWord(patches + 24)
                a6.addProduct(p6, u)
                let p7 = repeatWord(patches + 28)
                a7.addProduct(p7, u)
                patches += 64
                gradients += 64
                left -= 1
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

        /// 16 input channels × 16 output channels.
        @inline(never)
        static func narrow16(_ job: borrowing GradientTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var a2 = job.start(2, 0)
            var a3 = job.start(3, 0)
            var a4 = job.start(4, 0)
            var a5 = job.start(5, 0)
            var a6 = job.start(6, 0)
            var a7 = job.start(7, 0)
            var a8 = job.start(8, 0)
            var a9 = job.start(9, 0)
            var a10 = job.start(10, 0)
            var a11 = job.start(11, 0)
            var a12 = job.start(12, 0)
            var a13 = job.start(13, 0)
            var a14 = job.start(14, 0)
            var a15 = job.start(15, 0)
            var patches = job.patches
            var gradients = job.gradients
            var ahead = job.ahead
            var left = job.tiles
            while left > 0 {
                pleura_prefetch(ahead)
                ahead += job.aheadStep
                let u = loadWords(gradients)
                let p0 = repeatWord(patches)
                a0.addProduct(p0, u)
                let p1 = repeatWord(patches + 4)
                a1.addProduct(p1, u)
                let p2 = repeatWord(patches + 8)
                a2.addProduct(p2, u)
                let p3 = repeatWord(patches + 12)
                a3.addProduct(p3, u)
                let p4 = repeatWord(patches + 16)
                a4.addProduct(p4, u)
                let p5 = repeatWord(patches + 20)
                a5.addProduct(p5, u)
                let p6 = repeatWord(patches + 24)
                a6.addProduct(p6, u)
                let p7 = repeatWord(patches + 28)
                a7.addProduct(p7, u)
                let p8 = repeatWord(patches + 32)
                a8.addProduct(p8, u)
                let p9 = repeatWord(patches + 36)
                a9.addProduct(p9, u)
                let p10 = repeatWord(patches + 40)
                a10.addProduct(p10, u)
                let p11 = repeatWord(patches + 44)
                a11.addProduct(p11, u)
                let p12 = repeatWord(patches + 48)
                a12.addProduct(p12, u)
                let p13 = repeatWord(patches + 52)
                a13.addProduct(p13, u)
                let p14 = repeatWord(patches + 56)
                a14.addProduct(p14, u)
                let p15 = repeatWord(patches + 60)
                a15.addProduct(p15, u)
                patches += 64
                gradients += 64
                left -= 1
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
            job.add(12, 0, a12)
            job.add(13, 0, a13)
            job.add(14, 0, a14)
            job.add(15, 0, a15)
        }
    #else
        /// 6 input channels × 16 output channels.
        @inline(never)
        static func narrow6(_ job: borrowing GradientTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var a2 = job.start(2, 0)
            var a3 = job.start(3, 0)
            var a4 = job.start(4, 0)
            var a5 = job.start(5, 0)
            var patches = job.patches
            var gradients = job.gradients
            var ahead = job.ahead
            var left = job.tiles
            while left > 0 {
                pleura_prefetch(ahead)
                ahead += job.aheadStep
                let u = loadWords(gradients)
                let p0 = repeatWord(patches)
                a0.addProduct(p0, u)
                let p1 = repeatWord(patches + 4)
                a1.addProduct(p1, u)
                let p2 = repeatWord(patches + 8)
                a2.addProduct(p2, u)
                let p3 = repeatWord(patches + 12)
                a3.addProduct(p3, u)
                let p4 = repeatWord(patches + 16)
                a4.addProduct(p4, u)
                let p5 = repeatWord(patches + 20)
                a5.addProduct(p5, u)
                patches += 64
                gradients += 64
                left -= 1
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
        static func narrow4(_ job: borrowing GradientTile) {
            var a0 = job.start(0, 0)
            var a1 = job.start(1, 0)
            var a2 = job.start(2, 0)
            var a3 = job.start(3, 0)
            var patches = job.patches
            var gradients = job.gradients
            var ahead = job.ahead
            var left = job.tiles
            while left > 0 {
                pleura_prefetch(ahead)
                ahead += job.aheadStep
                let u = loadWords(gradients)
                let p0 = repeatWord(patches)
                a0.addProduct(p0, u)
                let p1 = repeatWord(patches + 4)
                a1.addProduct(p1, u)
                let p2 = repeatWord(patches + 8)
                a2.addProduct(p2, u)
                let p3 = repeatWord(patches + 12)
                a3.addProduct(p3, u)
                patches += 64
                gradients += 64
                left -= 1
            }
            job.add(0, 0, a0)
            job.add(1, 0, a1)
            job.add(2, 0, a2)
            job.add(3, 0, a3)
        }
    #endif
}
